//! Reads the cells that reports of conversions are made of: sums under keys, by currency.
//!
//! The rollups hold months of every dimension, and of all conversions together also days and quarter-hours; packs hold
//! these, and days and weeks of every dimension. What of a range is none of these is summed one by one: the hours at its
//! ends, and days that are not packed yet.

use sqlx::PgConnection;

use super::super::fragments::{Sql, Stored, key_and_label, push_filter, push_key, stored};
use super::super::tags::tags;
use crate::packs::{self, Cache};
use analytics::{
    conversions::{Cells, Row},
    grain::{Facts, Grain},
    group::ConversionGroup,
    scope::{Bots, Filter, Scope},
    spans::{Covered, Span, cut, grains, has_whole_quarters, packable},
};
use model::time::Timestamp;

/// Where a range is summed from.
#[derive(Default)]
struct Plan {
    /// The dimension of the rollups that holds filter and group.
    dimension: &'static str,
    /// What may be packed.
    packable: Vec<Span>,
    /// What is read from rollups.
    rows: Vec<Span>,
}

impl Plan {
    /// `None`: everything is summed one by one.
    fn of(scope: &Scope, group: Option<ConversionGroup>) -> Option<Self> {
        if scope.as_of.is_some() {
            return None;
        }
        let dimension = scope.filter.dimension_with(group.and_then(ConversionGroup::dimension))?;
        let span_of_time = group.and_then(ConversionGroup::of_clicks).filter(|group| group.is_time());
        let plain = scope.filter == Filter::default();
        let held: &[Grain] = match (dimension, span_of_time) {
            ("all", span) => {
                let finest = usize::from(!has_whole_quarters(scope));
                grains(scope, span).get(finest..).unwrap_or_default()
            }
            // Months of another zone are no months of the rollups.
            (_, Some(_)) => &[],
            (_, None) if plain => &[Grain::Day, Grain::Week, Grain::Month],
            (_, None) => &[Grain::Month],
        };
        let spans = cut(scope.from, scope.to, held);
        if !plain {
            return Some(Self { dimension, packable: vec![], rows: spans });
        }
        if dimension != "all" {
            return Some(Self { dimension, packable: spans, rows: vec![] });
        }
        // Of all conversions together, days and months are few rows.
        let (quarters, mut rows): (Vec<Span>, Vec<Span>) =
            spans.into_iter().partition(|span| span.grain == Grain::Quarter);
        let Covered { packable, rest } = packable(&quarters);
        rows.extend(rest);
        Some(Self { dimension, packable, rows })
    }

    /// Takes up spans that turned out not to be packed, where the rollups have them.
    fn unpack(&mut self, spans: Vec<Span>) {
        let has_days = self.dimension == "all";
        self.rows.extend(spans.into_iter().filter(|span| has_days || span.grain == Grain::Month));
    }
}

/// What of a range none of some spans covers.
fn between(from: Timestamp, to: Timestamp, spans: &[Span]) -> Vec<(Timestamp, Timestamp)> {
    let mut spans: Vec<(Timestamp, Timestamp)> = spans.iter().map(|span| (span.from, span.to)).collect();
    spans.sort_unstable();
    let mut ranges = vec![];
    let mut reached = from;
    for (from, to) in spans.into_iter().chain([(to, to)]) {
        if reached < from {
            ranges.push((reached, from));
        }
        reached = reached.max(to);
    }
    ranges
}

/// Reads each partner-attributed conversion in scope once.
pub(super) async fn read(
    db: &mut PgConnection,
    cache: &Cache,
    scope: &Scope,
    group: ConversionGroup,
    bots: Bots,
) -> sqlx::Result<Cells> {
    let mut cells = Cells { group: group.of_clicks(), tz: scope.tz, bots, ..Cells::default() };
    if group == ConversionGroup::Tag {
        cells.tags = Some(tags(&mut *db, scope.workspace).await?);
    }
    let mut held = vec![];
    let mut sql = Sql::new("");
    let mut union = "";
    if let Some(mut plan) = Plan::of(scope, Some(group)) {
        let (packs, missing) =
            packs::read(&mut *db, cache, scope.workspace.uuid(), (Facts::Conversions, plan.dimension), &plan.packable)
                .await?;
        cells.packs = packs;
        held = plan.packable.iter().flat_map(|span| outside(*span, &missing)).collect();
        plan.unpack(missing);
        for span in &plan.rows {
            sql.push(union);
            push_rollups(&mut sql, scope, group, bots, plan.dimension, *span);
            union = " union all ";
        }
        held.extend(plan.rows);
        // What is held knows nothing of what isn't folded yet.
        for (from, to) in runs(&held) {
            sql.push(union);
            push_facts(&mut sql, scope, group, bots, (from, to), Table::Deltas);
            union = " union all ";
        }
    }
    for range in between(scope.from, scope.to, &held) {
        sql.push(union);
        push_facts(&mut sql, scope, group, bots, range, Table::Facts);
        union = " union all ";
    }
    if !union.is_empty() {
        cells.rows = stored(sql.build_query_as::<Stored<Row>>().fetch_all(db).await?);
    }
    Ok(cells)
}

/// What of a span lies outside of some others.
fn outside(span: Span, others: &[Span]) -> Vec<Span> {
    let clip = |other: &Span| Span { from: other.from.max(span.from), to: other.to.min(span.to), ..*other };
    let inside: Vec<Span> = others.iter().map(clip).filter(|other| other.from < other.to).collect();
    between(span.from, span.to, &inside).into_iter().map(|(from, to)| Span { from, to, ..span }).collect()
}

/// Spans as ranges, those that touch in one.
fn runs(spans: &[Span]) -> Vec<(Timestamp, Timestamp)> {
    let mut spans: Vec<(Timestamp, Timestamp)> = spans.iter().map(|span| (span.from, span.to)).collect();
    spans.sort_unstable();
    let mut runs: Vec<(Timestamp, Timestamp)> = vec![];
    for (from, to) in spans {
        match runs.last_mut() {
            Some(run) if run.1 == from => run.1 = to,
            _ => runs.push((from, to)),
        }
    }
    runs
}

/// The columns that a cell has behind what it is of, added up.
const SUMS: &str = "sum(leads)::bigint as leads, sum(sales)::bigint as sales, sum(refunds)::bigint as refunds, \
                    sum(cancellations)::bigint as cancellations, sum(reversals)::bigint as reversals, \
                    sum(gross)::text as gross, sum(negative)::text as negative, sum(reward)::text as reward";

/// Cells read from the rollups: by bucket where time matters, else by key.
fn push_rollups(sql: &mut Sql, scope: &Scope, group: ConversionGroup, bots: Bots, dimension: &str, span: Span) {
    let by_time = group.is_time();
    sql.push("select ").push(if by_time { "bucket as at, null as key" } else { "null::timestamptz as at, key" });
    sql.push(if group.has_labels() {
        ", max((label_click_id::text || coalesce(label, '')) collate \"C\") as latest"
    } else {
        ", null::text as latest"
    });
    sql.push(format_args!(", currency, reward_currency, {SUMS}"));
    push_buckets(sql, scope, bots, dimension, span);
    // Where all are credited to nobody there is nothing to show.
    sql.push(" and leads + sales + refunds + cancellations + reversals > 0 group by ");
    sql.push(if by_time { "bucket" } else { "key" }).push(", currency, reward_currency");
}

/// The rows of one dimension that make up a span.
fn push_buckets(sql: &mut Sql, scope: &Scope, bots: Bots, dimension: &str, span: Span) {
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
fn push_facts(
    sql: &mut Sql,
    scope: &Scope,
    group: ConversionGroup,
    bots: Bots,
    range: (Timestamp, Timestamp),
    table: Table,
) {
    let (key, label) = key_and_label(group);
    let at = match group.is_time() {
        true => "date_bin('15 minutes', occurred_at, timestamptz '2000-01-01 00:00:00Z')",
        false => "null::timestamptz",
    };
    let latest = match group.has_labels() {
        true => format!("max((click_id::text || coalesce({label}, '')) collate \"C\")"),
        false => "null::text".to_owned(),
    };
    sql.push(format_args!(
        "select {at} as at, {key} as key, {latest} as latest, coalesce(amount_currency, '') as currency,
           coalesce(reward_currency, '') as reward_currency,
           count(*) filter (where type = 'lead') as leads, count(*) filter (where type = 'sale') as sales,
           count(*) filter (where type = 'refund') as refunds,
           count(*) filter (where type = 'cancellation') as cancellations,
           count(*) filter (where type = 'reversal') as reversals,
           coalesce(sum(gross), 0)::text as gross, (-coalesce(sum(negative), 0))::text as negative,
           coalesce(sum(reward), 0)::text as reward
         from {}",
        table.from()
    ));
    push_where(sql, scope, bots, range, table);
    sql.push(" and status = 'attributed' group by 1, 2, 4, 5");
}

/// The conversions of a range that were final, as far as they were known at `as_of`.
fn push_where(sql: &mut Sql, scope: &Scope, bots: Bots, (from, to): (Timestamp, Timestamp), table: Table) {
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
    let plan = Plan::of(scope, None).unwrap_or_default();
    // Without a group, what may be packed are quarter-hours, which the rollups have too.
    let held: Vec<Span> = plan.rows.into_iter().chain(plan.packable).collect();
    sql.push("select coalesce(sum(n), 0)::bigint from (select 0::bigint as n");
    for span in &held {
        sql.push(" union all select sum(unattributed)::bigint");
        push_buckets(sql, scope, bots, plan.dimension, *span);
    }
    let deltas = runs(&held).into_iter().map(|range| (range, Table::Deltas));
    let facts = between(scope.from, scope.to, &held).into_iter().map(|range| (range, Table::Facts));
    for (range, table) in deltas.chain(facts) {
        sql.push(format_args!(" union all select count(*) from {}", table.from()));
        push_where(sql, scope, bots, range, table);
        sql.push(" and status = 'unattributed'");
    }
    sql.push(") parts");
}

#[cfg(test)]
mod tests {
    use super::*;
    use analytics::scope::Filter;

    #[test]
    fn ranges_are_taken_apart_and_put_together() {
        let span = |from: i64, to: i64| {
            let at = |hours: i64| Timestamp::from_millis(shared::Millis(hours * shared::Millis::HOUR));
            Span { grain: Grain::Day, from: at(from), to: at(to) }
        };
        let ranges = |spans: &[Span]| spans.iter().map(|span| (span.from, span.to)).collect::<Vec<_>>();
        let whole = span(2, 9);
        for (others, left) in [
            (vec![], vec![whole]),
            (vec![span(0, 2), span(9, 12)], vec![whole]),
            // A run may begin before the span, or end after it.
            (vec![span(0, 3), span(8, 12)], vec![span(3, 8)]),
            (vec![span(6, 7), span(3, 4)], vec![span(2, 3), span(4, 6), span(7, 9)]),
            (vec![span(0, 12)], vec![]),
        ] {
            assert_eq!(outside(whole, &others), left, "{others:?}");
            assert_eq!(between(whole.from, whole.to, &outside(whole, &left)), ranges(&left), "{others:?}");
        }
        assert_eq!(runs(&[span(5, 6), span(2, 3), span(3, 5)]), ranges(&[span(2, 6)]));
        assert_eq!(runs(&[span(5, 6), span(2, 3)]), ranges(&[span(2, 3), span(5, 6)]));
    }

    #[test]
    fn days_and_months_are_held_and_the_rest_is_summed_one_by_one() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let year = Scope {
            workspace: shared::Id::from_uuid(uuid::Uuid::nil()),
            from: at("2025-03-10T00:00:00Z"),
            to: at("2026-03-10T00:00:00Z"),
            tz: chrono_tz::UTC,
            as_of: None,
            filter: Filter::default(),
        };
        let told = |scope: &Scope, group: ConversionGroup| {
            let Plan { packable, rows, .. } = Plan::of(scope, Some(group))?;
            let text = |spans: &[Span]| -> Vec<String> {
                let date = |at: Timestamp| at.to_string()[..10].to_owned();
                spans.iter().map(|span| format!("{} {}..{}", span.grain, date(span.from), date(span.to))).collect()
            };
            let held: Vec<Span> = packable.iter().chain(&rows).copied().collect();
            let rest: Vec<String> =
                between(scope.from, scope.to, &held).iter().map(|(from, to)| format!("{from}..{to}")).collect();
            Some((text(&packable).join(", "), text(&rows).join(", "), rest.join(", ")))
        };
        let is = |packable: &str, rows: &str, rest: &str| Some((packable.into(), rows.into(), rest.into()));
        let packed = "week 2025-03-10..2025-03-31, day 2025-03-31..2025-04-01, month 2025-04-01..2026-03-01, \
                      day 2026-03-01..2026-03-02, week 2026-03-02..2026-03-09, day 2026-03-09..2026-03-10";
        assert_eq!(told(&year, ConversionGroup::Partner), is(packed, "", ""));
        // Of all conversions together, days and months are few rows.
        let rows = "day 2025-03-10..2025-04-01, month 2025-04-01..2026-03-01, day 2026-03-01..2026-03-10";
        assert_eq!(told(&year, ConversionGroup::Month), is("", rows, ""));
        let filter = Filter { country: Some("DE".into()), ..Filter::default() };
        let filtered = Scope { filter, ..year };
        let ends =
            "2025-03-10T00:00:00.000Z..2025-04-01T00:00:00.000Z, 2026-03-01T00:00:00.000Z..2026-03-10T00:00:00.000Z";
        assert_eq!(told(&filtered, ConversionGroup::Country), is("", "month 2025-04-01..2026-03-01", ends));
        let all = "2025-03-10T00:00:00.000Z..2026-03-10T00:00:00.000Z";
        assert_eq!(told(&filtered, ConversionGroup::Day), is("", "", all));
        assert_eq!(told(&filtered, ConversionGroup::Partner), None);
        let past = Scope { as_of: Some(year.to), ..year.clone() };
        assert_eq!(told(&past, ConversionGroup::Partner), None);
        // Days of another zone are made of quarter-hours, and only whole ones can make them.
        let berlin = Scope { tz: chrono_tz::Europe::Berlin, ..year.clone() };
        assert_eq!(told(&berlin, ConversionGroup::Day), is("quarter 2025-03-10..2026-03-10", "", ""));
        let uneven = Scope { from: at("2025-03-10T00:00:01Z"), ..berlin };
        assert_eq!(
            told(&uneven, ConversionGroup::Day),
            is("", "", "2025-03-10T00:00:01.000Z..2026-03-10T00:00:00.000Z")
        );
        let uneven = Scope { from: uneven.from, ..year };
        let first = "2025-03-10T00:00:01.000Z..2025-03-11T00:00:00.000Z";
        assert_eq!(told(&uneven, ConversionGroup::Day).unwrap().2, first);
        assert_eq!(told(&uneven, ConversionGroup::Link).unwrap().2, first);
    }
}
