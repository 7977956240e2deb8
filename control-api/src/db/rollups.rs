//! Folding of what was stored into what reports read.

use sqlx::PgPool;

/// Only one instance folds at a time; the others find the lock taken and rest.
const LOCK: i64 = 0x6e69_6d72_6f6c_6c75;

/// Folds at most `limit` clicks into the rollups, in one transaction, and answers how many.
///
/// # Errors
/// The database's.
pub async fn fold(db: &PgPool, limit: i64) -> sqlx::Result<i64> {
    let mut tx = db.begin().await?;
    let mine =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "mine!""#, LOCK).fetch_one(&mut *tx).await?;
    if !mine {
        return Ok(0);
    }
    let folded = sqlx::query_file_scalar!("src/db/rollups/fold.sql", limit).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(folded)
}
