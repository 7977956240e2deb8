//! Measurements, one module each: what is measured, against what, and what the figures are worth.

mod edge;
mod load;

use crate::context::Context;

/// What can be measured.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Bench {
    /// Redirects per second of the built worker in workerd
    Edge,
}

/// Runs one measurement and prints its figures.
pub(crate) async fn run(context: &Context, what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Edge => edge::run(context).await,
    }
}
