//! Measurements, one module each: what is measured, against what, and what the figures are worth.

mod centre;
mod edge;
mod exports;
mod figures;
mod load;
mod proc;
mod reports;

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
    /// Every grouping of the reports, over a long history
    Reports(reports::Extent),
    /// A large export
    Exports(exports::Extent),
}

/// Runs one measurement and prints its figures.
pub(crate) async fn run(context: &Context, what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Edge { parts } => edge::run(context, &parts).await,
        Bench::Reports(extent) => reports::run(context, &extent).await,
        Bench::Exports(extent) => exports::run(context, &extent).await,
    }
}
