//! The edge worker in workerd on this machine, through `edge-worker/local/serve.mjs`.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{context::Context, node::Tools, secrets::Secrets, service::Service};

/// Starting Node, wrangler's configuration reader and workerd together takes about two seconds.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Starts the built worker and waits until it serves.
pub(crate) async fn start(
    context: &Context,
    tools: &Tools,
    port: u16,
    storage: &Path,
    control_api: &str,
    secrets: &Secrets,
) -> anyhow::Result<Service> {
    let mut command = tools.command(context, tools.node());
    command.arg(context.path("edge-worker/local/serve.mjs"));
    command.args([
        "--port",
        &port.to_string(),
        "--cf",
        r#"{"country":"DE","region":"Berlin","city":"Berlin","colo":"TXL"}"#,
    ]);
    command.arg("--persist").arg(storage);
    command.env("CONTROL_API_URL", control_api);
    command.env("TOKEN_SECRETS", &secrets.token_secrets).env("EDGE_SECRETS", &secrets.edge_secrets);

    let (mut service, stdout) =
        Service::start_watching("the edge worker", command, context.state("logs/edge.log")?, Signal::SIGTERM)?;
    let mut lines = BufReader::new(stdout).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("ready ") {
                return Ok(());
            }
        }
        bail!("it ended before it was ready")
    };
    match tokio::time::timeout(START_LIMIT, ready).await.context("it is not ready in time").and_then(|ready| ready) {
        Ok(()) => {
            // Nobody reads on, but a closed pipe would end the host at its next word.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            Ok(service)
        }
        Err(error) => {
            // Its last words may still be on the way.
            let _ = tokio::time::timeout(Duration::from_secs(1), service.failure()).await;
            Err(error.context(format!("the edge worker did not start\n{}", service.last_words())))
        }
    }
}
