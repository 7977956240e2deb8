//! Redirects per second of the built worker on plain `workerd serve`, beside the ceilings of the runtime.

use crate::context::Context;

/// Runs the measurement and prints its figures.
#[expect(clippy::unused_async, reason = "filled in with the worker")]
pub(crate) async fn run(_context: &Context) -> anyhow::Result<()> {
    anyhow::bail!("there is no measurement yet")
}
