//! Comparison with the period before: which period that is, and which of its groups stands beside which.
//!
//! People compare months with months and days with days, not hours with hours. So a range of whole local months is
//! compared with as many months before it, one of whole local days (a week is seven) with as many days, however long
//! clocks made them, and any other with the same time before it.

use chrono::{Days, Months, NaiveDate, TimeZone as _, Utc};
use chrono_tz::Tz;
use shared::Millis;

use super::Bound;
use analytics::{group::ClickGroup, scope::Scope};
use model::time::Timestamp;

/// How far back the period before begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Local calendar months.
    Months(u32),
    /// Local calendar days.
    Days(u64),
    /// Milliseconds.
    Span(i64),
}

impl Step {
    /// The length of a scope's range, in the greatest units that it is whole in.
    #[must_use]
    pub fn of(scope: &Scope) -> Self {
        let span = Self::Span(scope.to.millis().0 - scope.from.millis().0);
        let (Some(first), Some(last)) = (midnight(scope.from, scope.tz), midnight(scope.to, scope.tz)) else {
            return span;
        };
        let month = |day: NaiveDate| chrono::Datelike::year(&day) * 12 + chrono::Datelike::month0(&day).cast_signed();
        let begins_month = |day: NaiveDate| chrono::Datelike::day(&day) == 1;
        if begins_month(first) && begins_month(last) {
            u32::try_from(month(last) - month(first)).map_or(span, Self::Months)
        } else {
            u64::try_from((last - first).num_days()).map_or(span, Self::Days)
        }
    }

    /// The scope of the period before, which ends where the scope begins.
    #[must_use]
    pub fn before(self, scope: &Scope) -> Scope {
        let by_span = |span: i64| Timestamp::from_millis(scope.from.millis().plus(-span));
        let from = match self {
            Self::Span(span) => by_span(span),
            _ => midnight(scope.from, scope.tz)
                .and_then(|day| self.day(day))
                .map_or_else(|| scope.from, |day| Bound::Day(day).start(scope.tz)),
        };
        Scope { from, to: scope.from, ..scope.clone() }
    }

    /// The key of the group of the period before that stands beside the one under `key`. `None`: it has no counterpart,
    /// as the 31st has none in a month of 30 days.
    #[must_use]
    pub fn key(self, group: Option<ClickGroup>, key: &str, tz: Tz) -> Option<String> {
        match group {
            Some(ClickGroup::Hour) => self.hour(Timestamp::parse(key).ok()?, tz).map(|at| at.to_string()),
            Some(ClickGroup::Day) => Some(self.day(key.parse().ok()?)?.to_string()),
            Some(ClickGroup::Week) => match self {
                Self::Days(days) if days % 7 == 0 => Some(self.day(key.parse().ok()?)?.to_string()),
                _ => None,
            },
            Some(ClickGroup::Month) => match self {
                Self::Months(_) => {
                    let first: NaiveDate = format!("{key}-01").parse().ok()?;
                    Some(self.day(first)?.format("%Y-%m").to_string())
                }
                _ => None,
            },
            _ => Some(key.to_owned()),
        }
    }

    /// The same day of the period before.
    fn day(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days(days) => day.checked_sub_days(Days::new(days)),
            // The last day of a longer month is not the last of a shorter one.
            Self::Months(months) => {
                let before = day.checked_sub_months(Months::new(months))?;
                (chrono::Datelike::day(&before) == chrono::Datelike::day(&day)).then_some(before)
            }
            Self::Span(_) => None,
        }
    }

    /// The same hour of the period before. Of an hour that comes twice, the second has no counterpart.
    fn hour(self, at: Timestamp, tz: Tz) -> Option<Timestamp> {
        if let Self::Span(span) = self {
            return (span % Millis::HOUR == 0).then(|| Timestamp::from_millis(at.millis().plus(-span)));
        }
        let local = at.0.with_timezone(&tz).naive_local();
        if tz.from_local_datetime(&local).earliest()? != at.0 {
            return None;
        }
        let before = self.day(local.date())?.and_time(local.time());
        tz.from_local_datetime(&before).earliest().map(|at| Timestamp(at.with_timezone(&Utc)))
    }
}

/// The local day that begins at this moment, if one does.
fn midnight(at: Timestamp, tz: Tz) -> Option<NaiveDate> {
    let day = at.0.with_timezone(&tz).date_naive();
    (Bound::Day(day).start(tz) == at).then_some(day)
}

/// What became of a number, as a part of what it was: 0.5 is half as much again. `None`: there was nothing to compare
/// with.
#[must_use]
#[allow(clippy::cast_precision_loss)] // A ratio for people: 53 bits are plenty.
pub fn change(now: i64, then: i64) -> Option<f64> {
    (then > 0).then(|| (now as f64 - then as f64) / then as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use analytics::scope::Filter;

    fn scope(from: &str, to: &str, tz: Tz) -> Scope {
        let start = |text: &str| text.parse::<Bound>().unwrap().start(tz);
        let workspace = shared::Id::from_uuid(uuid::Uuid::nil());
        Scope { workspace, from: start(from), to: start(to), tz, as_of: None, filter: Filter::default() }
    }

    #[test]
    fn the_period_before_is_as_long_on_the_calendar() {
        for (from, to, tz, step, before) in [
            // A month before a month, in whose nights the clocks moved or not.
            ("2026-03-01", "2026-04-01", Tz::Europe__Berlin, Step::Months(1), "2026-01-31T23:00:00.000Z"),
            ("2026-04-01", "2026-05-01", Tz::Europe__Berlin, Step::Months(1), "2026-02-28T23:00:00.000Z"),
            ("2026-01-01", "2027-01-01", Tz::UTC, Step::Months(12), "2025-01-01T00:00:00.000Z"),
            // The week after the night of 23 hours, and the day after it, begin at local midnights.
            ("2026-03-30", "2026-04-06", Tz::Europe__Berlin, Step::Days(7), "2026-03-22T23:00:00.000Z"),
            ("2026-03-30", "2026-03-31", Tz::Europe__Berlin, Step::Days(1), "2026-03-28T23:00:00.000Z"),
            ("2026-10-26", "2026-10-27", Tz::Europe__Berlin, Step::Days(1), "2026-10-24T22:00:00.000Z"),
            ("2026-03-10", "2026-03-12", Tz::Asia__Kathmandu, Step::Days(2), "2026-03-07T18:15:00.000Z"),
            // A day whose midnight was skipped.
            ("2018-11-05", "2018-11-06", Tz::America__Sao_Paulo, Step::Days(1), "2018-11-04T03:00:00.000Z"),
            // Anything else is the same time.
            (
                "2026-03-30T06:00:00Z",
                "2026-03-31T06:00:00Z",
                Tz::Europe__Berlin,
                Step::Span(86_400_000),
                "2026-03-29T06:00:00.000Z",
            ),
            ("2026-03-01", "2026-03-01T00:30:00Z", Tz::UTC, Step::Span(1_800_000), "2026-02-28T23:30:00.000Z"),
        ] {
            let scope = scope(from, to, tz);
            let found = Step::of(&scope);
            let previous = found.before(&scope);
            assert_eq!((found, previous.from.to_string().as_str()), (step, before), "{from}..{to} {tz}");
            assert_eq!(previous.to, scope.from);
        }
    }

    #[test]
    fn groups_stand_beside_those_of_the_same_place() {
        let berlin = Tz::Europe__Berlin;
        for (step, group, key, before) in [
            (Step::Days(7), None, "prt", Some("prt")),
            (Step::Span(5), Some(ClickGroup::Country), "DE", Some("DE")),
            (Step::Days(7), Some(ClickGroup::Day), "2026-03-30", Some("2026-03-23")),
            (Step::Months(1), Some(ClickGroup::Day), "2026-03-28", Some("2026-02-28")),
            (Step::Months(1), Some(ClickGroup::Day), "2026-03-31", None),
            (Step::Span(86_400_000), Some(ClickGroup::Day), "2026-03-30", None),
            (Step::Days(14), Some(ClickGroup::Week), "2026-03-30", Some("2026-03-16")),
            (Step::Days(10), Some(ClickGroup::Week), "2026-03-30", None),
            (Step::Months(3), Some(ClickGroup::Month), "2026-03", Some("2025-12")),
            (Step::Days(60), Some(ClickGroup::Month), "2026-03", None),
            // Ten in the morning is ten in the morning, on either side of the night.
            (Step::Days(1), Some(ClickGroup::Hour), "2026-03-29T08:00:00.000Z", Some("2026-03-28T09:00:00.000Z")),
            // Two o'clock did not come that night.
            (Step::Days(1), Some(ClickGroup::Hour), "2026-03-30T00:00:00.000Z", None),
            // It came twice that one.
            (Step::Days(1), Some(ClickGroup::Hour), "2026-10-25T00:00:00.000Z", Some("2026-10-24T00:00:00.000Z")),
            (Step::Days(1), Some(ClickGroup::Hour), "2026-10-25T01:00:00.000Z", None),
            (
                Step::Span(7_200_000),
                Some(ClickGroup::Hour),
                "2026-10-25T01:00:00.000Z",
                Some("2026-10-24T23:00:00.000Z"),
            ),
            (Step::Span(1_800_000), Some(ClickGroup::Hour), "2026-10-25T01:00:00.000Z", None),
        ] {
            assert_eq!(step.key(group, key, berlin).as_deref(), before, "{step:?} {group:?} {key}");
        }
    }

    #[test]
    fn a_change_needs_something_to_compare_with() {
        assert_eq!(
            [change(3, 2), change(1, 2), change(0, 5), change(2, 2)],
            [Some(0.5), Some(-0.5), Some(-1.0), Some(0.0)]
        );
        assert_eq!([change(3, 0), change(0, 0), change(1, -5)], [None; 3]);
    }
}
