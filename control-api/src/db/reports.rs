//! Reports: what they are asked for, and the snapshot they read. Each report is read in one snapshot, so that its
//! totals and groups agree however much arrives meanwhile.
//!
//! [`clicks`] counts traffic, from rollups where those hold the answer and from facts elsewhere;
//! [`conversions`] sums conversions likewise; [`hints`] looks around where a report came out empty.

mod calendar;
pub mod clicks;
pub mod conversions;
mod fragments;
pub mod hints;
mod keys;
mod ledger;
mod spans;

use chrono_tz::Tz;
use shared::id::{LinkId, PartnerId, ProgramId, WorkspaceId};
pub use spans::{Span, unpacked_runs};
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

impl Scope {
    /// What was known at `as_of` was written before this moment.
    #[must_use]
    pub fn known_before(&self) -> Option<At> {
        self.as_of.map(At::end_of_millisecond)
    }
}

/// Which rows a report counts. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

impl Filter {
    /// The one dimension of the rollups that holds both this filter and a group of `grouped`, `all` where neither asks for
    /// one; `None` where several are in play, which the rollups don't hold.
    fn dimension_with(&self, grouped: Option<&'static str>) -> Option<&'static str> {
        let asked = [
            grouped,
            self.partner.map(|_| "partner"),
            self.tag.as_ref().map(|_| "partner"),
            self.program.map(|_| "program"),
            self.link.map(|_| "link"),
            self.country.as_ref().map(|_| "country"),
            self.domain.as_ref().map(|_| "domain"),
        ];
        let mut asked: Vec<&'static str> = asked.into_iter().flatten().collect();
        asked.dedup();
        match asked[..] {
            [] => Some("all"),
            [one] => Some(one),
            _ => None,
        }
    }
}

shared::text_enum! {
    /// Which clicks a report selects.
    #[derive(Default)]
    pub enum Bots {
        /// All of them.
        #[default]
        All = "all",
        /// Those of humans.
        Human = "human",
        /// Those of bots.
        Bot = "bot",
    }
}

impl Bots {
    /// Whether clicks of a bot, or of humans, are among them.
    const fn selects(self, bot: bool) -> bool {
        match self {
            Self::All => true,
            Self::Human => !bot,
            Self::Bot => bot,
        }
    }
}

/// Since when a workspace's single clicks are kept; `None`: since ever.
///
/// # Errors
/// The database's.
pub async fn clicks_pruned_before(db: impl PgExecutor<'_>, workspace: WorkspaceId) -> sqlx::Result<Option<At>> {
    let before = sqlx::query_scalar!(
        r#"select clicks_pruned_before as "before: At" from workspaces where id = $1"#,
        workspace.uuid()
    );
    Ok(before.fetch_optional(db).await?.flatten())
}

/// Begins a snapshot: everything read in it is of one moment, and no statement takes longer than half a minute.
///
/// # Errors
/// The database's.
pub async fn snapshot(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = db.begin_with("begin isolation level repeatable read, read only").await?;
    // Planned for the very range that is asked for, and sorted in memory.
    let settings = "set local statement_timeout = '30s'; set local work_mem = '32MB';
        set local plan_cache_mode = 'force_custom_plan'";
    sqlx::raw_sql(settings).execute(&mut *tx).await?;
    Ok(tx)
}

/// How rows are found by an index for the rest of a transaction. To sum many, in the order of their pages: what is read
/// together lies on few pages, but the planner takes the order of the key for the order of the table, and visits each page
/// once for every row. To find the first of many, in the order of the key.
///
/// # Errors
/// The database's.
pub async fn read_by_page(db: impl PgExecutor<'_>, yes: bool) -> sqlx::Result<()> {
    sqlx::raw_sql(if yes { "set local enable_indexscan = off" } else { "set local enable_indexscan = on" })
        .execute(db)
        .await?;
    Ok(())
}

/// Adds up what was read, away from the threads that requests wait for: a year of a hundred thousand cells takes
/// milliseconds.
async fn reckon<T: Send + 'static>(work: impl FnOnce() -> sqlx::Result<T> + Send + 'static) -> sqlx::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| Err(sqlx::Error::Io(stopped.into())))
}

/// How far the database has written; a replica that has come as far knows everything that was stored by now.
///
/// # Errors
/// The database's.
pub async fn written(db: impl PgExecutor<'_>) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"select pg_current_wal_lsn()::text as "at!""#).fetch_one(db).await
}

/// Whether a replica has come so far. What is no replica has.
///
/// # Errors
/// The replica's.
pub async fn has_reached(replica: impl PgExecutor<'_>, at: &str) -> sqlx::Result<bool> {
    let sql = "select not pg_is_in_recovery() or coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
    sqlx::query_scalar(sql).bind(at).fetch_one(replica).await
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
