//! Writes exports to object storage, row by row, so that memory does not grow with them. Any instance may run any
//! export; a lease keeps two from running the same one, and the update that makes a file visible succeeds only for
//! the holder of the lease. A run that crashed or lost its lease therefore leaves nothing to be seen, and another
//! one begins anew under another file name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{ObjectStoreExt as _, buffered::BufWriter, path::Path};
use shared::id::{ExportId, WorkspaceId};
use tokio::{io::AsyncWriteExt as _, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::rest;
use crate::{
    app::App,
    db::{
        self,
        exports::{Export, ExportKind, Lease},
        reports::{Filter, Scope},
    },
    domain::{
        csv::{self, Table},
        reports::{self, SETTLED_AFTER},
    },
};

/// How often an instance looks for work. Exports wait longer than this to settle anyway.
const POLL: Duration = Duration::from_millis(500);
/// How long an instance may be silent before another takes over.
const TERM: Duration = Duration::from_secs(30);
/// How often it is heard.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often files are looked through for those to remove.
const SWEEP: Duration = Duration::from_secs(60);
/// Runs of one export, and the pause after one that failed.
const ATTEMPTS: i32 = 5;
const PAUSE: Duration = Duration::from_secs(10);
/// Exports that one instance writes at a time, so that a long one does not hold up the others.
const AT_ONCE: usize = 2;
/// Bytes sent to storage at a time; S3 takes at most 10,000 parts of a file.
const PART: usize = 8 << 20;
/// Rows handed to the storage's writer at a time.
const ROWS_AT_ONCE: i64 = 256;

/// Runs until `stop`; an export that is being written then is left to another instance.
pub async fn run(app: App, stop: CancellationToken) {
    // Tasks of their own: rows that come faster than they are written would leave no turn for anything else.
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        tasks.spawn(write_due(app.clone(), stop.clone()));
    }
    tasks.spawn(sweep(app, stop));
    tasks.join_all().await;
}

async fn write_due(app: App, stop: CancellationToken) {
    loop {
        match db::exports::lease(&app.db, SETTLED_AFTER, TERM, ATTEMPTS).await {
            Ok(Some(lease)) => {
                attempt(&app, lease, &stop).await;
                if stop.is_cancelled() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "looking for exports"),
        }
        if !rest(&stop, POLL).await {
            return;
        }
    }
}

/// One run: written, or given back.
async fn attempt(app: &App, lease: Lease, stop: &CancellationToken) {
    let Lease { workspace, id, attempt } = lease;
    let path = path(app, workspace, id, attempt);
    let rows = Arc::new(AtomicI64::new(0));
    let lost = stop.child_token();
    let heart = AbortOnDropHandle::new(tokio::spawn(keep(app.clone(), lease, rows.clone(), lost.clone())));
    let outcome = write(app, lease, &path, &rows, &lost).await;
    drop(heart);
    let noted = match outcome {
        Ok(true) => {
            tracing::info!(%workspace, export = %id, rows = rows.load(Ordering::Relaxed), "export completed");
            return;
        }
        Ok(false) if stop.is_cancelled() => {
            tracing::info!(%workspace, export = %id, attempt, "export left to another instance");
            lease.extend(&app.db, 0, Duration::ZERO).await.map(drop)
        }
        Ok(false) => {
            tracing::info!(%workspace, export = %id, attempt, "export called off or taken over");
            Ok(())
        }
        Err(error) => {
            tracing::error!(%workspace, export = %id, attempt, ?error, "export failed");
            // What went wrong may name tables and buckets, which are nobody's business outside.
            let shown = "the database or the storage could not be read or written";
            lease.fail(&app.db, shown, ATTEMPTS, PAUSE).await
        }
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "giving an export back; another instance takes it when the lease passes");
    }
    remove(app, &path).await;
}

/// Keeps the lease as long as it can; says `lost` when it can't.
async fn keep(app: App, lease: Lease, rows: Arc<AtomicI64>, lost: CancellationToken) {
    while !lost.is_cancelled() {
        tokio::time::sleep(HEARTBEAT).await;
        match lease.extend(&app.db, rows.load(Ordering::Relaxed), TERM).await {
            Ok(true) => {}
            Ok(false) => lost.cancel(),
            // The lease may still hold; whether it does shows at completion.
            Err(error) => tracing::warn!(%error, "extending the lease of an export"),
        }
    }
}

/// Writes the file and makes it visible. False: the lease was lost meanwhile.
async fn write(
    app: &App,
    lease: Lease,
    path: &Path,
    rows: &AtomicI64,
    lost: &CancellationToken,
) -> anyhow::Result<bool> {
    let export = db::exports::get(&app.db, lease.workspace, lease.id).await?.context("the export is gone")?;
    let scope = scope(lease.workspace, &export)?;
    let mut snapshot = reports::snapshot(app).await?;
    // A long file takes its time.
    sqlx::raw_sql("set local statement_timeout = 0").execute(&mut *snapshot).await?;
    let bytes = match export.kind {
        ExportKind::Conversions => {
            let types: Vec<String> = export.filters.types.iter().map(ToString::to_string).collect();
            let stream = db::conversions::stream(&mut snapshot, &scope, export.as_of, &types);
            let file = File::new(app, path, &csv::conversions::COLUMNS)?;
            file.pour(stream, csv::conversions::push, rows, lost).await?
        }
        ExportKind::Traffic => {
            let stream = db::exports::traffic::stream(&mut snapshot, &scope, export.as_of);
            let file = File::new(app, path, &csv::traffic::COLUMNS)?;
            file.pour(stream, csv::traffic::push, rows, lost).await?
        }
    };
    let Some(bytes) = bytes else { return Ok(false) };
    snapshot.commit().await?;
    Ok(lease.complete(&app.db, rows.load(Ordering::Relaxed), bytes, app.config.export_days).await?)
}

fn scope(workspace: WorkspaceId, export: &Export) -> anyhow::Result<Scope> {
    let filters = &export.filters;
    Ok(Scope {
        workspace,
        from: export.from,
        to: export.to,
        tz: filters.timezone.parse().context("the time zone of the export")?,
        as_of: Some(export.as_of),
        filter: Filter { partner: filters.partner, program: filters.program, ..Filter::default() },
    })
}

/// A file being written.
struct File {
    storage: BufWriter,
    table: Table,
    bytes: usize,
}

impl File {
    fn new(app: &App, path: &Path, columns: &[&str]) -> anyhow::Result<Self> {
        let storage = BufWriter::with_capacity(app.exports.0.clone(), path.clone(), PART).with_max_concurrency(2);
        Ok(Self { storage, table: Table::new(columns)?, bytes: 0 })
    }

    /// Turns rows into the file, and answers its size. Storage that is slower than the database slows the database
    /// down. `None`: the lease was lost.
    async fn pour<R>(
        mut self,
        rows: BoxStream<'_, sqlx::Result<R>>,
        push: impl Fn(&mut Table, &R) -> anyhow::Result<()>,
        written: &AtomicI64,
        lost: &CancellationToken,
    ) -> anyhow::Result<Option<i64>> {
        let outcome = tokio::select! {
            outcome = self.write(rows, push, written) => outcome.map(|()| true),
            () = lost.cancelled() => Ok(false),
        };
        if let Ok(true) = outcome {
            self.storage.shutdown().await?;
            return Ok(Some(i64::try_from(self.bytes)?));
        }
        // Parts already uploaded would cost money and never be seen.
        if let Err(error) = self.storage.abort().await {
            tracing::warn!(%error, "abandoning the file of an export");
        }
        outcome.map(|_| None)
    }

    async fn write<R>(
        &mut self,
        mut rows: BoxStream<'_, sqlx::Result<R>>,
        push: impl Fn(&mut Table, &R) -> anyhow::Result<()>,
        written: &AtomicI64,
    ) -> anyhow::Result<()> {
        while let Some(row) = rows.next().await {
            push(&mut self.table, &row?)?;
            if written.fetch_add(1, Ordering::Relaxed) % ROWS_AT_ONCE == 0 {
                self.hand_over().await?;
            }
        }
        self.hand_over().await
    }

    async fn hand_over(&mut self) -> anyhow::Result<()> {
        let chunk = self.table.take()?;
        self.bytes += chunk.len();
        self.storage.put(chunk.into()).await?;
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Where a run of an export is written.
#[must_use]
pub fn path(app: &App, workspace: WorkspaceId, export: ExportId, attempt: i32) -> Path {
    app.exports.1.clone().join(workspace.to_string()).join(format!("{export}-{attempt}.csv"))
}

/// Removes files whose time is over, and what runs may have left that were killed before they could tidy up.
async fn sweep(app: App, stop: CancellationToken) {
    loop {
        if let Err(error) = clear(&app).await {
            tracing::warn!(%error, "removing files of exports");
        }
        if !rest(&stop, SWEEP).await {
            return;
        }
    }
}

/// One look at what is to be removed.
///
/// # Errors
/// The database's. What storage refuses is logged and tried again at the next look.
pub async fn clear(app: &App) -> sqlx::Result<()> {
    db::exports::give_up(&app.db, ATTEMPTS).await?;
    for export in db::exports::due_to_clear(&app.db, 100).await? {
        db::exports::expire(&app.db, export).await?;
        let mut removed = true;
        for attempt in 1..=export.attempt {
            removed &= remove(app, &path(app, export.workspace, export.id, attempt)).await;
        }
        if removed {
            db::exports::cleared(&app.db, export).await?;
        }
    }
    Ok(())
}

/// Removes a file if it is there.
async fn remove(app: &App, path: &Path) -> bool {
    match app.exports.0.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => true,
        Err(error) => {
            tracing::warn!(%error, %path, "removing the file of an export");
            false
        }
    }
}
