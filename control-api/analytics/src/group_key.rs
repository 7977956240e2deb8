//! Keys that reports count under: spans of time, and keys of the rollups.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

use super::{
    calendar::{Calendar, Slot},
    pack::Key,
};

/// The key of rows that have no value.
pub const NONE: &str = "none";

/// What something is counted under. In order: spans by time, then ids, then texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupKey<'a> {
    /// A span of time.
    Slot(Slot),
    /// A key.
    Key(Key<'a>),
}

impl<'a> GroupKey<'a> {
    pub(crate) const NONE: Self = Self::Key(Key::Text(NONE));

    /// The span that holds a moment, where groups are spans; else the key.
    #[inline]
    pub(crate) fn of(calendar: &mut Option<Calendar>, at: impl FnOnce() -> DateTime<Utc>, key: Key<'a>) -> Self {
        match calendar {
            Some(calendar) => Self::Slot(calendar.slot(at())),
            None => Self::Key(key),
        }
    }

    /// A key that the database wrote as a text.
    pub(crate) fn key(text: &'a str) -> Self {
        Self::Key(Key::of(text))
    }

    /// What reports show as these texts; what none shows is left out.
    pub(crate) fn all_shown_as(calendar: Option<&Calendar>, texts: &'a [String]) -> Vec<Self> {
        let shown_as = |text: &'a String| match calendar {
            Some(calendar) => calendar.named(text).map(Self::Slot),
            None => Some(Self::key(text)),
        };
        texts.iter().filter_map(shown_as).collect()
    }

    /// As the report shows it.
    pub(crate) fn text(self, calendar: Option<&Calendar>) -> String {
        match (self, calendar) {
            (Self::Slot(slot), Some(calendar)) => calendar.key(slot),
            (Self::Slot(_), None) => String::new(),
            (Self::Key(key), _) => key.to_string(),
        }
    }

    /// The name of a group that none of its rows names: its span, or its key; nothing where there is no value.
    pub(crate) fn label(self, calendar: Option<&Calendar>) -> Option<String> {
        match (self, calendar) {
            (Self::Slot(slot), Some(calendar)) => Some(calendar.label(slot)),
            _ if self == Self::NONE => None,
            _ => Some(self.text(calendar)),
        }
    }
}

/// Leaves the first `limit` groups in their order, and answers the others in any.
pub(crate) fn keep_first<G>(groups: &mut Vec<G>, limit: usize, order: impl Fn(&G, &G) -> Ordering) -> Vec<G> {
    if limit < groups.len() {
        groups.select_nth_unstable_by(limit, &order);
    }
    let rest = groups.split_off(limit.min(groups.len()));
    groups.sort_unstable_by(order);
    rest
}
