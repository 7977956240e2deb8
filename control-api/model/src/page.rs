//! Cursor pages: newest first, by id, which is by time of creation (ids are UUIDv7). Some lists can also be sorted by
//! a name; their cursor then carries the name of the last row, so that a page goes on where the one before ended,
//! whatever was renamed, made or archived meanwhile.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use shared::id::{Id, Kind};

/// Which page is asked for.
pub struct PageQuery<K> {
    /// Rows at most, 1..=100.
    pub limit: i64,
    /// Only rows older than this one.
    pub before: Option<Id<K>>,
}

impl<K: Kind> PageQuery<K> {
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

/// Rows of a page where the request does not say.
pub const DEFAULT_LIMIT: i64 = 50;
/// The most rows of a page.
pub const MAX_LIMIT: i64 = 100;
/// Refusal of a text that no page of the list has answered as its cursor.
pub const NO_CURSOR: &str = "must be a next_cursor of this list";

/// The order of a list that can be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The latest made first.
    #[default]
    Newest,
    /// The first made first.
    Oldest,
    /// From A to Z.
    Name,
    /// From Z to A.
    NameReversed,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Newest, Self::Oldest, Self::Name, Self::NameReversed];

    /// Its word in `sort`, where `name` is what the list calls its names.
    #[must_use]
    pub fn word(self, name: &str) -> String {
        match self {
            Self::Newest => "-created_at".to_owned(),
            Self::Oldest => "created_at".to_owned(),
            Self::Name => name.to_owned(),
            Self::NameReversed => format!("-{name}"),
        }
    }

    /// Its word in statements that tell their order by a parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Name => "name",
            Self::NameReversed => "name_reversed",
        }
    }

    const fn by_name(self) -> bool {
        matches!(self, Self::Name | Self::NameReversed)
    }
}

/// Which page of a list that can be sorted is asked for.
pub struct SortedQuery<K> {
    /// How it is sorted.
    pub order: Order,
    limit: i64,
    /// The last row of the page before: its id, and its name where the list is sorted by it.
    after: Option<(Id<K>, Option<String>)>,
    name: &'static str,
}

impl<K: Kind> SortedQuery<K> {
    /// The first page. `name` is what the list calls its names, such as `slug`.
    #[must_use]
    pub const fn first(limit: i64, order: Order, name: &'static str) -> Self {
        Self { order, limit, after: None, name }
    }

    /// The page behind a cursor that this list has answered under the same order.
    ///
    /// # Errors
    /// A sentence that says what to send instead.
    pub fn after(mut self, cursor: &str) -> Result<Self, String> {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.filter(|text| !text.contains('\0')).ok_or(NO_CURSOR)?;
        let mut parts = text.splitn(3, '\n');
        let (sort, id, name) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let id = id.and_then(|id| id.parse().ok()).ok_or(NO_CURSOR)?;
        let asked = self.order.word(self.name);
        if sort != asked {
            return Err(format!(
                "is a cursor of sort={sort}; send it with that sort, or none for the first page of {asked}"
            ));
        }
        if name.is_some() != self.order.by_name() {
            return Err(NO_CURSOR.to_owned());
        }
        self.after = Some((id, name.map(str::to_owned)));
        Ok(self)
    }

    fn cursor(&self, id: Id<K>, name: &str) -> String {
        let mut text = format!("{}\n{id}", self.order.word(self.name));
        if self.order.by_name() {
            text.push('\n');
            text.push_str(name);
        }
        URL_SAFE_NO_PAD.encode(text)
    }

    /// Rows to fetch: one more than shown, to know whether there is a next page.
    #[must_use]
    pub const fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// The id of the last row of the page before.
    #[must_use]
    pub fn after_uuid(&self) -> Option<uuid::Uuid> {
        self.after.as_ref().map(|(id, _)| id.uuid())
    }

    /// The name of the last row of the page before, where the list is sorted by it.
    #[must_use]
    pub fn after_name(&self) -> Option<&str> {
        self.after.as_ref().and_then(|(_, name)| name.as_deref())
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
    pub fn cut<K: Kind>(rows: Vec<T>, query: &PageQuery<K>, id: impl Fn(&T) -> Id<K>) -> Self {
        Self::cut_at(rows, query.limit, |row| id(row).to_string())
    }

    /// The same of a list that can be sorted.
    #[must_use]
    pub fn cut_sorted<K: Kind>(rows: Vec<T>, query: &SortedQuery<K>, place: impl Fn(&T) -> (Id<K>, &str)) -> Self {
        Self::cut_at(rows, query.limit, |row| {
            let (id, name) = place(row);
            query.cursor(id, name)
        })
    }

    fn cut_at(mut rows: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more { rows.last().map(cursor) } else { None };
        Self { data: rows, next_cursor }
    }
}
