//! Lengths of buckets, and the days that rollups are proven and repaired by.

use chrono::{Datelike as _, TimeDelta};
use model::time::Timestamp;
use uuid::Uuid;

shared::text_enum! {
    /// How long a bucket is. In the order of their texts, which is that of the rollups' keys.
    pub enum Grain {
        /// A day of UTC.
        Day = "day",
        /// A month of UTC.
        Month = "month",
        /// A quarter of an hour.
        Quarter = "quarter",
        /// Seven days of UTC from a Monday on: packs have them, rollups don't.
        Week = "week",
    }
}

shared::text_enum! {
    /// What is counted.
    pub enum Facts {
        /// Clicks.
        Clicks = "clicks",
        /// Conversions.
        Conversions = "conversions",
    }
}

/// A workspace's clicks of one UTC day, or what the rollups hold of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The workspace.
    pub workspace: Uuid,
    /// The day's first moment.
    pub start: Timestamp,
}

impl Day {
    /// The days of the month that it begins.
    pub fn days(self) -> impl Iterator<Item = Self> {
        let first = self.start.0;
        let days = (0..31).map(move |days| first + TimeDelta::days(days));
        days.take_while(move |day| day.month() == first.month()).map(move |day| Self { start: Timestamp(day), ..self })
    }

    /// Its month, by its first day.
    #[must_use]
    pub fn month(self) -> Self {
        let start = self.start.0.with_day0(0).unwrap_or(self.start.0);
        Self { start: Timestamp(start), ..self }
    }
}
