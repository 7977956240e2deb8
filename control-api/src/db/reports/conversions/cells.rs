//! The cells that reports of conversions are made of: sums under keys, by currency.
//!
//! The rollups hold months of every dimension, and of all conversions together also days and quarter-hours. What of a range
//! is none of these is summed one by one: at most the two months at its ends.

use super::{
    super::{
        Bots, Scope,
        fragments::{Sql, push_filter, push_key, push_span, push_span_label, push_span_text},
        spans::{Span, cut, grains, has_whole_quarters},
    },
    Group,
};
use crate::time::At;

/// Where a range is summed from.
struct Plan {
    /// The dimension of the rollups that holds filter and group.
    dimension: &'static str,
    /// What is read from rollups, and of what is not folded yet. One behind the other, without a gap.
    spans: Vec<Span>,
    /// What is summed one by one.
    rest: Vec<(At, At)>,
}

impl Plan {
    fn of(scope: &Scope, group: Option<Group>) -> Self {
        let whole = Self { dimension: "all", spans: vec![], rest: vec![(scope.from, scope.to)] };
        if scope.as_of.is_some() {
            return whole;
        }
        let Some(dimension) = scope.filter.dimension_with(group.and_then(Group::dimension)) else { return whole };
        let span_of_time = group.and_then(Group::of_clicks).filter(|group| group.is_time());
        let held: &[&'static str] = match (dimension, span_of_time) {
            ("all", span) => {
                let finest = usize::from(!has_whole_quarters(scope));
                grains(scope, span).get(finest..).unwrap_or_default()
            }
            // Months of another zone are no months of the rollups.
            (_, Some(_)) => &[],
            (_, None) => &["month"],
        };
        let spans = cut(scope.from, scope.to, held);
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return whole };
        let ends = [(scope.from, first.from), (last.to, scope.to)];
        let rest = ends.into_iter().filter(|(from, to)| from < to).collect();
        Self { dimension, spans, rest }
    }

    /// The range that the rollups hold.
    fn held(&self) -> Option<(At, At)> {
        Some((self.spans.first()?.from, self.spans.last()?.to))
    }
}

/// The columns that a cell has behind its key.
const SUMS: &str = "leads, sales, refunds, cancellations, reversals, gross, negative, reward";

/// The same, added up.
const ADDED: &str = "add_up(leads) as leads, add_up(sales) as sales, add_up(refunds) as refunds, \
                     add_up(cancellations) as cancellations, add_up(reversals) as reversals, sum(gross) as gross, \
                     sum(negative) as negative, sum(reward) as reward";

/// Writes `with counted, base, groups`: `base` has each conversion once, in a row per key and its currencies; `groups` has
/// what the report shows. `latest` is the id of the latest click with the label that it carried behind it.
pub(super) fn base(scope: &Scope, group: Group, bots: Bots) -> Sql {
    let plan = Plan::of(scope, Some(group));
    let span = group.of_clicks();
    let mut sql = Sql::new("with counted as (");
    push_rollups(&mut sql, scope, group, bots, &plan);
    let mut between = if plan.spans.is_empty() { "" } else { " union all " };
    if let Some(range) = plan.held() {
        sql.push(between);
        push_facts(&mut sql, scope, group, bots, range, Table::Deltas);
    }
    for range in &plan.rest {
        sql.push(between);
        push_facts(&mut sql, scope, group, bots, *range, Table::Facts);
        between = " union all ";
    }
    // Added up first, written out after that: a year has far more cells than keys.
    sql.push("), base as materialized (select ");
    push_span_text(&mut sql, span);
    sql.push(" as key, ");
    if span.is_some_and(|span| span.is_time()) {
        sql.push("repeat('0', 36) || coalesce(");
        push_span_label(&mut sql, scope, span);
        sql.push(", '')");
    } else {
        sql.push("coalesce(named, repeat('0', 36))");
    }
    sql.push(format_args!(
        " collate \"C\" as latest, currency, reward_currency, {SUMS}
         from (select raw, max(named collate \"C\") as named, null::text as label, currency, reward_currency, {ADDED}
               from counted group by raw, currency, reward_currency) cells), groups as ("
    ));
    if group == Group::Tag {
        sql.push(format_args!(
            "select tag as key, repeat('0', 36) || tag as latest, currency, reward_currency, {SUMS}
             from base left join partners p on p.id::text = base.key and p.workspace_id = "
        ));
        sql.push_bind(scope.workspace);
        sql.push(" cross join lateral unnest(case when cardinality(p.tags) > 0 then p.tags else '{none}' end) as tag)");
    } else {
        sql.push("select * from base)");
    }
    sql
}

/// Cells read from the rollups.
fn push_rollups(sql: &mut Sql, scope: &Scope, group: Group, bots: Bots, plan: &Plan) {
    let time = group.of_clicks().filter(|group| group.is_time());
    let mut between = "";
    for span in &plan.spans {
        sql.push(between).push("select ");
        match time {
            Some(time) => {
                push_span(sql, scope, time, "bucket");
                sql.push(" as raw, null::text as named");
            }
            None if group.has_labels() => {
                sql.push("key as raw, label_click_id::text || coalesce(label, '') as named");
            }
            None => {
                sql.push("key as raw, null::text as named");
            }
        }
        sql.push(format_args!(
            ", nullif(currency, '') as currency, nullif(reward_currency, '') as reward_currency, {SUMS}"
        ));
        push_buckets(sql, scope, bots, plan.dimension, *span);
        // Where all are credited to nobody there is nothing to show.
        sql.push(" and leads + sales + refunds + cancellations + reversals > 0");
        between = " union all ";
    }
}

/// The rows of one dimension that make up a span.
fn push_buckets(sql: &mut Sql, scope: &Scope, bots: Bots, dimension: &'static str, span: Span) {
    sql.push(" from conversion_rollups where workspace_id = ").push_bind(scope.workspace);
    sql.push(format_args!(" and dimension = '{dimension}' and grain = '{}' and bucket >= ", span.grain));
    sql.push_bind(span.from.0).push(" and bucket < ").push_bind(span.to.0);
    sql.push(match bots {
        Bots::All => "",
        Bots::Human => " and not bot",
        Bots::Bot => " and bot",
    });
    push_key(sql, scope);
}

/// Both hold conversions one by one.
#[derive(Clone, Copy)]
enum Table {
    Facts,
    /// Those that the rollups don't hold yet.
    Deltas,
}

impl Table {
    const fn from(self) -> &'static str {
        match self {
            Self::Facts => "conversion_facts f",
            Self::Deltas => {
                "conversion_deltas d join conversion_facts f on f.workspace_id = d.workspace_id and f.id = d.id"
            }
        }
    }
}

/// Cells summed from single conversions.
fn push_facts(sql: &mut Sql, scope: &Scope, group: Group, bots: Bots, range: (At, At), table: Table) {
    let (raw, label) = group.raw_and_label();
    let named =
        if group.has_labels() { format!("click_id::text || coalesce({label}, '')") } else { "null::text".to_owned() };
    sql.push(
        "select raw, max(named collate \"C\") as named, currency, reward_currency,
           count(*) filter (where type = 'lead') as leads, count(*) filter (where type = 'sale') as sales,
           count(*) filter (where type = 'refund') as refunds,
           count(*) filter (where type = 'cancellation') as cancellations,
           count(*) filter (where type = 'reversal') as reversals,
           coalesce(sum(gross), 0) as gross, -coalesce(sum(negative), 0) as negative, coalesce(sum(reward), 0) as reward
         from (select ",
    );
    match group.of_clicks() {
        Some(span) if span.is_time() => push_span(sql, scope, span, "occurred_at"),
        _ => {
            sql.push(raw);
        }
    }
    sql.push(format_args!(
        " as raw, {named} as named, type, amount_currency as currency, reward_currency, gross, negative, reward from {}",
        table.from()
    ));
    push_where(sql, scope, bots, range, table);
    sql.push(" and status = 'attributed') matched group by raw, currency, reward_currency");
}

/// The conversions of a range that were final, as far as they were known at `as_of`.
fn push_where(sql: &mut Sql, scope: &Scope, bots: Bots, (from, to): (At, At), table: Table) {
    sql.push(" where f.workspace_id = ").push_bind(scope.workspace);
    if matches!(table, Table::Deltas) {
        sql.push(" and d.workspace_id = ").push_bind(scope.workspace);
    }
    sql.push(" and occurred_at >= ").push_bind(from.0).push(" and occurred_at < ").push_bind(to.0);
    if let Some(end) = scope.known_before() {
        sql.push(" and recorded_at < ").push_bind(end.0).push(" and attributed_at < ").push_bind(end.0);
    }
    push_bots(sql, bots);
    push_filter(sql, scope);
}

/// Chooses by the click behind each conversion.
pub(super) fn push_bots(sql: &mut Sql, bots: Bots) {
    sql.push(match bots {
        Bots::All => "",
        Bots::Human => " and bot_reason is null",
        Bots::Bot => " and bot_reason is not null",
    });
}

/// Writes the number of conversions that are credited to nobody, finally.
pub(super) fn push_unattributed(sql: &mut Sql, scope: &Scope, bots: Bots) {
    let plan = Plan::of(scope, None);
    sql.push("select coalesce(sum(n), 0)::bigint from (select 0::bigint as n");
    for span in &plan.spans {
        sql.push(" union all select sum(unattributed)::bigint");
        push_buckets(sql, scope, bots, plan.dimension, *span);
    }
    let held = plan.held().map(|range| (range, Table::Deltas));
    for (range, table) in held.into_iter().chain(plan.rest.iter().map(|range| (*range, Table::Facts))) {
        sql.push(format_args!(" union all select count(*) from {}", table.from()));
        push_where(sql, scope, bots, range, table);
        sql.push(" and status = 'unattributed'");
    }
    sql.push(") parts");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::reports::Filter;

    #[test]
    fn whole_months_come_from_rollups_and_their_ends_from_facts() {
        let at = |text: &str| At::parse(text).unwrap();
        let year = Scope {
            workspace: shared::Id::from_uuid(uuid::Uuid::nil()),
            from: at("2025-03-10T00:00:00Z"),
            to: at("2026-03-10T00:00:00Z"),
            tz: chrono_tz::UTC,
            as_of: None,
            filter: Filter::default(),
        };
        let months = (at("2025-04-01T00:00:00Z"), at("2026-03-01T00:00:00Z"));
        let plan = Plan::of(&year, Some(Group::Partner));
        assert_eq!((plan.dimension, plan.held()), ("partner", Some(months)));
        assert_eq!(plan.rest, [(year.from, months.0), (months.1, year.to)]);
        // Of all of them, days too.
        let plan = Plan::of(&year, Some(Group::Month));
        assert_eq!((plan.held(), plan.rest.len()), (Some((year.from, year.to)), 0));
        let filter = Filter { country: Some("DE".into()), ..Filter::default() };
        let filtered = Scope { filter, ..year };
        assert_eq!(Plan::of(&filtered, Some(Group::Country)).held(), Some(months));
        assert_eq!(Plan::of(&filtered, Some(Group::Day)).held(), None);
        assert_eq!(Plan::of(&filtered, Some(Group::Partner)).held(), None);
        let past = Scope { as_of: Some(year.to), ..year.clone() };
        assert_eq!(Plan::of(&past, Some(Group::Partner)).held(), None);
        // Days of another zone are made of quarter-hours, and only whole ones can make them.
        let berlin = Scope { tz: chrono_tz::Europe::Berlin, ..year.clone() };
        assert_eq!(Plan::of(&berlin, Some(Group::Day)).held(), Some((year.from, year.to)));
        let uneven = Scope { from: at("2025-03-10T00:00:01Z"), ..berlin };
        assert_eq!(Plan::of(&uneven, Some(Group::Day)).held(), None);
        let uneven = Scope { from: uneven.from, ..year };
        assert_eq!(Plan::of(&uneven, Some(Group::Day)).rest, [(uneven.from, at("2025-03-11T00:00:00Z"))]);
    }
}
