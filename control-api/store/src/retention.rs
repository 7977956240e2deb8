//! Letting go of old clicks: by workspace where it asks for it, by partition where nobody keeps anything in one.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use model::time::Timestamp;

/// The right to look after the database, which one instance has at a time. It ends with its connection, so a crash gives it
/// back.
pub struct Turn(PgConnection);

impl Turn {
    const LOCK: i64 = 0x6e69_6d75_706b_6565;

    /// Takes it, unless another instance has it.
    ///
    /// # Errors
    /// The database's.
    pub async fn take(db: &PgPool) -> sqlx::Result<Option<Self>> {
        let mut connection = db.acquire().await?.detach();
        let mine = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "mine!""#, Self::LOCK)
            .fetch_one(&mut connection)
            .await?;
        Ok(mine.then_some(Self(connection)))
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The database's.
    pub async fn end(mut self) -> sqlx::Result<()> {
        sqlx::query!("select pg_advisory_unlock($1)", Self::LOCK).fetch_one(&mut self.0).await?;
        self.0.close().await
    }
}

/// Moves forward the moment before which each workspace's clicks may be gone, and answers those that have one.
///
/// Reports are told first: what is deleted afterwards was announced as missing.
///
/// # Errors
/// The database's.
pub async fn announce(db: &PgPool, now: Timestamp) -> sqlx::Result<Vec<(Uuid, Timestamp)>> {
    sqlx::query!(
        "update workspaces set clicks_pruned_before = greatest(
            clicks_pruned_before, date_trunc('day', $1::timestamptz - make_interval(days => click_retention_days), 'UTC')
         )
         where click_retention_days is not null",
        now.0
    )
    .execute(db)
    .await?;
    let rows = sqlx::query!(
        r#"select id, clicks_pruned_before as "before!: Timestamp" from workspaces where clicks_pruned_before is not null"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.before)).collect())
}

/// Deletes at most `limit` clicks of a workspace from before a moment, oldest first, and answers how many.
///
/// # Errors
/// The database's.
pub async fn prune(db: &PgPool, workspace: Uuid, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let pruned = sqlx::query!(
        "delete from clicks where workspace_id = $1 and click_id < uuid_at($2) and click_id in (
            select click_id from clicks where workspace_id = $1 and click_id < uuid_at($2) order by click_id limit $3
         )",
        workspace,
        before.0,
        limit
    )
    .execute(db)
    .await?;
    Ok(pruned.rows_affected())
}

/// Takes away the partitions that ended before a moment and hold no click that anybody keeps, and answers their names.
///
/// They are detached concurrently, so neither ingest nor reports wait for it; needs connections without a limit on the
/// time of a transaction, because it waits for theirs.
///
/// # Errors
/// The database's.
pub async fn drop_partitions(db: &PgPool, before: Timestamp) -> sqlx::Result<Vec<String>> {
    let old = sqlx::query!(
        r#"select c.relname as "name!", i.inhdetachpending as "half_done?"
        from pg_class c left join pg_inherits i on i.inhrelid = c.oid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname ~ '^clicks_[0-9]{6}$'
            and to_timestamp(substr(c.relname, 8), 'YYYYMM') + interval '1 month' <= $1::timestamptz
        order by 1"#,
        before.0
    )
    .fetch_all(db)
    .await?;
    let mut dropped = Vec::new();
    for partition in old {
        // Names are `clicks_` and digits: the filter above has read them as a date.
        let name = partition.name;
        // Also of what is detached already: whoever did that by hand, to keep it, finds it where it was.
        if partition.half_done != Some(true) {
            let kept = format!(
                "select exists (
                    select 1 from workspaces w
                    where exists (
                        select 1 from {name} c
                        where c.workspace_id = w.id
                            and c.click_id >= uuid_at(coalesce(w.clicks_pruned_before, '1970-01-01 00:00:00Z'))
                    )
                )"
            );
            if sqlx::query_scalar::<_, bool>(AssertSqlSafe(kept)).fetch_one(db).await? {
                continue;
            }
        }
        // None: it is detached, say because a process was killed before it could drop it.
        if let Some(half_done) = partition.half_done {
            let how = if half_done { "finalize" } else { "concurrently" };
            sqlx::raw_sql(AssertSqlSafe(format!("alter table clicks detach partition {name} {how}")))
                .execute(db)
                .await?;
        }
        sqlx::raw_sql(AssertSqlSafe(format!("drop table {name}"))).execute(db).await?;
        dropped.push(name);
    }
    Ok(dropped)
}
