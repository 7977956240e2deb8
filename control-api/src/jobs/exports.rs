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

use super::rest::rest;
use crate::app::App;
use analytics::scope::{Filter, Scope};
use domain::{
    csv::{self, Table},
    reports::{self, SETTLED_AFTER},
};
use model::time::Timestamp;
use store::exports::{Export, ExportKind, ExportStatus, Lease};

/// How often an instance looks for work. Exports wait longer than this to settle anyway.
const POLL: Duration = Duration::from_millis(500);
/// How long an instance may be silent before another takes over.
const TERM: Duration = Duration::from_secs(30);
/// How often it is heard.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often files are looked through for those to remove.
const SWEEP: Duration = Duration::from_secs(60);
/// Runs of one export that may fail, and the pause after one that did.
const FAILURES: i32 = 5;
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
        match store::exports::lease(&app.db, SETTLED_AFTER, TERM, FAILURES).await {
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
    // Whether this run's file is one that nobody will be shown.
    let useless = match outcome {
        Ok(true) => {
            tracing::info!(%workspace, export = %id, rows = rows.load(Ordering::Relaxed), "export completed");
            // Runs that were killed had no time to tidy up; a file that can't be removed now goes when the export does.
            for earlier in 1..attempt {
                remove(app, &self::path(app, workspace, id, earlier)).await;
            }
            return;
        }
        Ok(false) if stop.is_cancelled() => {
            tracing::info!(%workspace, export = %id, attempt, "export left to another instance");
            lease.hand_back(&app.db).await.map(|_| true)
        }
        Ok(false) => {
            tracing::info!(%workspace, export = %id, attempt, "export called off or taken over");
            Ok(true)
        }
        Err(error) => {
            tracing::error!(%workspace, export = %id, attempt, ?error, "export failed");
            // What went wrong may name tables and buckets, which are nobody's business outside.
            match error.downcast_ref::<Refused>() {
                Some(Refused(shown)) => give_back(app, lease, shown, 0).await,
                None => give_back(app, lease, UNREACHABLE, FAILURES).await,
            }
        }
    };
    match useless {
        Ok(true) => drop(remove(app, &path).await),
        Ok(false) => tracing::info!(%workspace, export = %id, attempt, "export completed after all"),
        // The file stays for whoever completes or clears the export: it may be the one that is shown.
        Err(error) => {
            tracing::warn!(%error, "giving an export back; another instance takes it when the lease passes");
        }
    }
}

const UNREACHABLE: &str = "the database or the storage could not be read or written";

/// What no further run can mend, in words for those who asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Notes a failed run, and answers whether its file is of no use. It is, unless the run was completed all the same: the
/// update that completes it may have been made though its answer was lost.
async fn give_back(app: &App, lease: Lease, shown: &str, most_failures: i32) -> store::Result<bool> {
    if lease.fail(&app.db, shown, most_failures, PAUSE).await? {
        return Ok(true);
    }
    // Nothing of this run can be completed from here on, so what is read now stays so.
    let export = store::exports::get(&app.db, lease.workspace, lease.id).await?;
    Ok(!export.is_some_and(|export| export.status == ExportStatus::Completed && export.attempts == lease.attempt))
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
    let export = store::exports::get(&app.db, lease.workspace, lease.id).await?.context("the export is gone")?;
    let scope = scope(lease.workspace, &export)?;
    let mut snapshot = reports::snapshot(app).await?;
    // A long file takes its time.
    store::reports::lift_time_limit(&mut *snapshot).await?;
    let bytes = match export.kind {
        ExportKind::Conversions => {
            let types: Vec<String> = export.filters.types.iter().map(ToString::to_string).collect();
            let stream = store::conversions::stream(&mut snapshot, &scope, export.as_of, &types);
            let file = File::new(app, path, &csv::conversions::COLUMNS)?;
            file.pour(stream, csv::conversions::push, rows, lost).await?
        }
        ExportKind::Traffic => {
            // Asked for in time, but begun too late: as refusing it at once, better none than one that is short.
            if let Some(before) = store::reports::clicks_pruned_before(&mut *snapshot, lease.workspace).await?
                && export.from < before
            {
                return Err(Refused(clicks_removed(before)).into());
            }
            let stream = store::exports::traffic::stream(&mut snapshot, &scope, export.as_of);
            let file = File::new(app, path, &csv::traffic::COLUMNS)?;
            file.pour(stream, csv::traffic::push, rows, lost).await?
        }
    };
    let Some(bytes) = bytes else { return Ok(false) };
    snapshot.commit().await?;
    Ok(lease.complete(&app.db, rows.load(Ordering::Relaxed), bytes, app.config.export_days).await?)
}

/// Why no traffic export is made of a time whose clicks may be gone, and what to do about it.
#[must_use]
pub fn clicks_removed(before: Timestamp) -> String {
    format!(
        "clicks from before {before} have been removed (click_retention_days), so the file would be short; begin at \
         {before}, and ask reports without as_of for the sums of the time before"
    )
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
        rows: BoxStream<'_, store::Result<R>>,
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
        mut rows: BoxStream<'_, store::Result<R>>,
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
pub async fn clear(app: &App) -> store::Result<()> {
    store::exports::give_up(&app.db, FAILURES).await?;
    for export in store::exports::due_to_clear(&app.db, 100).await? {
        store::exports::expire(&app.db, export).await?;
        let mut removed = true;
        for attempt in 1..=export.attempt {
            removed &= remove(app, &path(app, export.workspace, export.id, attempt)).await;
        }
        if removed {
            store::exports::cleared(&app.db, export).await?;
        }
    }
    Ok(())
}

/// Removes a file if it is there, and what an upload of it left that was killed.
async fn remove(app: &App, path: &Path) -> bool {
    if let Err(error) = remove_parts(app, path).await {
        tracing::warn!(%error, %path, "removing what is left of the file of an export");
        return false;
    }
    match app.exports.0.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => true,
        Err(error) => {
            tracing::warn!(%error, %path, "removing the file of an export");
            false
        }
    }
}

/// In a folder, an upload goes to `….csv#1` until it is whole (`#2` if that was there, and so on), which the storage's
/// own interface does not reach. Elsewhere the storage itself has to do away with uploads that nobody ends.
async fn remove_parts(app: &App, path: &Path) -> std::io::Result<()> {
    let (Ok(folder), Some(below)) = (app.config.export_url.to_file_path(), path.prefix_match(&app.exports.1)) else {
        return Ok(());
    };
    let file = below.fold(folder, |folder, part| folder.join(part.as_ref()));
    for number in 1_u64.. {
        let mut part = file.clone().into_os_string();
        part.push(format!("#{number}"));
        match tokio::fs::remove_file(part).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
