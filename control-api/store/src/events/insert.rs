//! Storing of new conversions: how a transaction begins, and how rows get in.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{conversion::Conversion, copy::append, queries::insert_new};
use crate::copy::InsertMode;

/// Begins a transaction whose statements are planned once for all: to plan a join with the months of clicks anew costs
/// more than the statement itself, and the plan is the same whatever is asked for. It goes by indexes: one that was made
/// while a table was young would read all of it, however much came since, until the table is next analysed.
const SERIALIZED: &str = "begin; set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off";
/// The same, without waiting long for others: that is what [`InsertMode::Serialized`] is for.
const CONCURRENT: &str = "begin; set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off; \
                          set local lock_timeout = '300ms'";

/// Begins a transaction that stores conversions.
pub async fn begin(pool: &PgPool, mode: InsertMode) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_with(if mode == InsertMode::Serialized { SERIALIZED } else { CONCURRENT }).await
}

/// Stores conversions, and answers the ids of those that were new; `None` where one was known and the mode expects none to
/// be: the transaction is then good for nothing but its end.
pub async fn insert(tx: &mut PgConnection, rows: &[Conversion], mode: InsertMode) -> sqlx::Result<Option<Vec<Uuid>>> {
    if rows.is_empty() {
        return Ok(Some(vec![]));
    }
    match mode {
        InsertMode::Optimistic => Ok(append(tx, rows).await?.then(|| rows.iter().map(|row| row.id).collect())),
        InsertMode::SkipExisting | InsertMode::Serialized => insert_new(tx, rows).await.map(Some),
    }
}
