//! Measurements, one module each: what is measured, against what, and what the figures are worth.

mod centre;
mod edge;
mod events;
mod exports;
mod figures;
mod ingest;
mod instances;
mod load;
mod post;
mod proc;
mod reports;
mod soak;
mod traffic;

use crate::context::Context;

/// What can be measured.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// The built worker in plain workerd
    Edge {
        /// What of it
        #[arg(default_value = "rates")]
        parts: Vec<edge::Part>,
    },
    /// The whole of it under steady visits, with outages: does every click arrive, once
    Soak(soak::Extent),
    /// Every grouping of the reports, over a long history
    Reports(reports::Extent),
    /// A large export
    Exports(exports::Extent),
    /// Click ingest over HTTP, beside a binary COPY of the same rows
    Ingest(ingest::Extent),
    /// Signed events over HTTP, one by one and in batches
    Events(events::Extent),
    /// Several instances on one database, of which one is killed every few seconds: nothing is lost, nothing doubled
    Instances(instances::Extent),
}

/// Runs one measurement and prints its figures.
pub(crate) async fn run(context: &Context, what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Edge { parts } => edge::run(context, &parts).await,
        Bench::Soak(extent) => soak::run(context, &extent).await,
        Bench::Reports(extent) => reports::run(context, &extent).await,
        Bench::Exports(extent) => exports::run(context, &extent).await,
        Bench::Ingest(extent) => ingest::run(context, &extent).await,
        Bench::Events(extent) => events::run(context, &extent).await,
        Bench::Instances(extent) => instances::run(context, &extent).await,
    }
}
