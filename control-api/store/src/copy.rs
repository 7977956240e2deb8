//! Rows as Postgres' binary COPY reads them: the fastest way into a table.
//!
//! COPY knows no `on conflict`: where one row is there already, nothing is stored and the transaction is at its end. What
//! comes is new nearly always, so that those who use this pay nothing for the rest; that goes in by a statement that finds
//! out which rows are new.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Batches from this size on are worth a COPY: it costs two round trips more than a statement does, and some 40 ms of
/// waiting for a delayed acknowledgement, since sqlx 0.9.0 doesn't set `TCP_NODELAY` (transact-rs/sqlx#4335; a release with
/// its mending, #4336, lets smaller ones gain too).
pub const WORTHWHILE: usize = 250;

/// From 1970 to 2000.
const UNIX_TO_POSTGRES_MICROS: i64 = 946_684_800_000_000;
/// The object id of `text`.
const TEXT: usize = 25;

/// Rows of one table, written column by column.
pub(super) struct Rows(Vec<u8>);

impl Rows {
    /// None yet, with room for so many bytes.
    pub(super) fn with_room_for(bytes: usize) -> Self {
        let mut rows = Vec::with_capacity(bytes);
        // The signature, no flags, no extension.
        rows.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        rows.extend_from_slice(&[0; 8]);
        Self(rows)
    }

    /// Stores them by a `copy … from stdin (format binary)`. False: one of them is there already, and the transaction is
    /// good for nothing but its end.
    pub(super) async fn write(mut self, db: &mut PgConnection, copy: &str) -> sqlx::Result<bool> {
        self.0.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut writer = db.copy_in_raw(copy).await?;
        writer.send(self.0).await?;
        match writer.finish().await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins a row.
    pub(super) fn columns(&mut self, many: i16) {
        self.0.extend_from_slice(&many.to_be_bytes());
    }

    fn length(&mut self, bytes: usize) {
        // Within what one request may bring, 8 MiB.
        self.0.extend_from_slice(&i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes());
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// A `bytea`, or anything else by its bytes.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    /// A `text`.
    pub(super) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A `text` or NULL.
    pub(super) fn some(&mut self, value: Option<&str>) {
        match value {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// A `uuid` or NULL.
    pub(super) fn id(&mut self, value: Option<Uuid>) {
        match value {
            Some(id) => self.bytes(id.as_bytes()),
            None => self.null(),
        }
    }

    /// A `bigint` or NULL.
    pub(super) fn long(&mut self, value: Option<i64>) {
        match value {
            Some(number) => self.bytes(&number.to_be_bytes()),
            None => self.null(),
        }
    }

    /// An `integer` or NULL.
    pub(super) fn int(&mut self, value: Option<i32>) {
        match value {
            Some(number) => self.bytes(&number.to_be_bytes()),
            None => self.null(),
        }
    }

    /// A `timestamptz` or NULL, in microseconds since 2000.
    pub(super) fn time(&mut self, value: Option<DateTime<Utc>>) {
        self.long(value.map(|at| at.timestamp_micros() - UNIX_TO_POSTGRES_MICROS));
    }

    /// A `jsonb`: its version and a text.
    pub(super) fn json(&mut self, value: &serde_json::Value) {
        self.bytes(format!("\u{1}{value}").as_bytes());
    }

    /// A `text[]`.
    pub(super) fn texts(&mut self, values: &[String]) {
        let mut array = Self(vec![]);
        let mut number =
            |number: usize| array.0.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        number(usize::from(!values.is_empty())); // dimensions
        number(0); // no NULLs
        number(TEXT);
        if !values.is_empty() {
            number(values.len());
            number(1); // the first one's index
        }
        values.iter().for_each(|value| array.text(value));
        self.bytes(&array.0);
    }
}

/// How rows get into the store. Those that were known when the transaction began never come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertMode {
    /// As if all were new, for a fraction of the work; where one isn't, nothing is stored.
    Optimistic,
    /// Those that are new.
    SkipExisting,
    /// Those that are new, in turn with other transactions that would store the same.
    Serialized,
}

impl InsertMode {
    /// The mode to try first.
    #[must_use]
    pub const fn for_rows(count: usize) -> Self {
        if count < WORTHWHILE { Self::SkipExisting } else { Self::Optimistic }
    }
}
