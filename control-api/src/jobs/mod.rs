//! What runs without a request. Each job may run in every instance at once: they share the work by leases
//! and locks in Postgres, and none doubles another's.

pub mod exports;
pub mod late_attribution;
pub mod maintenance;
pub mod reconciler;
pub mod replicator;
mod rest;
pub mod rollups;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::app::App;

/// Starts every job; each ends soon after `stop`.
pub fn start(app: &App, stop: &CancellationToken, jobs: &TaskTracker) {
    jobs.spawn(replicator::run(app.clone(), stop.clone()));
    jobs.spawn(reconciler::run(app.clone(), stop.clone()));
    jobs.spawn(rollups::run(app.clone(), stop.clone()));
    jobs.spawn(rollups::run_conversions(app.clone(), stop.clone()));
    jobs.spawn(rollups::run_packs(app.clone(), stop.clone()));
    jobs.spawn(late_attribution::run(app.clone(), stop.clone()));
    jobs.spawn(exports::run(app.clone(), stop.clone()));
    jobs.spawn(maintenance::run(app.clone(), stop.clone()));
}
