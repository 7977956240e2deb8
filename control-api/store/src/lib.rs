//! SQL, checked against the migrations at compile time. Every function of tenant data takes the workspace.

pub use sqlx::{Error, PgConnection, PgPool, Postgres, Result, Transaction};

pub mod activity;
pub mod api_keys;
pub mod assignments;
pub mod audit;
pub mod change;
pub mod clicks;
pub mod conversion_rollups;
pub mod conversions;
pub mod copy;
pub mod delivery;
pub mod domains;
pub mod events;
pub mod explain;
pub mod exports;
pub mod idempotency;
pub mod links;
pub mod migrations;
pub mod outbox;
pub mod packs;
pub mod partner_notes;
pub mod partners;
pub mod pool;
pub mod programs;
pub mod reconciler;
pub mod records;
pub mod reports;
pub mod retention;
pub mod rollups;
pub mod signature_check;
pub mod sources;
pub mod workspaces;

/// An `ilike` pattern for "contains this text".
#[must_use]
pub(crate) fn containing(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}
