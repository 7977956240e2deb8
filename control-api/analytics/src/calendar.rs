//! Which hour, day, week or month a moment lies in, by the clocks of a zone, and how that is written. Pure.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use super::group::ClickGroup;
use model::time::Timestamp;

/// Cuts time into spans of one kind.
pub(crate) struct Calendar {
    unit: Unit,
    tz: Tz,
    /// Moments come in their order mostly, so the last answer often holds.
    last: Option<(DateTime<Utc>, Slot)>,
}

#[derive(Clone, Copy)]
enum Unit {
    Hour,
    Day,
    Week,
    Month,
}

/// A span of time, in the order of time: seconds since the epoch at which an hour began (an hour may come twice in a day),
/// for all others the number of their first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(i64);

impl Calendar {
    /// That of a group of time; `None` for every other.
    pub(crate) fn of(group: Option<ClickGroup>, tz: Tz) -> Option<Self> {
        let unit = match group? {
            ClickGroup::Hour => Unit::Hour,
            ClickGroup::Day => Unit::Day,
            ClickGroup::Week => Unit::Week,
            ClickGroup::Month => Unit::Month,
            _ => return None,
        };
        Some(Self { unit, tz, last: None })
    }

    /// The span that holds a moment.
    pub(crate) fn slot(&mut self, at: DateTime<Utc>) -> Slot {
        if let Some((last, slot)) = self.last
            && last == at
        {
            return slot;
        }
        let local = at.with_timezone(&self.tz);
        let day = local.date_naive();
        let slot = match self.unit {
            Unit::Hour => {
                let ahead = i64::from(local.offset().fix().local_minus_utc());
                at.timestamp() - (at.timestamp() + ahead).rem_euclid(3_600)
            }
            Unit::Day => day.num_days_from_ce().into(),
            Unit::Week => i64::from(day.num_days_from_ce()) - i64::from(day.weekday().num_days_from_monday()),
            Unit::Month => i64::from(day.num_days_from_ce()) - i64::from(day.day0()),
        };
        self.last = Some((at, Slot(slot)));
        Slot(slot)
    }

    /// The span as the key of its group.
    pub(crate) fn key(&self, slot: Slot) -> String {
        match self.unit {
            Unit::Hour => Timestamp(hour(slot)).to_string(),
            Unit::Day | Unit::Week => day(slot).to_string(),
            Unit::Month => day(slot).format("%Y-%m").to_string(),
        }
    }

    /// The span with this key, if it is one.
    pub(crate) fn named(&self, key: &str) -> Option<Slot> {
        let number = match self.unit {
            Unit::Hour => Timestamp::parse(key).ok()?.0.timestamp(),
            Unit::Day | Unit::Week => key.parse::<NaiveDate>().ok()?.num_days_from_ce().into(),
            Unit::Month => format!("{key}-01").parse::<NaiveDate>().ok()?.num_days_from_ce().into(),
        };
        Some(Slot(number))
    }

    /// The span as people read it.
    pub(crate) fn label(&self, slot: Slot) -> String {
        match self.unit {
            Unit::Hour => hour(slot).with_timezone(&self.tz).format("%Y-%m-%d %H:%M").to_string(),
            Unit::Week => day(slot).format("%G-W%V").to_string(),
            Unit::Day | Unit::Month => self.key(slot),
        }
    }
}

fn hour(Slot(seconds): Slot) -> DateTime<Utc> {
    Utc.timestamp_opt(seconds, 0).single().unwrap_or_default()
}

fn day(Slot(number): Slot) -> NaiveDate {
    let first = NaiveDate::from_num_days_from_ce_opt(1).unwrap_or_default();
    first.checked_add_days(Days::new(number.saturating_sub(1).max(0).unsigned_abs())).unwrap_or_default()
}

/// The start of the quarter-hour of a day that begins then.
pub(crate) fn quarter(day: DateTime<Utc>, number: i64) -> DateTime<Utc> {
    day + TimeDelta::minutes(15 * number)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    #[test]
    fn spans_follow_the_clocks_of_their_zone() {
        use ClickGroup::{Day, Hour, Month, Week};
        for (group, tz, at, key, label) in [
            (Hour, Tz::UTC, "2026-03-01T09:59:59Z", "2026-03-01T09:00:00.000Z", "2026-03-01 09:00"),
            (Hour, Tz::Asia__Kathmandu, "2026-03-01T09:00:00Z", "2026-03-01T08:15:00.000Z", "2026-03-01 14:00"),
            // Two o'clock comes twice that night: two hours.
            (Hour, Tz::Europe__Berlin, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00.000Z", "2026-10-25 02:00"),
            (Hour, Tz::Europe__Berlin, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00.000Z", "2026-10-25 02:00"),
            // The clocks go forward by half an hour within it.
            (Hour, Tz::Australia__Lord_Howe, "2026-10-03T15:45:00Z", "2026-10-03T15:00:00.000Z", "2026-10-04 01:30"),
            (Day, Tz::UTC, "2026-03-01T23:59:59Z", "2026-03-01", "2026-03-01"),
            (Day, Tz::Europe__Berlin, "2026-03-01T23:15:00Z", "2026-03-02", "2026-03-02"),
            (Day, Tz::America__New_York, "2026-03-01T04:45:00Z", "2026-02-28", "2026-02-28"),
            (Week, Tz::UTC, "2026-01-01T00:00:00Z", "2025-12-29", "2026-W01"),
            (Week, Tz::Europe__Berlin, "2026-03-01T23:15:00Z", "2026-03-02", "2026-W10"),
            (Month, Tz::UTC, "2026-02-28T23:59:59Z", "2026-02", "2026-02"),
            (Month, Tz::Europe__Berlin, "2026-02-28T23:15:00Z", "2026-03", "2026-03"),
        ] {
            let mut calendar = Calendar::of(Some(group), tz).unwrap();
            let at = at.parse().unwrap();
            let slot = calendar.slot(at);
            assert_eq!((&*calendar.key(slot), &*calendar.label(slot)), (key, label), "{group} {tz} {at}");
            assert_eq!(calendar.slot(at), slot);
            assert_eq!((calendar.named(key), calendar.named("none")), (Some(slot), None));
        }
        assert!(Calendar::of(Some(ClickGroup::Link), Tz::UTC).is_none() && Calendar::of(None, Tz::UTC).is_none());
    }
}
