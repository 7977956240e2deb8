//! Why a report is empty: a decision from a few facts, so that whoever asked knows whether to wait, to look elsewhere or
//! to mend something. Gathering the facts stands below it; a report that holds something asks for none.

use chrono_tz::Tz;
use serde::Serialize;
use shared::id::WorkspaceId;
use store::PgConnection;

use analytics::scope::{Bots, Scope};
use model::time::Timestamp;
use store::reports::{
    self,
    hints::{self, Extent},
};

/// Why a report is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Hint {
    /// `no_clicks_yet`, `no_assignment_yet`, `outside_range`, `no_match`, `recorded_after_as_of`, `bots_filtered`,
    /// `humans_filtered`; of conversions also `unattributed_only`, `pending_only`, `tracking_disabled`,
    /// `no_conversions_yet`, `no_events_yet`. Beside what is selected: `clicks_removed`.
    #[schema(example = "outside_range")]
    pub code: &'static str,
    /// In words, with the numbers and dates.
    pub detail: String,
}

fn hint(code: &'static str, detail: impl Into<String>) -> Hint {
    Hint { code, detail: detail.into() }
}

/// What a report asked for, as far as it explains its emptiness.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// Where days begin.
    pub tz: Tz,
    /// What was known then.
    pub as_of: Option<Timestamp>,
    /// Which rows were selected.
    pub bots: Bots,
}

impl From<(&Scope, Bots)> for Question {
    fn from((scope, bots): (&Scope, Bots)) -> Self {
        let Scope { from, to, tz, as_of, .. } = *scope;
        Self { from, to, tz, as_of, bots }
    }
}

/// One filter alone, or none at all.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// Its name; `None`: the whole workspace.
    pub filter: Option<&'static str>,
    /// When the clicks that match it happened, whatever the range.
    pub clicks: Option<Extent>,
    /// Whether what it names ever had an assignment; asked of partners, programs, tags and links.
    pub assigned: Option<bool>,
}

impl Side {
    /// Why it can have no clicks of a partner.
    fn unassigned(self) -> Option<Hint> {
        let filter = self.filter?;
        let detail = match filter {
            "link" => "the link was never assigned to a partner; PUT /v1/links/{id}/assignment does it".to_owned(),
            "tag" => "no partner that carries this tag now ever had a link".to_owned(),
            _ => format!("the {filter} never had a link; assign one with PUT /v1/links/{{id}}/assignment"),
        };
        (self.assigned == Some(false)).then(|| hint("no_assignment_yet", detail))
    }

    fn no_clicks(self) -> Hint {
        match self.filter {
            None => hint("no_clicks_yet", "the workspace has no clicks yet"),
            Some(filter) => hint("no_clicks_yet", format!("no click has matched `{filter}` yet")),
        }
    }
}

/// What is known beside an empty report of clicks.
#[derive(Debug)]
pub struct TrafficFacts {
    /// Clicks in scope that `bots` left out.
    pub left_out: i64,
    /// Since when clicks of the range are known that came after `as_of`.
    pub later: Option<Timestamp>,
    /// The filters, one by one; the whole workspace where there are none.
    pub sides: Vec<Side>,
}

/// Why a report of clicks is empty.
#[must_use]
pub fn of_traffic(question: Question, facts: &TrafficFacts) -> Vec<Hint> {
    if let Some(hint) = filtered(question.bots, facts.left_out, "clicks") {
        return vec![hint];
    }
    if let Some(hint) = recorded_later(facts.later, "clicks") {
        return vec![hint];
    }
    let never: Vec<Hint> = facts
        .sides
        .iter()
        .filter(|side| side.clicks.is_none())
        // Links are clicked without a partner too.
        .map(|side| side.unassigned().filter(|_| side.filter != Some("link")).unwrap_or_else(|| side.no_clicks()))
        .collect();
    if !never.is_empty() {
        return never;
    }
    let apart = |side: &Side| {
        let extent = side.clicks.filter(|extent| is_apart(question, *extent))?;
        Some(elsewhere(question, extent, &clicks_of(side.filter)))
    };
    let apart: Vec<Hint> = facts.sides.iter().filter_map(apart).collect();
    match facts.sides.as_slice() {
        _ if !apart.is_empty() => apart,
        [side] => side.clicks.map(|extent| elsewhere(question, extent, &clicks_of(side.filter))).into_iter().collect(),
        _ => vec![hint("no_match", "each filter matches clicks about this time, but none matches all of them")],
    }
}

/// What is known beside an empty report of conversions.
#[derive(Debug)]
pub struct ConversionFacts {
    /// Attributed conversions in scope that `bots` left out.
    pub left_out: i64,
    /// Events in scope that no partner is credited with.
    pub unattributed: i64,
    /// Events in scope that wait.
    pub pending: i64,
    /// Since when attributed conversions of the range are known that came after `as_of`.
    pub later: Option<Timestamp>,
    /// When conversions occurred that match all filters, whatever the range.
    pub conversions: Option<Extent>,
    /// Whether the workspace ever accepted an event.
    pub has_events: bool,
    /// Links that match the filters: how many follow conversions, and how many don't.
    pub tracking: (i64, i64),
    /// The filters, one by one; the whole workspace where there are none.
    pub sides: Vec<Side>,
}

/// Why a report of conversions is empty.
#[must_use]
pub fn of_conversions(question: Question, facts: &ConversionFacts) -> Vec<Hint> {
    let (unattributed, pending) = (facts.unattributed, facts.pending);
    let there = [
        filtered(question.bots, facts.left_out, "conversions"),
        (unattributed > 0).then(|| {
            let detail = format!("{unattributed} events in the range are credited to no partner; see /v1/conversions?attribution=unattributed");
            hint("unattributed_only", detail)
        }),
        (pending > 0).then(|| {
            let detail = format!("{pending} events in the range wait for their click or their original");
            hint("pending_only", detail)
        }),
        recorded_later(facts.later, "conversions"),
    ];
    let there: Vec<Hint> = there.into_iter().flatten().collect();
    if !there.is_empty() {
        return there;
    }
    if let Some(extent) = facts.conversions {
        return vec![elsewhere(question, extent, "matching conversions")];
    }
    let mut causes: Vec<Hint> = facts.sides.iter().filter_map(|side| side.unassigned()).collect();
    if let (0, off @ 1..) = facts.tracking {
        let detail = format!("conversion_tracking is off for each of the {off} links that match");
        causes.push(hint("tracking_disabled", detail));
    }
    if causes.is_empty() {
        causes.extend(facts.sides.iter().filter(|side| side.clicks.is_none()).map(|side| side.no_clicks()));
    }
    if !facts.has_events {
        causes
            .push(hint("no_events_yet", "no signed event has been accepted yet; send one to /v1/sources/{id}/events"));
    }
    if causes.is_empty() {
        let detail = "there are clicks and events, but no event is credited under these filters yet";
        causes.push(hint("no_conversions_yet", detail));
    }
    causes
}

fn clicks_of(filter: Option<&str>) -> String {
    filter.map_or_else(|| "clicks".to_owned(), |filter| format!("clicks that match `{filter}`"))
}

fn filtered(bots: Bots, left_out: i64, what: &str) -> Option<Hint> {
    match bots {
        _ if left_out <= 0 => None,
        Bots::All => None,
        Bots::Human => {
            Some(hint("bots_filtered", format!("{left_out} {what} of bots are left out; bots=all counts them")))
        }
        Bots::Bot => {
            Some(hint("humans_filtered", format!("{left_out} {what} of humans are left out; bots=all counts them")))
        }
    }
}

/// The range holds something: only `as_of` stands before it.
fn recorded_later(later: Option<Timestamp>, what: &str) -> Option<Hint> {
    let detail = |since| format!("{what} of the range are known from {since} on, which is after as_of");
    later.map(|since| hint("recorded_after_as_of", detail(since)))
}

fn is_apart(question: Question, extent: Extent) -> bool {
    extent.first >= question.to
        || extent.last < question.from
        || question.as_of.is_some_and(|as_of| extent.first >= as_of.end_of_millisecond())
}

fn elsewhere(question: Question, extent: Extent, what: &str) -> Hint {
    let day = |at: Timestamp| at.0.with_timezone(&question.tz).format("%Y-%m-%d");
    let (first, last) = (day(extent.first), day(extent.last));
    if question.as_of.is_some_and(|as_of| extent.first >= as_of.end_of_millisecond()) {
        return hint("recorded_after_as_of", format!("{what} are known from {first} on, which is after as_of"));
    }
    hint("outside_range", format!("none in the range; {what} are known from {first} to {last}"))
}

/// What a report says that counts single clicks from a time whose clicks may be gone.
///
/// # Errors
/// The database's.
pub async fn pruned(db: &mut PgConnection, workspace: WorkspaceId, from: Timestamp) -> store::Result<Option<Hint>> {
    let before = reports::clicks_pruned_before(&mut *db, workspace).await?;
    Ok(before.filter(|&before| from < before).map(|before| {
        let detail = format!(
            "single clicks from before {before} have been removed (click_retention_days), and this report counts single \
             clicks; on whole quarter-hours, without as_of and with one filter or grouping, it counts them all"
        );
        hint("clicks_removed", detail)
    }))
}

/// The filters of a scope, one by one.
///
/// # Errors
/// The database's.
pub async fn sides(db: &mut PgConnection, scope: &Scope) -> store::Result<Vec<Side>> {
    let mut sides = vec![];
    for filter in hints::names(&scope.filter) {
        let assigned = match filter {
            "partner" | "program" | "tag" | "link" => Some(hints::was_assigned(db, scope, filter).await?),
            _ => None,
        };
        sides.push(Side { filter: Some(filter), clicks: hints::clicks(db, scope, Some(filter)).await?, assigned });
    }
    if sides.is_empty() {
        sides.push(Side { filter: None, clicks: hints::clicks(db, scope, None).await?, assigned: None });
    }
    Ok(sides)
}

#[cfg(test)]
mod tests;
