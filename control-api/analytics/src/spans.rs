//! How a range is cut into spans that the rollups and packs hold: whole months inside it, whole weeks and days around them,
//! quarter-hours at its ends.

use chrono::{Datelike as _, Days, Months, NaiveTime};
use model::time::Timestamp;
use shared::Millis;

use super::{grain::Grain, group::ClickGroup, scope::Scope};

/// Buckets of one grain, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Of which length.
    pub grain: Grain,
    /// The first bucket.
    pub from: Timestamp,
    /// The first one after them.
    pub to: Timestamp,
}

/// The spans of a range of whole quarter-hours, in their order.
pub fn spans(scope: &Scope, group: Option<ClickGroup>) -> Vec<Span> {
    cut(scope.from, scope.to, grains(scope, group))
}

/// The grains that can be told apart in groups, the finest first. Groups of time are cut by their zone, which only
/// quarter-hours can follow, save in UTC.
pub fn grains(scope: &Scope, group: Option<ClickGroup>) -> &'static [Grain] {
    const GRAINS: [Grain; 3] = [Grain::Quarter, Grain::Day, Grain::Month];
    let coarsest = match group {
        Some(group) if group.is_time() && scope.tz != chrono_tz::UTC => 0,
        Some(ClickGroup::Hour) => 0,
        Some(ClickGroup::Day | ClickGroup::Week) => 1,
        _ => 2,
    };
    &GRAINS[..=coarsest]
}

/// Whether a range begins and ends with a quarter of an hour.
pub fn has_whole_quarters(scope: &Scope) -> bool {
    const QUARTER: i64 = 15 * Millis::MINUTE;
    [scope.from, scope.to].iter().all(|at| at.millis().0.rem_euclid(QUARTER) == 0)
}

/// Cuts a range into the coarsest grain, with finer ones around it. What none of the grains holds is left out.
pub fn cut(from: Timestamp, to: Timestamp, grains: &[Grain]) -> Vec<Span> {
    let Some((&grain, finer)) = grains.split_last() else { return vec![] };
    if from >= to {
        return vec![];
    }
    let (first, last) = match grain {
        Grain::Month => (month_from(from), month_before(to)),
        Grain::Week => (week_from(from), week_before(to)),
        Grain::Day => (day_from(from), day_before(to)),
        Grain::Quarter => (from, to),
    };
    if first >= last {
        return cut(from, to, finer);
    }
    let mut spans = cut(from, first, finer);
    spans.push(Span { grain, from: first, to: last });
    spans.extend(cut(last, to, finer));
    spans
}

/// How a span is read: from packs where there are any, the rest row by row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Spans that may be packed, in whole days, weeks or months.
    pub packable: Vec<Span>,
    /// Spans that no pack can hold.
    pub rest: Vec<Span>,
}

/// Sorts spans of quarter-hours by whether packs can hold them: where they are whole days.
pub fn packable(quarters: &[Span]) -> Covered {
    let mut covered = Covered::default();
    for &span in quarters {
        let (first, last) = (day_from(span.from), day_before(span.to));
        if first >= last {
            covered.rest.push(span);
            continue;
        }
        let ends = [Span { to: first, ..span }, Span { from: last, ..span }];
        covered.rest.extend(ends.into_iter().filter(|end| end.from < end.to));
        covered.packable.push(Span { from: first, to: last, ..span });
    }
    covered
}

/// Buckets that are not packed, by their first moment and grain, in runs. The rollups have no weeks: those are days, and
/// `quarter` stands for the quarter-hours of a day.
pub fn unpacked_runs(mut buckets: Vec<(Timestamp, Grain)>) -> Vec<Span> {
    buckets.sort_unstable();
    buckets.dedup();
    let mut runs: Vec<Span> = vec![];
    for (from, grain) in buckets {
        let days = |days: i64| Timestamp::from_millis(from.millis().plus(days * Millis::DAY));
        let (grain, to) = match grain {
            Grain::Month => (Grain::Month, month_from(Timestamp::from_millis(from.millis().plus(1)))),
            Grain::Week => (Grain::Day, days(7)),
            Grain::Quarter | Grain::Day => (grain, days(1)),
        };
        match runs.last_mut() {
            Some(run) if run.grain == grain && run.to == from => run.to = to,
            _ => runs.push(Span { grain, from, to }),
        }
    }
    runs
}

/// The first day at or after a moment.
fn day_from(at: Timestamp) -> Timestamp {
    let before = day_before(at);
    if before == at { at } else { Timestamp::from_millis(before.millis().plus(Millis::DAY)) }
}

/// The last day that began at or before a moment.
fn day_before(at: Timestamp) -> Timestamp {
    Timestamp(at.0.date_naive().and_time(NaiveTime::MIN).and_utc())
}

/// The first Monday at or after a moment.
fn week_from(at: Timestamp) -> Timestamp {
    let before = week_before(at);
    if before == at { at } else { Timestamp::from_millis(before.millis().plus(7 * Millis::DAY)) }
}

/// The last Monday at or before a moment.
fn week_before(at: Timestamp) -> Timestamp {
    let day = day_before(at);
    Timestamp(day.0.checked_sub_days(Days::new(day.0.weekday().num_days_from_monday().into())).unwrap_or(day.0))
}

/// The first month at or after a moment.
fn month_from(at: Timestamp) -> Timestamp {
    let before = month_before(at);
    if before == at { at } else { Timestamp(before.0.checked_add_months(Months::new(1)).unwrap_or(at.0)) }
}

/// The last month that began at or before a moment.
fn month_before(at: Timestamp) -> Timestamp {
    let day = day_before(at);
    Timestamp(day.0.checked_sub_days(Days::new(day.0.day0().into())).unwrap_or(day.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_up(from: &str, to: &str) -> Vec<String> {
        let spans = cut(
            Timestamp::parse(from).unwrap(),
            Timestamp::parse(to).unwrap(),
            &[Grain::Quarter, Grain::Day, Grain::Month],
        );
        let text = |Span { grain, from, to }: Span| {
            format!("{grain} {}..{}", &from.to_string()[5..16], &to.to_string()[5..16])
        };
        spans.into_iter().map(text).collect()
    }

    #[test]
    fn packs_hold_whole_days_and_months() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let text = |spans: &[Span]| -> Vec<String> {
            let text = |Span { grain, from, to }: &Span| {
                format!("{grain} {}..{}", &from.to_string()[5..16], &to.to_string()[5..16])
            };
            spans.iter().map(text).collect()
        };
        // 1 April 2026 is a Wednesday.
        let weeks = cut(
            at("2026-03-28T00:00:00Z"),
            at("2026-04-15T00:00:00Z"),
            &[Grain::Quarter, Grain::Day, Grain::Week, Grain::Month],
        );
        assert_eq!(
            text(&weeks),
            ["day 03-28T00:00..03-30T00:00", "week 03-30T00:00..04-13T00:00", "day 04-13T00:00..04-15T00:00"]
        );
        let buckets = |of: &[(&str, Grain)]| of.iter().map(|(from, grain)| (at(from), *grain)).collect();
        let missing = unpacked_runs(buckets(&[
            ("2026-04-13T00:00:00Z", Grain::Day),
            ("2026-04-06T00:00:00Z", Grain::Week),
            ("2026-04-13T00:00:00Z", Grain::Day),
            ("2026-03-29T00:00:00Z", Grain::Day),
        ]));
        assert_eq!(text(&missing), ["day 03-29T00:00..03-30T00:00", "day 04-06T00:00..04-14T00:00"], "a week in days");
        let missing = unpacked_runs(buckets(&[
            ("2026-02-01T00:00:00Z", Grain::Month),
            ("2026-03-01T00:00:00Z", Grain::Month),
            ("2026-04-01T00:00:00Z", Grain::Quarter),
        ]));
        assert_eq!(text(&missing), ["month 02-01T00:00..04-01T00:00", "quarter 04-01T00:00..04-02T00:00"]);

        let covered = packable(&cut(at("2026-01-30T22:15:00Z"), at("2026-02-03T01:00:00Z"), &[Grain::Quarter]));
        assert_eq!(text(&covered.packable), ["quarter 01-31T00:00..02-03T00:00"]);
        assert_eq!(covered.rest.len(), 2);
        let short = cut(at("2026-01-30T22:15:00Z"), at("2026-01-31T23:45:00Z"), &[Grain::Quarter]);
        assert_eq!(packable(&short), Covered { packable: vec![], rest: short.clone() });
    }

    #[test]
    fn finds_what_is_whole_inside() {
        assert_eq!(cut_up("2026-03-01T00:00:00Z", "2026-06-01T00:00:00Z"), ["month 03-01T00:00..06-01T00:00"]);
        assert_eq!(
            cut_up("2026-01-30T22:15:00Z", "2026-03-02T01:00:00Z"),
            [
                "quarter 01-30T22:15..01-31T00:00",
                "day 01-31T00:00..02-01T00:00",
                "month 02-01T00:00..03-01T00:00",
                "day 03-01T00:00..03-02T00:00",
                "quarter 03-02T00:00..03-02T01:00",
            ]
        );
        assert_eq!(cut_up("2026-03-02T00:00:00Z", "2026-03-31T00:00:00Z"), ["day 03-02T00:00..03-31T00:00"]);
        assert_eq!(cut_up("2026-03-01T00:15:00Z", "2026-03-02T23:45:00Z"), ["quarter 03-01T00:15..03-02T23:45"]);
        let months = cut(
            Timestamp::parse("2026-01-30T22:15:00Z").unwrap(),
            Timestamp::parse("2026-03-02T01:00:00Z").unwrap(),
            &[Grain::Month],
        );
        assert_eq!(months.len(), 1, "what is no whole month is left out");
    }
}
