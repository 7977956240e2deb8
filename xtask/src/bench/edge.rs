//! The built worker on plain `workerd serve`, without wrangler's proxies and simulators: how fast, beside what the
//! runtime itself costs and beside a worker in plain JavaScript; how it starts; how much memory it takes.
//!
//! Each worker runs in a workerd of its own. Its queue forgets, its store and its centre answer from memory. Ratios are
//! worth more than rates: those depend on the machine, and the load generator runs on it too.

mod agents;
mod inspect;
mod link;
mod memory;
mod paths;
mod profile;
mod rates;
mod runtime;
mod start;

use std::{fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};

use super::figures::median;
use crate::{context::Context, node::Tools, worker};

/// What of the worker is measured.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Part {
    /// Redirects per second and CPU per redirect, beside five other workers (2 minutes)
    Rates,
    /// Latency where memory can't answer: from KV, and from the centre (15 s)
    Paths,
    /// Time from the start of the runtime to the first answer (15 s)
    Start,
    /// Memory over a million requests to 100,000 links (5 minutes)
    Memory,
    /// Time to tell what kind of client it is, by agent (10 s)
    Agents,
    /// Where a redirect spends its time, by the runtime's own profiler (20 s)
    Profile,
}

/// Runs the measurements and prints their figures.
pub(crate) async fn run(context: &Context, parts: &[Part]) -> anyhow::Result<()> {
    let tools = Tools::ensure(context).await?;
    worker::build(context, &tools).await?;
    // What an earlier run has left.
    let _ = fs::remove_dir_all(context.state("bench/-")?.with_file_name(""));
    for part in parts {
        match part {
            Part::Rates => rates::run(context).await?,
            Part::Paths => paths::run(context).await?,
            Part::Start => start::run(context).await?,
            Part::Memory => memory::run(context, &tools).await?,
            Part::Agents => agents::run(context, &tools).await?,
            Part::Profile => profile::run(context, &tools).await?,
        }
    }
    let module = fs::read(context.path("edge-worker/build/worker.wasm"))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&module)?;
    println!("worker.wasm {} bytes, {} gzipped", module.len(), gzip.finish()?.len());
    Ok(())
}
