//! Leases of exports: which instance writes which file, and files that are at their end.

use std::time::Duration;

use shared::id::{ExportId, WorkspaceId};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A run of an export: the right to write it, until the lease passes.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Workspace.
    pub workspace: WorkspaceId,
    /// Export.
    pub id: ExportId,
    /// Which run of it; another one has another number.
    pub attempt: i32,
}

/// Takes the oldest export that is due: queued and settled, or left by an instance that died, which is a failure of its
/// run, unless that was the last one allowed.
///
/// # Errors
/// The database's.
pub async fn lease(
    db: impl PgExecutor<'_>,
    settled_after: Duration,
    term: Duration,
    most_failures: i32,
) -> sqlx::Result<Option<Lease>> {
    let row = sqlx::query!(
        "update exports e set status = 'running', attempts = e.attempts + 1, rows_written = 0,
           failures = e.failures + case when e.status = 'running' then 1 else 0 end,
           leased_until = now() + make_interval(secs => $2)
         from (
           select workspace_id, id from exports
           where (status = 'queued' and as_of <= now() - make_interval(secs => $1)
                  and (leased_until is null or leased_until <= now()))
              or (status = 'running' and leased_until <= now() and failures + 1 < $3)
           order by created_at limit 1 for update skip locked
         ) due
         where e.workspace_id = due.workspace_id and e.id = due.id
         returning e.workspace_id, e.id, e.attempts",
        settled_after.as_secs_f64(),
        term.as_secs_f64(),
        most_failures,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Lease {
        workspace: WorkspaceId::from_uuid(row.workspace_id),
        id: ExportId::from_uuid(row.id),
        attempt: row.attempts,
    }))
}

impl Lease {
    /// Extends the lease and notes the progress. False: the export was called off or taken over.
    ///
    /// # Errors
    /// The database's.
    pub async fn extend(self, db: impl PgExecutor<'_>, rows: i64, term: Duration) -> sqlx::Result<bool> {
        let done = sqlx::query!(
            "update exports set rows_written = $4, leased_until = now() + make_interval(secs => $5)
             where workspace_id = $1 and id = $2 and attempts = $3 and status = 'running'",
            self.workspace.uuid(),
            self.id.uuid(),
            self.attempt,
            rows,
            term.as_secs_f64(),
        )
        .execute(db)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Makes the file visible. False: the export was called off or taken over.
    ///
    /// # Errors
    /// The database's.
    pub async fn complete(self, db: impl PgExecutor<'_>, rows: i64, bytes: i64, days: u16) -> sqlx::Result<bool> {
        let done = sqlx::query!(
            "update exports set status = 'completed', rows_written = $4, bytes_written = $5, leased_until = null,
               error = null, completed_at = now(), expires_at = now() + make_interval(days => $6)
             where workspace_id = $1 and id = $2 and attempts = $3 and status = 'running'",
            self.workspace.uuid(),
            self.id.uuid(),
            self.attempt,
            rows,
            bytes,
            i32::from(days),
        )
        .execute(db)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Lets another instance go on at once: this one stops, which is no failure of the run. False: the export was called
    /// off, taken over or completed.
    ///
    /// # Errors
    /// The database's.
    pub async fn hand_back(self, db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
        let done = sqlx::query!(
            "update exports set status = 'queued', rows_written = 0, leased_until = null
             where workspace_id = $1 and id = $2 and attempts = $3 and status = 'running'",
            self.workspace.uuid(),
            self.id.uuid(),
            self.attempt,
        )
        .execute(db)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Queues the export again after a pause, or gives it up after so many failures. False: the export was called off,
    /// taken over or completed.
    ///
    /// # Errors
    /// The database's.
    pub async fn fail(
        self,
        db: impl PgExecutor<'_>,
        error: &str,
        most_failures: i32,
        pause: Duration,
    ) -> sqlx::Result<bool> {
        let done = sqlx::query!(
            "update exports set status = case when failures + 1 < $5 then 'queued' else 'failed' end, error = $4,
               failures = failures + 1, leased_until = now() + make_interval(secs => $6)
             where workspace_id = $1 and id = $2 and attempts = $3 and status = 'running'",
            self.workspace.uuid(),
            self.id.uuid(),
            self.attempt,
            error,
            most_failures,
            pause.as_secs_f64(),
        )
        .execute(db)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Gives up exports whose last run allowed ended with the instance that ran it.
///
/// # Errors
/// The database's.
pub async fn give_up(db: impl PgExecutor<'_>, most_failures: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "update exports set status = 'failed', error = 'too many of its runs failed or were interrupted', leased_until = null,
           failures = failures + 1
         where status = 'running' and leased_until <= now() and failures + 1 >= $1",
        most_failures,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Exports of which no file may be left, though storage may hold some: those that have expired, and those without a
/// result that nobody writes any more.
///
/// # Errors
/// The database's.
pub async fn due_to_clear(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Lease>> {
    let rows = sqlx::query!(
        "select workspace_id, id, attempts from exports
         where cleared_at is null and status not in ('queued', 'running')
           and (status = 'expired' or status = 'completed' and expires_at <= now()
                or status in ('failed', 'cancelled') and (leased_until is null or leased_until <= now()))
         order by created_at limit $1",
        limit,
    )
    .fetch_all(db)
    .await?;
    let lease = |workspace: Uuid, id: Uuid, attempt| Lease {
        workspace: WorkspaceId::from_uuid(workspace),
        id: ExportId::from_uuid(id),
        attempt,
    };
    Ok(rows.into_iter().map(|row| lease(row.workspace_id, row.id, row.attempts)).collect())
}

/// Says that a completed export's file is gone, before it is removed: nobody is sent to a file that goes away.
///
/// # Errors
/// The database's.
pub async fn expire(db: impl PgExecutor<'_>, export: Lease) -> sqlx::Result<()> {
    sqlx::query!(
        "update exports set status = 'expired' where workspace_id = $1 and id = $2 and status = 'completed'",
        export.workspace.uuid(),
        export.id.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that storage holds no file of an export.
///
/// # Errors
/// The database's.
pub async fn cleared(db: impl PgExecutor<'_>, export: Lease) -> sqlx::Result<()> {
    sqlx::query!(
        "update exports set cleared_at = now() where workspace_id = $1 and id = $2 and cleared_at is null",
        export.workspace.uuid(),
        export.id.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}
