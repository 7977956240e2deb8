//! The cells that reports of clicks are made of: counts under keys, read from rollups and deltas, or from facts.

use uuid::Uuid;

use super::{
    super::{
        Scope,
        fragments::{Sql, push_filter, push_span, push_span_label, push_span_text, push_tagged},
    },
    Group, SUMS,
};
use crate::time::At;

/// Whose clicks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Everybody's.
    All,
    /// Those that had a partner.
    Partners,
}

/// Where clicks are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// This dimension of the rollups, less the clicks without a partner where `less_unpartnered`.
    Rollups { dimension: &'static str, less_unpartnered: bool },
    /// The clicks themselves.
    Facts,
}

fn plan(scope: &Scope, group: Option<Group>, whose: Whose) -> Plan {
    const QUARTER: i64 = 15 * shared::Millis::MINUTE;
    let filter = &scope.filter;
    let mut dimensions: Vec<&'static str> = [
        group.and_then(Group::dimension),
        filter.partner.map(|_| "partner"),
        filter.tag.as_ref().map(|_| "partner"),
        filter.program.map(|_| "program"),
        filter.link.map(|_| "link"),
        filter.country.as_ref().map(|_| "country"),
        filter.domain.as_ref().map(|_| "domain"),
    ]
    .into_iter()
    .flatten()
    .collect();
    dimensions.dedup();
    let whole_quarters = [scope.from, scope.to].iter().all(|at| at.millis().0.rem_euclid(QUARTER) == 0);
    if scope.as_of.is_some() || !whole_quarters || dimensions.len() > 1 {
        return Plan::Facts;
    }
    let dimension = dimensions.first().copied().unwrap_or("all");
    match (whose, dimension) {
        // Keys of partners are asked for by name; a click with a program has a partner.
        (Whose::All, _) | (Whose::Partners, "partner") => Plan::Rollups { dimension, less_unpartnered: false },
        (Whose::Partners, "program") if filter.program.is_some() => {
            Plan::Rollups { dimension, less_unpartnered: false }
        }
        (Whose::Partners, "all" | "program") => Plan::Rollups { dimension, less_unpartnered: true },
        (Whose::Partners, _) => Plan::Facts,
    }
}

/// Writes `with cells, base, groups`: `base` has each click once, under a key; `groups` has what the report shows.
pub(super) fn base(scope: &Scope, group: Option<Group>, whose: Whose) -> Sql {
    let mut sql = Sql::new("with cells as (");
    match plan(scope, group, whose) {
        Plan::Facts => push_clicks(&mut sql, scope, group, whose, Table::Facts),
        Plan::Rollups { dimension, less_unpartnered } => {
            push_rollups(&mut sql, scope, group, whose, dimension);
            if less_unpartnered {
                sql.push(" union all ");
                push_unpartnered(&mut sql, scope, group);
            }
            sql.push(" union all ");
            push_clicks(&mut sql, scope, group, whose, Table::Deltas);
        }
    }
    // The greatest `latest` is the id of the latest click, with the label it carried behind it.
    sql.push(format_args!(
        "), base as materialized (select key, max(latest collate \"C\") as latest, {SUMS} from cells group by key), groups as (",
    ));
    if group == Some(Group::Tag) {
        sql.push(format_args!(
            "select tag as key, nullif(tag, 'none') as label, {SUMS} from base
             left join partners p on p.id::text = base.key and p.workspace_id = ",
        ));
        sql.push_bind(scope.workspace);
        sql.push(
            " cross join lateral unnest(case when cardinality(p.tags) > 0 then p.tags else '{none}' end) as tag \
             group by tag)",
        );
    } else {
        sql.push(
            "select key, case when key <> 'none' then coalesce(nullif(substr(latest, 37), ''), key) end as label, \
             human_link, human_qr, bot_link, bot_qr from base)",
        );
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

/// The time inside a click id.
const CLICKED_AT: &str = "uuid_extract_timestamp(click_id)";

/// Cells counted from single clicks.
fn push_clicks(sql: &mut Sql, scope: &Scope, group: Option<Group>, whose: Whose, table: Table) {
    push_cell(sql, scope, group);
    sql.push(" from (select ");
    let (raw, label) = match group {
        None => ("'all'", "null::text"),
        Some(Group::Partner | Group::Tag) => ("partner_id", "partner_name"),
        Some(Group::Program) => ("program_id", "program_name"),
        Some(Group::Link) => ("link_id", "domain || '/' || slug"),
        Some(Group::Country) => ("country", "null::text"),
        Some(Group::Region) => ("country || '-' || region", "null::text"),
        Some(Group::Source) => ("source", "null::text"),
        Some(Group::Referrer) => ("referrer_host", "null::text"),
        Some(Group::Device) => ("device", "null::text"),
        Some(Group::Browser) => ("browser", "null::text"),
        Some(Group::Os) => ("os", "null::text"),
        Some(Group::Trigger) => ("trigger", "null::text"),
        Some(Group::Campaign) => (table.campaign(), "null::text"),
        Some(Group::Domain) => ("domain", "null::text"),
        Some(Group::Hour | Group::Day | Group::Week | Group::Month) => ("", "null::text"),
    };
    match group {
        Some(group) if group.is_time() => push_span(sql, scope, group, CLICKED_AT),
        _ => {
            sql.push(raw);
        }
    }
    let bot = table.is_bot();
    sql.push(format_args!(
        " as raw, {label} as label, (max(array[click_id]))[1] as click,
          count(*) filter (where not ({bot}) and trigger <> 'qr') as human_link,
          count(*) filter (where not ({bot}) and trigger = 'qr') as human_qr,
          count(*) filter (where {bot} and trigger <> 'qr') as bot_link,
          count(*) filter (where {bot} and trigger = 'qr') as bot_qr
          from {} where workspace_id = ",
        table.name()
    ));
    sql.push_bind(scope.workspace).push(" and click_id >= ").push_bind(first_id(scope.from));
    sql.push(" and click_id < ").push_bind(first_id(scope.to));
    if let (Some(as_of), Table::Facts) = (scope.as_of, table) {
        sql.push(" and recorded_at <= ").push_bind(as_of.0);
    }
    if whose == Whose::Partners {
        sql.push(" and partner_id is not null");
    }
    push_filter(sql, scope);
    sql.push(" group by 1, 2) counted");
}

/// Cells read from one dimension of the rollups: whole days inside the range, quarter-hours at its ends.
fn push_rollups(sql: &mut Sql, scope: &Scope, group: Option<Group>, whose: Whose, dimension: &'static str) {
    push_cell(sql, scope, group);
    sql.push(" from (select ");
    match group {
        None => {
            sql.push("'all' as raw, null::text as label");
        }
        Some(group) if group.is_time() => {
            push_span(sql, scope, group, "bucket");
            sql.push(" as raw, null::text as label");
        }
        Some(_) => {
            sql.push("key as raw, label");
        }
    }
    sql.push(", label_click_id as click, human_link, human_qr, bot_link, bot_qr");
    push_buckets(sql, scope, group, dimension);
    if whose == Whose::Partners && dimension == "partner" {
        sql.push(" and key <> 'none'");
    }
    let filter = &scope.filter;
    let key = filter
        .partner
        .map(|id| id.uuid().to_string())
        .or_else(|| filter.program.map(|id| id.uuid().to_string()))
        .or_else(|| filter.link.map(|id| id.uuid().to_string()))
        .or_else(|| filter.country.clone())
        .or_else(|| filter.domain.clone());
    if let Some(key) = key {
        sql.push(" and key = ").push_bind(key);
    }
    if let Some(tag) = &filter.tag {
        push_tagged(sql, scope, "key", "id::text", tag.clone());
    }
    sql.push(") counted");
}

/// Negative cells for the clicks that had no partner. Without a partner there is no program either, so under
/// programs they all stand at `none`.
fn push_unpartnered(sql: &mut Sql, scope: &Scope, group: Option<Group>) {
    push_cell(sql, scope, group);
    sql.push(" from (select ");
    match group {
        Some(group) if group.is_time() => push_span(sql, scope, group, "bucket"),
        Some(_) => {
            sql.push("'none'");
        }
        None => {
            sql.push("'all'");
        }
    }
    sql.push(
        " as raw, null::text as label, null::uuid as click, -human_link as human_link, -human_qr as human_qr, \
         -bot_link as bot_link, -bot_qr as bot_qr",
    );
    push_buckets(sql, scope, group, "partner");
    sql.push(" and key = 'none') counted");
}

fn push_buckets(sql: &mut Sql, scope: &Scope, group: Option<Group>, dimension: &'static str) {
    sql.push(" from click_rollups where workspace_id = ").push_bind(scope.workspace);
    sql.push(format_args!(" and dimension = '{dimension}' and "));
    let (from, to) = (scope.from, scope.to);
    let whole_days = if group.is_some_and(Group::is_time) { None } else { whole_days(from, to) };
    match whole_days {
        None => {
            sql.push("grain = 'quarter' and bucket >= ").push_bind(from.0);
            sql.push(" and bucket < ").push_bind(to.0);
        }
        Some((first, last)) => {
            sql.push("(grain = 'day' and bucket >= ").push_bind(first.0);
            sql.push(" and bucket < ").push_bind(last.0);
            sql.push(" or grain = 'quarter' and (bucket >= ").push_bind(from.0);
            sql.push(" and bucket < ").push_bind(first.0);
            sql.push(" or bucket >= ").push_bind(last.0);
            sql.push(" and bucket < ").push_bind(to.0).push("))");
        }
    }
}

/// The head of a cell over `counted(raw, label, click, …)`: `raw` as text, and `latest`.
fn push_cell(sql: &mut Sql, scope: &Scope, group: Option<Group>) {
    sql.push("select ");
    push_span_text(sql, group);
    sql.push(" as key, coalesce(click::text, repeat('0', 36)) || coalesce(");
    push_span_label(sql, scope, group);
    sql.push(", '') as latest, human_link, human_qr, bot_link, bot_qr");
}

/// The least id of a click at or after a moment.
pub fn first_id(at: At) -> Uuid {
    Uuid::from_u128(u128::from(at.millis().0.max(0).unsigned_abs()) << 80)
}

/// The whole UTC days inside a range, if there is one.
fn whole_days(from: At, to: At) -> Option<(At, At)> {
    const DAY: i64 = shared::Millis::DAY;
    let first = from.millis().0.div_euclid(DAY) + i64::from(from.millis().0.rem_euclid(DAY) != 0);
    let last = to.millis().0.div_euclid(DAY);
    (first < last).then(|| (At::from_millis(shared::Millis(first * DAY)), At::from_millis(shared::Millis(last * DAY))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::reports::Filter;

    fn scope(from: &str, to: &str) -> Scope {
        Scope {
            workspace: shared::Id::from_uuid(Uuid::nil()),
            from: At::parse(from).unwrap(),
            to: At::parse(to).unwrap(),
            tz: chrono_tz::UTC,
            as_of: None,
            filter: Filter::default(),
        }
    }

    #[test]
    fn rollups_answer_where_one_dimension_is_in_play() {
        let rollups = |dimension, less_unpartnered| Plan::Rollups { dimension, less_unpartnered };
        let march = scope("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
        assert_eq!(plan(&march, Some(Group::Partner), Whose::All), rollups("partner", false));
        assert_eq!(plan(&march, Some(Group::Day), Whose::All), rollups("all", false));
        assert_eq!(plan(&march, Some(Group::Day), Whose::Partners), rollups("all", true));
        assert_eq!(plan(&march, Some(Group::Program), Whose::Partners), rollups("program", true));
        assert_eq!(plan(&march, Some(Group::Country), Whose::Partners), Plan::Facts);

        let mut tagged = march.clone();
        tagged.filter.tag = Some("vip".into());
        assert_eq!(plan(&tagged, Some(Group::Partner), Whose::All), rollups("partner", false));
        assert_eq!(plan(&tagged, Some(Group::Week), Whose::Partners), rollups("partner", false));
        assert_eq!(plan(&tagged, Some(Group::Link), Whose::All), Plan::Facts);

        let uneven = scope("2026-03-01T00:00:00.001Z", "2026-04-01T00:00:00Z");
        assert_eq!(plan(&uneven, Some(Group::Partner), Whose::All), Plan::Facts);
        let past = Scope { as_of: Some(march.to), ..march };
        assert_eq!(plan(&past, Some(Group::Partner), Whose::All), Plan::Facts);
    }

    #[test]
    fn finds_the_whole_days_inside() {
        let days = |from, to| {
            let scope = scope(from, to);
            whole_days(scope.from, scope.to).map(|(first, last)| (first.to_string(), last.to_string()))
        };
        assert_eq!(
            days("2026-03-01T00:15:00Z", "2026-03-03T23:45:00Z"),
            Some(("2026-03-02T00:00:00.000Z".into(), "2026-03-03T00:00:00.000Z".into()))
        );
        assert_eq!(days("2026-03-01T00:15:00Z", "2026-03-02T23:45:00Z"), None);
        assert_eq!(
            days("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            Some(("2026-03-01T00:00:00.000Z".into(), "2026-03-02T00:00:00.000Z".into()))
        );
    }
}
