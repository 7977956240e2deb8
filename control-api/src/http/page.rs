//! Cursor pages: newest first, by id, which is by time of creation (ids are UUIDv7).

use serde::Serialize;
use shared::id::{Id, Kind};

use super::params::Params;

/// Which page is asked for.
pub struct PageQuery<K> {
    /// Rows at most, 1..=100.
    pub limit: i64,
    /// Only rows older than this one.
    pub before: Option<Id<K>>,
}

impl<K: Kind> PageQuery<K> {
    /// Reads `limit` (default 50) and `cursor`.
    pub fn read(params: &mut Params) -> Self {
        let limit = params.get("limit", |text| {
            text.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| "must be 1 to 100".to_owned())
        });
        let before =
            params.get("cursor", |text| text.parse().map_err(|_| "must be a next_cursor of this list".to_owned()));
        Self { limit: limit.unwrap_or(50), before }
    }

    /// Rows to fetch: one more than shown, to know whether there is a next page.
    #[must_use]
    pub const fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// The UUID to compare with, as the store keeps it.
    #[must_use]
    pub fn before_uuid(&self) -> Option<uuid::Uuid> {
        self.before.map(Id::uuid)
    }
}

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Pass as `cursor` for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts the extra row off what was fetched.
    #[must_use]
    pub fn cut<K: Kind>(mut rows: Vec<T>, query: &PageQuery<K>, id: impl Fn(&T) -> Id<K>) -> Self {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more { rows.last().map(|row| id(row).to_string()) } else { None };
        Self { data: rows, next_cursor }
    }
}
