//! The cells that reports of clicks are made of: counts under keys, read from rollups and deltas, or from facts.

use uuid::Uuid;

use super::{
    super::{
        Scope,
        fragments::{Sql, push_filter, push_key, push_span, push_span_label, push_span_text},
        spans::{Span, has_whole_quarters, spans},
    },
    Group,
};
use crate::time::At;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Everybody's clicks, in four kinds.
    Kinds,
    /// Humans' clicks that had a partner.
    Reach,
}

impl Measure {
    /// Its columns in the rollups.
    const fn columns(self) -> &'static str {
        match self {
            Self::Kinds => "human_link, human_qr, bot_link, bot_qr",
            Self::Reach => "human_partner",
        }
    }

    /// Their sums; 0 of nothing.
    pub(super) const fn sums(self) -> &'static str {
        match self {
            Self::Kinds => {
                "add_up(human_link) as human_link, add_up(human_qr) as human_qr, add_up(bot_link) as bot_link, \
                 add_up(bot_qr) as bot_qr"
            }
            Self::Reach => "add_up(human_partner) as human_partner",
        }
    }

    /// The same, counted from single clicks.
    fn counts(self, bot: &str) -> String {
        match self {
            Self::Kinds => format!(
                "count(*) filter (where not ({bot}) and trigger <> 'qr') as human_link,
                 count(*) filter (where not ({bot}) and trigger = 'qr') as human_qr,
                 count(*) filter (where {bot} and trigger <> 'qr') as bot_link,
                 count(*) filter (where {bot} and trigger = 'qr') as bot_qr"
            ),
            Self::Reach => format!("count(*) filter (where not ({bot}) and partner_id is not null) as human_partner"),
        }
    }
}

/// Where clicks are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// This dimension of the rollups.
    Rollups(&'static str),
    /// The clicks themselves.
    Facts,
}

/// Rollups hold the latest state, by quarter-hours, of one dimension at a time.
pub(super) fn plan(scope: &Scope, group: Option<Group>) -> Plan {
    let filter = &scope.filter;
    match filter.dimension_with(group.and_then(Group::dimension)) {
        Some(dimension) if scope.as_of.is_none() && has_whole_quarters(scope) => Plan::Rollups(dimension),
        _ => Plan::Facts,
    }
}

/// Writes `with cells, base, groups`: `base` has each click once, under a key; `groups` has what the report shows.
///
/// Both have `last`, the latest bucket of the rollups that counts, and `latest`, the id of the latest single click with
/// the label that it carried behind it.
pub(super) fn base(scope: &Scope, group: Option<Group>, measure: Measure) -> Sql {
    base_of(scope, group, measure, None)
}

/// The same, where only groups of some keys matter: others may be missing.
pub(super) fn base_of(scope: &Scope, group: Option<Group>, measure: Measure, keys: Option<&[String]>) -> Sql {
    let (columns, sums) = (measure.columns(), measure.sums());
    let mut sql = Sql::new("with cells as (");
    match plan(scope, group) {
        Plan::Facts => push_clicks(&mut sql, scope, group, measure, Table::Facts),
        Plan::Rollups(dimension) => {
            // A tag's partners have other keys, and so have the buckets of a span of time.
            let of_rows = group.is_some_and(|group| !group.is_time() && group != Group::Tag);
            push_rollups(&mut sql, scope, group, measure, dimension, keys.filter(|_| of_rows));
            sql.push(" union all ");
            push_clicks(&mut sql, scope, group, measure, Table::Deltas);
        }
    }
    sql.push(format_args!(
        "), base as materialized (
           select key, max(last) as last, max(latest collate \"C\") as latest, {sums} from cells group by key
         ), groups as (",
    ));
    if group == Some(Group::Tag) {
        sql.push(format_args!(
            "select tag as key, null::timestamptz as last, repeat('0', 36) || nullif(tag, 'none') as latest, {sums} from base
             left join partners p on p.id::text = base.key and p.workspace_id = ",
        ));
        sql.push_bind(scope.workspace);
        sql.push(
            " cross join lateral unnest(case when cardinality(p.tags) > 0 then p.tags else '{none}' end) as tag \
             group by tag)",
        );
    } else {
        sql.push(format_args!("select key, last, latest, {columns} from base)"));
    }
    sql
}

/// Writes the label of the group `g`, and behind it whatever is needed to know it: `from` are rows of `groups`. Names are
/// looked up for the groups that are shown, not carried through the counting.
pub(super) fn push_labelled(sql: &mut Sql, scope: &Scope, group: Group, from: impl FnOnce(&mut Sql)) {
    let named = match plan(scope, Some(group)) {
        Plan::Rollups(dimension) if matches!(group, Group::Partner | Group::Program | Group::Link) => Some(dimension),
        _ => None,
    };
    let Some(dimension) = named else {
        sql.push(
            "case when g.key <> 'none' then coalesce(nullif(substr(g.latest, 37), ''), g.key) end as label from (",
        );
        from(sql);
        sql.push(") g");
        return;
    };
    // The later of the two knows: the rollups' latest bucket, or the latest click that is not folded yet.
    sql.push(
        "case when g.key <> 'none' then coalesce(
           case when g.latest is null or n.label_click_id::text > left(g.latest, 36) then n.label
             else nullif(substr(g.latest, 37), '') end, g.key) end as label
         from (",
    );
    from(sql);
    sql.push(") g left join click_rollups n on n.workspace_id = ").push_bind(scope.workspace);
    sql.push(format_args!(
        " and n.dimension = '{dimension}' and n.bucket = g.last and n.key = g.key and n.grain = case"
    ));
    for Span { grain, to, .. } in spans(scope, Some(group)) {
        sql.push(" when g.last < ").push_bind(to.0).push(format_args!(" then '{grain}'"));
    }
    sql.push(" end");
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
fn push_clicks(sql: &mut Sql, scope: &Scope, group: Option<Group>, measure: Measure, table: Table) {
    push_cell(sql, scope, group, measure);
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
    let counts = measure.counts(table.is_bot());
    sql.push(format_args!(
        " as raw, {label} as label, (max(array[click_id]))[1] as click, {counts} from {} where workspace_id = ",
        table.name()
    ));
    sql.push_bind(scope.workspace).push(" and click_id >= ").push_bind(first_id(scope.from));
    sql.push(" and click_id < ").push_bind(first_id(scope.to));
    if let (Some(end), Table::Facts) = (scope.known_before(), table) {
        sql.push(" and recorded_at < ").push_bind(end.0);
    }
    push_filter(sql, scope);
    sql.push(" group by 1, 2) counted");
}

/// Cells read from one dimension of the rollups.
fn push_rollups(
    sql: &mut Sql,
    scope: &Scope,
    group: Option<Group>,
    measure: Measure,
    dimension: &'static str,
    keys: Option<&[String]>,
) {
    let columns = measure.columns();
    match group {
        // Many buckets make few spans of time: they are added up before they are written out.
        Some(group) if group.is_time() => {
            push_cell(sql, scope, Some(group), measure);
            sql.push(" from (select ");
            push_span(sql, scope, group, "bucket");
            sql.push(format_args!(" as raw, null::text as label, null::uuid as click, {}", measure.sums()));
            push_buckets(sql, scope, Some(group), measure, dimension, None);
            sql.push(" group by 1) counted");
        }
        _ => {
            let key = if group.is_some() { "key" } else { "'all'" };
            // Where names are looked up, the latest bucket knows them.
            let named = matches!(group, Some(Group::Partner | Group::Program | Group::Link));
            let last = if named { "bucket" } else { "null::timestamptz" };
            sql.push(format_args!("select {key} as key, {last} as last, null::text as latest, {columns}"));
            push_buckets(sql, scope, group, measure, dimension, keys);
        }
    }
}

/// The rows of one dimension that make up the range, span by span.
fn push_buckets(
    sql: &mut Sql,
    scope: &Scope,
    group: Option<Group>,
    measure: Measure,
    dimension: &'static str,
    keys: Option<&[String]>,
) {
    let columns = measure.columns();
    let mut between = " from (";
    for Span { grain, from, to } in spans(scope, group) {
        sql.push(between).push(format_args!("select key, bucket, {columns} from click_rollups where workspace_id = "));
        sql.push_bind(scope.workspace);
        sql.push(format_args!(" and dimension = '{dimension}' and grain = '{grain}' and bucket >= "));
        sql.push_bind(from.0).push(" and bucket < ").push_bind(to.0);
        push_key(sql, scope);
        if let Some(keys) = keys {
            sql.push(" and key = any(").push_bind(keys.to_vec()).push(")");
        }
        between = " union all ";
    }
    sql.push(") buckets");
}

/// The head of a cell over `counted(raw, label, click, …)`: `raw` as text, and `latest`.
fn push_cell(sql: &mut Sql, scope: &Scope, group: Option<Group>, measure: Measure) {
    sql.push("select ");
    push_span_text(sql, group);
    sql.push(" as key, null::timestamptz as last, coalesce(click::text, repeat('0', 36)) || coalesce(");
    push_span_label(sql, scope, group);
    sql.push(format_args!(", '') as latest, {}", measure.columns()));
}

/// The least id of a click at or after a moment.
pub fn first_id(at: At) -> Uuid {
    Uuid::from_u128(u128::from(at.millis().0.max(0).unsigned_abs()) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::reports::Filter;

    #[test]
    fn rollups_answer_where_one_dimension_is_in_play() {
        let march = Scope {
            workspace: shared::Id::from_uuid(Uuid::nil()),
            from: At::parse("2026-03-01T00:00:00Z").unwrap(),
            to: At::parse("2026-04-01T00:00:00Z").unwrap(),
            tz: chrono_tz::UTC,
            as_of: None,
            filter: Filter::default(),
        };
        assert_eq!(plan(&march, Some(Group::Partner)), Plan::Rollups("partner"));
        assert_eq!(plan(&march, Some(Group::Day)), Plan::Rollups("all"));
        assert_eq!(plan(&march, None), Plan::Rollups("all"));

        let mut tagged = march.clone();
        tagged.filter.tag = Some("vip".into());
        assert_eq!(plan(&tagged, Some(Group::Partner)), Plan::Rollups("partner"));
        assert_eq!(plan(&tagged, Some(Group::Week)), Plan::Rollups("partner"));
        assert_eq!(plan(&tagged, Some(Group::Link)), Plan::Facts);

        let uneven = Scope { from: At::parse("2026-03-01T00:00:00.001Z").unwrap(), ..march.clone() };
        assert_eq!(plan(&uneven, Some(Group::Partner)), Plan::Facts);
        let past = Scope { as_of: Some(march.to), ..march };
        assert_eq!(plan(&past, Some(Group::Partner)), Plan::Facts);
    }
}
