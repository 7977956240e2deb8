//! What reports count under: spans of time, keys of the rollups, and tags made of the latter.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use hashbrown::{HashMap, HashSet};
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
    pub(super) fn of(calendar: &mut Option<Calendar>, at: DateTime<Utc>, key: Key<'a>) -> Self {
        match calendar {
            Some(calendar) => Self::Slot(calendar.slot(at)),
            None => Self::Key(key),
        }
    }

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

/// Leaves the groups under some keys.
pub(super) fn keep_keys<Sum>(groups: &mut Vec<(Under<'_>, Sum)>, keys: &[String], calendar: Option<&Calendar>) {
    let texts: HashSet<&str> = keys.iter().map(String::as_str).collect();
    let keys: HashSet<Under<'_>> = keys.iter().map(|key| Under::key(key)).collect();
    groups.retain(|(under, _)| match under {
        Under::Slot(_) => texts.contains(&*under.text(calendar)),
        Under::Key(_) => keys.contains(under),
    });
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

    /// What stands under partners once more under each of their tags: each may have several, or none.
    pub(super) fn spread<'a, Sum: Default>(
        &'a self,
        partners: &Ledger<'_, Sum>,
        mut merge: impl FnMut(&mut Sum, &Sum),
    ) -> sqlx::Result<Ledger<'a, Sum>> {
        let mut tagged = vec![];
        for (partner, sum) in partners.groups() {
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
        let mut ledger = Ledger::default();
        ledger.add(tagged.into_iter().map(Ok), |to: &mut Sum, of| merge(to, of))?;
        Ok(ledger)
    }
}
