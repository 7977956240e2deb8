//! Measurements, one module each: what is measured, against what, and what the figures are worth.

mod centre;
mod edge;
mod exports;
mod figures;
mod load;
mod proc;
mod reports;
mod soak;

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
}

/// Runs one measurement and prints its figures.
pub(crate) async fn run(context: &Context, what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Edge { parts } => edge::run(context, &parts).await,
        Bench::Soak(extent) => soak::run(context, &extent).await,
        Bench::Reports(extent) => reports::run(context, &extent).await,
        Bench::Exports(extent) => exports::run(context, &extent).await,
    }
}
