//! Reports: what they are asked for, and the snapshot they read. Each report is read in one snapshot, so that its
//! totals and groups agree however much arrives meanwhile.
//!
//! [`clicks`] counts traffic, from rollups where those hold the answer and from facts elsewhere;
//! [`conversions`] sums conversions, always from facts; [`hints`] looks around where a report came out empty.

pub mod clicks;
pub mod conversions;
mod fragments;
pub mod hints;

use chrono_tz::Tz;
use shared::id::{LinkId, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgExecutor, PgPool, Postgres, Transaction};

use crate::time::At;

/// What a report covers.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The first moment, a whole millisecond.
    pub from: At,
    /// The first moment after it, a whole millisecond.
    pub to: At,
    /// Where days, weeks and months begin.
    pub tz: Tz,
    /// Only what was known then; `None`: the latest state.
    pub as_of: Option<At>,
    /// Which rows.
    pub filter: Filter,
}

/// Which rows a report counts. Everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this partner.
    pub partner: Option<PartnerId>,
    /// Of this program.
    pub program: Option<ProgramId>,
    /// Of this link.
    pub link: Option<LinkId>,
    /// From this country.
    pub country: Option<String>,
    /// On this hostname.
    pub domain: Option<String>,
    /// Of partners that carry this tag now.
    pub tag: Option<String>,
}

shared::text_enum! {
    /// Which clicks a report selects.
    pub enum Bots {
        /// All of them.
        All = "all",
        /// Those of humans.
        Human = "human",
        /// Those of bots.
        Bot = "bot",
    }
}

/// Begins a snapshot: everything read in it is of one moment, and no statement takes longer than half a minute.
///
/// # Errors
/// The database's.
pub async fn snapshot(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = db.begin_with("begin isolation level repeatable read, read only").await?;
    sqlx::query!("set local statement_timeout = '30s'").execute(&mut *tx).await?;
    Ok(tx)
}

/// Milliseconds that have passed since a moment, by the database's clock; negative: it is still to come.
///
/// # Errors
/// The database's.
pub async fn age(db: impl PgExecutor<'_>, at: At) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select floor(extract(epoch from clock_timestamp() - $1) * 1000)::bigint as "age!""#, at.0,)
        .fetch_one(db)
        .await
}
