//! The schema's migrations.

use anyhow::Context as _;
use sqlx::PgPool;

/// The migrations, built into the program.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Applies what is missing. Several instances may do so at once: they take turns by a lock.
///
/// # Errors
/// The migration that failed.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    MIGRATIONS.run(pool).await.context("applying migrations")?;
    sqlx::query!(
        "select ensure_click_partition(at) from generate_series(now() - interval '17 days', now() + interval '70 days', interval '10 days') at"
    )
    .fetch_all(pool)
    .await
    .context("making the partitions of clicks")?;
    Ok(())
}

/// How many migrations are applied.
///
/// # Errors
/// The database's.
pub async fn applied(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from _sqlx_migrations where success"#).fetch_one(pool).await
}
