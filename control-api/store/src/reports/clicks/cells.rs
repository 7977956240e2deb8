//! Reads the cells that reports of clicks are made of: counts under keys, from packs, rollups and deltas, or from facts.

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::fragments::{Sql, Stored, push_filter, push_key, stored};
use super::super::tags::tags;
use crate::packs::{self, Cache};
use analytics::{
    clicks::{Cells, Row, Single},
    grain::{Facts, Grain},
    group::ClickGroup,
    scope::{Filter, Scope},
    spans::{Covered, Span, cut, has_whole_quarters, packable, spans},
};
use model::time::Timestamp;

/// Where clicks are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// This dimension of the rollups.
    Rollups(&'static str),
    /// The clicks themselves.
    Facts,
}

/// Rollups hold the latest state, by quarter-hours, of one dimension at a time.
pub(super) fn plan(scope: &Scope, group: Option<ClickGroup>) -> Plan {
    let filter = &scope.filter;
    match filter.dimension_with(group.and_then(ClickGroup::dimension)) {
        Some(dimension) if scope.as_of.is_none() && has_whole_quarters(scope) => Plan::Rollups(dimension),
        _ => Plan::Facts,
    }
}

/// Reads each click in scope once.
pub(super) async fn read(
    db: &mut PgConnection,
    cache: &Cache,
    scope: &Scope,
    group: Option<ClickGroup>,
) -> sqlx::Result<Cells> {
    let mut cells = Cells { group, tz: scope.tz, ..Cells::default() };
    if group == Some(ClickGroup::Tag) {
        cells.tags = Some(tags(&mut *db, scope.workspace).await?);
    }
    let table = match plan(scope, group) {
        Plan::Facts => Table::Facts,
        Plan::Rollups(dimension) => {
            let mut covered = cover(scope, group, dimension);
            let (packs, unpacked) =
                packs::read(&mut *db, cache, scope.workspace.uuid(), (Facts::Clicks, dimension), &covered.packable)
                    .await?;
            cells.packs = packs;
            covered.rest.extend(unpacked);
            if !covered.rest.is_empty() {
                let mut sql = rollups(scope, group, dimension, &covered.rest);
                cells.rows = stored(sql.build_query_as::<Stored<Row>>().fetch_all(&mut *db).await?);
            }
            Table::Deltas
        }
    };
    cells.singles = stored(clicks(scope, group, table).build_query_as::<Stored<Single>>().fetch_all(db).await?);
    Ok(cells)
}

/// How the range is read. Packs hold all keys of a day, week or month, and of all clicks together the quarter-hours of a day;
/// one key, or all clicks by day or month, are few rows.
fn cover(scope: &Scope, group: Option<ClickGroup>, dimension: &str) -> Covered {
    let spans = spans(scope, group);
    if scope.filter != Filter::default() {
        return Covered { packable: vec![], rest: spans };
    }
    if dimension != "all" {
        let (rest, packable) = cut(scope.from, scope.to, &[Grain::Quarter, Grain::Day, Grain::Week, Grain::Month])
            .into_iter()
            .partition(|span| span.grain == Grain::Quarter);
        return Covered { packable, rest };
    }
    let (quarters, rows): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(|span| span.grain == Grain::Quarter);
    let mut covered = packable(&quarters);
    covered.rest.extend(rows);
    covered
}

/// Rows of one dimension of the rollups, added up by bucket where time matters, else by key.
fn rollups(scope: &Scope, group: Option<ClickGroup>, dimension: &'static str, spans: &[Span]) -> Sql {
    let by_time = group.is_none_or(ClickGroup::is_time);
    let mut sql = Sql::new("");
    let mut between = "";
    for Span { grain, from, to } in spans {
        sql.push(between).push(format_args!("select '{grain}' as grain, "));
        sql.push(if by_time { "bucket, null as key" } else { "max(bucket) as bucket, key" });
        sql.push(
            ", add_up(human_link) as human_link, add_up(human_qr) as human_qr, add_up(bot_link) as bot_link,
              add_up(bot_qr) as bot_qr, add_up(human_partner) as human_partner
              from click_rollups where workspace_id = ",
        );
        sql.push_bind(scope.workspace);
        sql.push(format_args!(" and dimension = '{dimension}' and grain = '{grain}' and bucket >= "));
        sql.push_bind(from.0).push(" and bucket < ").push_bind(to.0);
        push_key(&mut sql, scope);
        sql.push(if by_time { " group by bucket" } else { " group by key" });
        between = " union all ";
    }
    sql
}

/// Both tables hold clicks one by one, under mostly the same names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Facts,
    Deltas,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Facts => "clicks",
            Self::Deltas => "click_deltas",
        }
    }

    const fn is_bot(self) -> &'static str {
        match self {
            Self::Facts => "bot_reason is not null",
            Self::Deltas => "bot",
        }
    }

    const fn campaign(self) -> &'static str {
        match self {
            Self::Facts => "utm_campaign",
            Self::Deltas => "campaign",
        }
    }
}

/// Single clicks, counted by key and name, or by quarter-hour.
fn clicks(scope: &Scope, group: Option<ClickGroup>, table: Table) -> Sql {
    const QUARTER: &str =
        "date_bin('15 minutes', uuid_extract_timestamp(click_id), timestamptz '2000-01-01 00:00:00Z')";
    let none = "null::text";
    let (key, label) = match group {
        None | Some(ClickGroup::Hour | ClickGroup::Day | ClickGroup::Week | ClickGroup::Month) => (none, none),
        Some(ClickGroup::Partner | ClickGroup::Tag) => ("partner_id::text", "partner_name"),
        Some(ClickGroup::Program) => ("program_id::text", "program_name"),
        Some(ClickGroup::Link) => ("link_id::text", "domain || '/' || slug"),
        Some(ClickGroup::Country) => ("country", none),
        Some(ClickGroup::Region) => ("country || '-' || region", none),
        Some(ClickGroup::Source) => ("source", none),
        Some(ClickGroup::Referrer) => ("referrer_host", none),
        Some(ClickGroup::Device) => ("device", none),
        Some(ClickGroup::Browser) => ("browser", none),
        Some(ClickGroup::Os) => ("os", none),
        Some(ClickGroup::Trigger) => ("trigger", none),
        Some(ClickGroup::Campaign) => (table.campaign(), none),
        Some(ClickGroup::Domain) => ("domain", none),
    };
    let at = if group.is_some_and(ClickGroup::is_time) { QUARTER } else { "null::timestamptz" };
    let (bot, name) = (table.is_bot(), table.name());
    let mut sql = Sql::new(format!(
        "select {at} as at, {key} as key, {label} as label, (max(array[click_id]))[1] as click,
           count(*) filter (where not ({bot}) and trigger <> 'qr') as human_link,
           count(*) filter (where not ({bot}) and trigger = 'qr') as human_qr,
           count(*) filter (where {bot} and trigger <> 'qr') as bot_link,
           count(*) filter (where {bot} and trigger = 'qr') as bot_qr,
           count(*) filter (where not ({bot}) and partner_id is not null) as human_partner
         from {name} where workspace_id = "
    ));
    sql.push_bind(scope.workspace).push(" and click_id >= ").push_bind(first_id(scope.from));
    sql.push(" and click_id < ").push_bind(first_id(scope.to));
    if let (Some(end), Table::Facts) = (scope.known_before(), table) {
        sql.push(" and recorded_at < ").push_bind(end.0);
    }
    push_filter(&mut sql, scope);
    sql.push(" group by 1, 2, 3");
    sql
}

/// The least id of a click at or after a moment.
pub fn first_id(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::from(at.millis().0.max(0).unsigned_abs()) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use analytics::scope::Filter;

    #[test]
    fn rollups_answer_where_one_dimension_is_in_play() {
        let march = Scope {
            workspace: shared::Id::from_uuid(Uuid::nil()),
            from: Timestamp::parse("2026-03-01T00:00:00Z").unwrap(),
            to: Timestamp::parse("2026-04-01T00:00:00Z").unwrap(),
            tz: chrono_tz::UTC,
            as_of: None,
            filter: Filter::default(),
        };
        assert_eq!(plan(&march, Some(ClickGroup::Partner)), Plan::Rollups("partner"));
        assert_eq!(plan(&march, Some(ClickGroup::Day)), Plan::Rollups("all"));
        assert_eq!(plan(&march, None), Plan::Rollups("all"));

        let mut tagged = march.clone();
        tagged.filter.tag = Some("vip".into());
        assert_eq!(plan(&tagged, Some(ClickGroup::Partner)), Plan::Rollups("partner"));
        assert_eq!(plan(&tagged, Some(ClickGroup::Week)), Plan::Rollups("partner"));
        assert_eq!(plan(&tagged, Some(ClickGroup::Link)), Plan::Facts);

        let uneven = Scope { from: Timestamp::parse("2026-03-01T00:00:00.001Z").unwrap(), ..march.clone() };
        assert_eq!(plan(&uneven, Some(ClickGroup::Partner)), Plan::Facts);
        let past = Scope { as_of: Some(march.to), ..march };
        assert_eq!(plan(&past, Some(ClickGroup::Partner)), Plan::Facts);
    }
}
