//! What the runtime tells about a worker through its inspector. Node speaks to it: it has the WebSocket.

use anyhow::Context as _;

use super::runtime::Prepared;
use crate::{context::Context, node::Tools, process};

/// An inspector of one workerd.
pub(super) struct Inspector<'a> {
    context: &'a Context,
    tools: &'a Tools,
    port: u16,
}

impl<'a> Inspector<'a> {
    /// Of a workerd that has one.
    pub(super) fn of(context: &'a Context, tools: &'a Tools, prepared: &Prepared) -> Self {
        Self { context, tools, port: prepared.inspector() }
    }

    /// The functions that take most time themselves over the coming milliseconds, a line each.
    pub(super) async fn profile(&self, millis: u128) -> anyhow::Result<String> {
        self.ask(&["profile", &self.port.to_string(), &millis.to_string()]).await
    }

    /// The heap that the worker's isolate has in use, garbage included, in megabytes. The module's memory is not in it.
    pub(super) async fn heap(&self) -> anyhow::Result<f64> {
        let text = self.ask(&["heap", &self.port.to_string()]).await?;
        Ok(text.trim().parse::<f64>().context("the inspector tells no size")? / 1e6)
    }

    async fn ask(&self, question: &[&str]) -> anyhow::Result<String> {
        let script = self.context.state("bench/inspect.mjs")?;
        std::fs::write(&script, include_str!("inspect.mjs"))?;
        let mut reader = self.tools.command(self.context, self.tools.node());
        reader.arg(&script).args(question);
        process::output(reader).await
    }
}
