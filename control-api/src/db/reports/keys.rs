//! What reports count under: spans of time, keys of the rollups, and tags made of the latter.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use hashbrown::HashMap;
use shared::id::WorkspaceId;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{
    calendar::{Calendar, Slot},
    ledger::Ledger,
};
use crate::db::packs::format::Key;

/// The key of rows that have no value.
pub(super) const NONE: &str = "none";

/// What something is counted under. In order: spans by time, then ids, then texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Under<'a> {
    /// A span of time.
    Slot(Slot),
    /// A key.
    Key(Key<'a>),
}

impl<'a> Under<'a> {
    pub(super) const NONE: Self = Self::Key(Key::Text(NONE));

    /// The span that holds a moment, where groups are spans; else the key.
    #[inline]
    pub(super) fn of(calendar: &mut Option<Calendar>, at: impl FnOnce() -> DateTime<Utc>, key: Key<'a>) -> Self {
        match calendar {
            Some(calendar) => Self::Slot(calendar.slot(at())),
            None => Self::Key(key),
        }
    }

    /// A key that the database wrote as a text.
    pub(super) fn key(text: &'a str) -> Self {
        Self::Key(Key::of(text))
    }

    /// What reports show as these texts; what none shows is left out.
    pub(super) fn all_shown_as(calendar: Option<&Calendar>, texts: &'a [String]) -> Vec<Self> {
        let shown_as = |text: &'a String| match calendar {
            Some(calendar) => calendar.named(text).map(Self::Slot),
            None => Some(Self::key(text)),
        };
        texts.iter().filter_map(shown_as).collect()
    }

    /// As the report shows it.
    pub(super) fn text(self, calendar: Option<&Calendar>) -> String {
        match (self, calendar) {
            (Self::Slot(slot), Some(calendar)) => calendar.key(slot),
            (Self::Slot(_), None) => String::new(),
            (Self::Key(key), _) => key.to_string(),
        }
    }

    /// The name of a group that none of its rows names: its span, or its key; nothing where there is no value.
    pub(super) fn label(self, calendar: Option<&Calendar>) -> Option<String> {
        match (self, calendar) {
            (Self::Slot(slot), Some(calendar)) => Some(calendar.label(slot)),
            _ if self == Self::NONE => None,
            _ => Some(self.text(calendar)),
        }
    }
}

/// Leaves the first `limit` groups in their order, and answers the others in any.
pub(super) fn keep_first<G>(groups: &mut Vec<G>, limit: usize, order: impl Fn(&G, &G) -> Ordering) -> Vec<G> {
    if limit < groups.len() {
        groups.select_nth_unstable_by(limit, &order);
    }
    let rest = groups.split_off(limit.min(groups.len()));
    groups.sort_unstable_by(order);
    rest
}

/// The tags that partners carry now.
#[derive(Debug, Default)]
pub(super) struct Tags(HashMap<Uuid, Vec<String>>);

impl Tags {
    /// Reads them.
    pub(super) async fn read(db: impl PgExecutor<'_>, workspace: WorkspaceId) -> sqlx::Result<Self> {
        let rows = sqlx::query!(
            "select id, tags from partners where workspace_id = $1 and cardinality(tags) > 0",
            workspace.uuid()
        )
        .fetch_all(db)
        .await?;
        Ok(Self(rows.into_iter().map(|row| (row.id, row.tags)).collect()))
    }

    /// What stands under partners once more under each of their tags, of all or of some: each may have several, or none.
    pub(super) fn spread<'a, 'p, Sum: Default + 'p>(
        &'a self,
        partners: impl IntoIterator<Item = (Under<'p>, &'p Sum)>,
        only: Option<Vec<Under<'a>>>,
        mut merge: impl FnMut(&mut Sum, &Sum),
    ) -> Ledger<'a, Sum> {
        let mut tagged = vec![];
        for (partner, sum) in partners {
            let tags = match partner {
                Under::Key(Key::Id(id)) => self.0.get(&Uuid::from_u128(id)).map(Vec::as_slice).unwrap_or_default(),
                _ => &[],
            };
            if tags.is_empty() {
                tagged.push((Under::NONE, sum));
            }
            tagged.extend(tags.iter().map(|tag| (Under::key(tag), sum)));
        }
        tagged.sort_unstable_by_key(|(tag, _)| *tag);
        let mut ledger = Ledger::new(only);
        ledger.add(tagged, |to: &mut Sum, of| merge(to, of));
        ledger
    }
}
