//! What a report may be asked, and how its answer is put together from what was counted.

pub mod compare;
pub mod conversions;
pub mod hints;
pub mod traffic;

use std::{str::FromStr, time::Duration};

use chrono::{NaiveDate, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use shared::{
    Millis,
    id::{LinkId, Partner, PartnerId, Program, ProgramId, WorkspaceId},
};
use store::{PgPool, Postgres, Transaction};

use crate::{
    context::Context,
    error::{Error, FieldFault},
};
use analytics::scope::{Filter, Scope};
use model::reference::DomainRef;
use model::{reference::Reference, time::Timestamp};
use store::pool::WRITE_TIMEOUT;

/// How old `as_of` must be: every transaction that could still write a row of that time has ended by then. One
/// second more than such a transaction may take.
pub const SETTLED_AFTER: Duration = WRITE_TIMEOUT.saturating_add(Duration::from_secs(1));

/// The longest range of a report or an export, in days: two hundred years, so that "everything" is easily said. Longer
/// ones are mistakes.
pub const MAX_DAYS: i64 = 73_050;

/// How far ahead `as_of` may be, in milliseconds: clocks differ, and the answer waits.
const AHEAD_MILLIS: i64 = 10_000;

/// A bound of a range: a moment, or the beginning of a day of some time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// An RFC 3339 time.
    Timestamp(Timestamp),
    /// A plain date.
    Day(NaiveDate),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bound = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) if text.len() == 10 => Self::Day(day),
            _ => Self::Timestamp(Timestamp::parse(text).map_err(|_| {
                "must be an RFC 3339 time such as 2026-03-01T09:30:00Z (in a query, + is written %2B), or a date such as 2026-03-01"
            })?),
        };
        // Click ids can't hold earlier times.
        if bound.start(Tz::UTC).millis() < Millis(0) { Err("must be in 1970 or later".to_owned()) } else { Ok(bound) }
    }
}

impl Bound {
    /// The moment, as a whole millisecond: times of clicks have no more, so rounding up counts the same rows.
    #[must_use]
    pub fn start(self, tz: Tz) -> Timestamp {
        match self {
            Self::Timestamp(at) => {
                let whole = Timestamp::from_millis(at.millis());
                if whole < at { Timestamp::from_millis(at.millis().plus(1)) } else { whole }
            }
            Self::Day(day) => {
                let midnight = day.and_time(chrono::NaiveTime::MIN);
                // Where clocks are put forward at midnight, the day begins at the first time that exists.
                let start = (0..=12).find_map(|quarters| {
                    tz.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarters))).earliest()
                });
                Timestamp(start.map_or_else(|| midnight.and_utc(), |at| at.with_timezone(&Utc)))
            }
        }
    }
}

/// A range and filters as a caller names them.
#[derive(Default)]
pub struct Asked {
    /// `from`
    pub from: Option<Bound>,
    /// `to`
    pub to: Option<Bound>,
    /// `tz`; the workspace's own if absent.
    pub tz: Option<Tz>,
    /// `as_of`
    pub as_of: Option<Timestamp>,
    /// `partner`
    pub partner: Option<Reference<Partner>>,
    /// `program`
    pub program: Option<Reference<Program>>,
    /// `link`
    pub link: Option<LinkId>,
    /// `domain`
    pub domain: Option<DomainRef>,
    /// `country`
    pub country: Option<String>,
    /// `tag`
    pub tag: Option<String>,
}

/// Where the parts of a request are, for pointers: in the query or in the body.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// `?name`
    Query,
    /// `/name`
    Body,
}

impl Place {
    fn fault(self, name: &str, code: &str, detail: &str) -> FieldFault {
        let mark = match self {
            Self::Query => '?',
            Self::Body => '/',
        };
        FieldFault::new(format!("{mark}{name}"), code, detail)
    }
}

impl Asked {
    /// Looks up what is named and checks the range; an open end is left open as far as time goes.
    ///
    /// # Errors
    /// 422 for a range that ends before it begins or a moment to come; 404 for what isn't of this workspace.
    pub async fn resolve(self, context: &Context, workspace: WorkspaceId, place: Place) -> Result<Scope, Error> {
        self.resolve_within(context, workspace, place, None, Ok(())).await
    }

    /// The same for a range of so many days at most, with the faults of reading the request among its own, so that
    /// the caller learns of all at once.
    ///
    /// # Errors
    /// As [`Self::resolve`]; 422 also for a longer range and for what `read` found.
    pub async fn resolve_within(
        self,
        context: &Context,
        workspace: WorkspaceId,
        place: Place,
        days: Option<i64>,
        read: Result<(), Error>,
    ) -> Result<Scope, Error> {
        let mut faults = match read {
            Ok(()) => vec![],
            Err(Error::Validation(faults)) => faults,
            Err(other) => return Err(other),
        };
        let tz = match self.tz {
            Some(tz) => tz,
            None => {
                let workspace = store::workspaces::get(&context.db, workspace).await?;
                workspace.and_then(|found| found.timezone.parse().ok()).unwrap_or(Tz::UTC)
            }
        };
        let from = self.from.map_or(Timestamp::from_millis(Millis(0)), |bound| bound.start(tz));
        let to = self.to.map_or(END, |bound| bound.start(tz));
        let both = self.from.is_some() && self.to.is_some();
        if both && from >= to {
            faults.push(place.fault("to", "value", "must be later than `from`"));
        }
        if let Some(days) = days.filter(|&days| both && to.0 - from.0 > TimeDelta::days(days)) {
            faults.push(place.fault("to", "range", &format!("must be at most {days} days after `from`")));
        }
        if let Some(as_of) = self.as_of {
            match store::reports::age(&context.db, as_of).await? {
                age if age >= -AHEAD_MILLIS => {}
                _ => faults.push(place.fault(
                    "as_of",
                    "in_future",
                    "must not be in the future; leave it out for the latest state",
                )),
            }
        }
        if !faults.is_empty() {
            return Err(Error::Validation(faults));
        }
        let mut filter = Filter { country: self.country, tag: self.tag, ..Filter::default() };
        if let Some(partner) = &self.partner {
            let found = store::partners::find(&context.db, workspace, partner).await?;
            filter.partner = Some(found.ok_or(Error::NotFound("partner"))?);
        }
        if let Some(program) = &self.program {
            let found = store::programs::find(&context.db, workspace, program).await?;
            filter.program = Some(found.ok_or(Error::NotFound("program"))?);
        }
        if let Some(link) = self.link {
            let found = store::links::get(&context.db, workspace, link).await?;
            filter.link = Some(found.ok_or(Error::NotFound("link"))?.id);
        }
        if let Some(domain) = &self.domain {
            let found = store::domains::find(&context.db, workspace, domain).await?;
            filter.domain = Some(found.ok_or(Error::NotFound("domain"))?.hostname);
        }
        Ok(Scope { workspace, from, to, tz, as_of: self.as_of, filter })
    }
}

/// The end of time, as far as this API goes: 9999-12-31T00:00:00Z.
const END: Timestamp = Timestamp(match chrono::DateTime::from_timestamp_millis(253_402_214_400_000) {
    Some(end) => end,
    None => chrono::DateTime::<Utc>::MAX_UTC,
});

/// Waits until nothing of `as_of` can change any more.
///
/// # Errors
/// The database's.
pub async fn settle(context: &Context, as_of: Option<Timestamp>) -> Result<(), Error> {
    if let Some(as_of) = as_of {
        let age = store::reports::age(&context.db, as_of).await?;
        let missing = i64::try_from(SETTLED_AFTER.as_millis()).unwrap_or(i64::MAX).saturating_sub(age);
        tokio::time::sleep(Duration::from_millis(missing.max(0).unsigned_abs())).await;
    }
    Ok(())
}

/// How long a replica may take to know what the database knows.
const CATCHING_UP: Duration = Duration::from_secs(3);

/// Begins the snapshot that a report or an export reads: of the replica where there is one, as soon as it knows
/// everything that was stored when this was asked. One that is away or too far behind is passed by, so that no answer
/// ever misses what it would have held without a replica.
///
/// # Errors
/// The database's.
pub async fn snapshot(context: &Context) -> store::Result<Transaction<'static, Postgres>> {
    if let Some(replica) = &context.replica {
        let written = store::reports::written(&context.db).await?;
        match tokio::time::timeout(CATCHING_UP, caught_up(replica, &written)).await {
            Ok(Ok(snapshot)) => return Ok(snapshot),
            Ok(Err(error)) => tracing::warn!(%error, "the replica can't be read; reading the main database"),
            Err(_) => tracing::warn!("the replica lags; reading the main database"),
        }
    }
    store::reports::snapshot(&context.reads).await
}

async fn caught_up(replica: &PgPool, written: &str) -> store::Result<Transaction<'static, Postgres>> {
    while !store::reports::has_reached(replica, written).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store::reports::snapshot(replica).await
}

/// What a report covers, as it shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Range {
    /// The first moment.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The first moment after it.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// IANA time zone of days, weeks and months.
    #[schema(example = "Europe/Berlin")]
    pub tz: String,
}

shared::text_enum! {
    /// What a report is compared with.
    pub enum Compare {
        /// The period of the same length before it.
        Previous = "previous",
    }
}

/// How the rows in scope are shown.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Which rows are selected.
    pub bots: analytics::scope::Bots,
    /// Groups at most.
    pub limit: i64,
    /// What they are compared with.
    pub compare: Option<Compare>,
}

/// How a report was asked for, with defaults filled in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Filters {
    /// What groups are.
    #[schema(example = "partner")]
    pub group_by: &'static str,
    /// `all`, `human` or `bot`.
    #[schema(value_type = String, example = "all")]
    pub bots: analytics::scope::Bots,
    /// Partner.
    #[schema(value_type = Option<String>)]
    pub partner: Option<PartnerId>,
    /// Program.
    #[schema(value_type = Option<String>)]
    pub program: Option<ProgramId>,
    /// Link.
    #[schema(value_type = Option<String>)]
    pub link: Option<LinkId>,
    /// Hostname.
    pub domain: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Tag that partners carry now.
    pub tag: Option<String>,
    /// What was known then; `null`: the latest state.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
    /// Groups at most.
    pub limit: i64,
    /// `previous`, or `null`: compared with nothing.
    #[schema(value_type = Option<String>)]
    pub compare: Option<Compare>,
}

impl Range {
    fn of(scope: &Scope) -> Self {
        Self { from: scope.from, to: scope.to, tz: scope.tz.name().to_owned() }
    }
}

impl Filters {
    fn of(scope: &Scope, group_by: &'static str, view: View) -> Self {
        let View { bots, limit, compare } = view;
        let Filter { partner, program, link, country, domain, tag } = scope.filter.clone();
        Self { group_by, bots, partner, program, link, domain, country, tag, as_of: scope.as_of, limit, compare }
    }
}

/// The key of a group as the API writes it: ids of partners, programs and links are public ids.
fn public_key(group_by: &str, key: String) -> String {
    let Ok(uuid) = key.parse() else { return key };
    match group_by {
        "partner" => PartnerId::from_uuid(uuid).to_string(),
        "program" => ProgramId::from_uuid(uuid).to_string(),
        "link" => LinkId::from_uuid(uuid).to_string(),
        _ => key,
    }
}

/// A limit on groups.
pub(crate) fn shown(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The key of the last row of a CSV, for the groups over the limit.
const OTHER: &str = "(other)";

/// A part of a whole; `None` of nothing.
#[allow(clippy::cast_precision_loss)] // A ratio of counts: 53 bits are plenty.
fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str, tz: Tz) -> String {
        text.parse::<Bound>().unwrap().start(tz).to_string()
    }

    #[test]
    fn bounds_are_moments_or_local_midnights() {
        assert_eq!(start("2026-03-01T09:30:00+02:00", Tz::UTC), "2026-03-01T07:30:00.000Z");
        assert_eq!(start("2026-03-01T09:30:00.0001Z", Tz::UTC), "2026-03-01T09:30:00.001Z");
        assert_eq!(start("2026-03-29", Tz::Europe__Berlin), "2026-03-28T23:00:00.000Z");
        assert_eq!(start("2026-03-30", Tz::Europe__Berlin), "2026-03-29T22:00:00.000Z");
        assert_eq!(start("2026-03-01", Tz::Asia__Kathmandu), "2026-02-28T18:15:00.000Z");
    }

    #[test]
    fn a_day_without_midnight_begins_when_it_does() {
        assert_eq!(start("2018-11-04", Tz::America__Sao_Paulo), "2018-11-04T03:00:00.000Z");
    }

    #[test]
    fn refuses_what_is_no_bound() {
        for text in
            ["", "yesterday", "2026-02-30", "2026-3-1", "2026-03-01T09:30:00", "1969-12-31", "1969-12-31T23:00:00Z"]
        {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }
}
