//! What reports count under: spans of time, keys of the rollups, and tags made of the latter.

use std::cmp::Ordering;

use hashbrown::HashMap;
use shared::id::WorkspaceId;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::calendar::{Calendar, Slot};
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

    /// A key that the database wrote as a text.
    pub(super) fn key(text: &'a str) -> Self {
        Self::Key(Key::of(text))
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

    /// What stands under partners once more under each of their tags, in the order of tags; who carries none stands under
    /// `none`.
    pub(super) fn of_each<'p, Sum>(
        &self,
        partners: impl Iterator<Item = (Under<'p>, &'p Sum)>,
    ) -> Vec<(Under<'_>, &'p Sum)> {
        let mut tagged = vec![];
        for (partner, sum) in partners {
            let tags = match partner {
                Under::Key(Key::Id(id)) => self.0.get(&id).map(Vec::as_slice).unwrap_or_default(),
                _ => &[],
            };
            if tags.is_empty() {
                tagged.push((Under::NONE, sum));
            }
            tagged.extend(tags.iter().map(|tag| (Under::key(tag), sum)));
        }
        tagged.sort_unstable_by_key(|(tag, _)| *tag);
        tagged
    }
}
