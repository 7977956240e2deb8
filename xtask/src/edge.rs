//! The edge worker in workerd on this machine: through `edge-worker/local/serve.mjs`, which has the queues and KV of
//! Cloudflare's own simulators, or self-hosted by `edge-worker/self-hosted/workerd.capnp`.

use std::{env, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{
    context::Context,
    node::{self, Tools},
    ports,
    process::Process,
    secrets::Secrets,
    service::Service,
    worker,
};

/// Starting Node, wrangler's configuration reader and workerd together takes about two seconds.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Where it listens unless told otherwise.
pub(crate) const PORT: ports::Wanted =
    ports::Wanted { what: "the edge worker", variable: "NIM_EDGE_PORT", default: 8787 };

/// `cargo xtask edge`: builds the worker and runs it until interrupted, with the secrets of this checkout unless the
/// environment has others.
pub(crate) async fn run(context: &Context, self_hosted: bool) -> anyhow::Result<()> {
    let tools = Tools::ensure(context).await?;
    worker::build(context, &tools).await?;
    let mut secrets = Secrets::of(context)?;
    for (name, secret) in [("TOKEN_SECRETS", &mut secrets.token_secrets), ("EDGE_SECRETS", &mut secrets.edge_secrets)] {
        if let Ok(given) = env::var(name) {
            *secret = given;
        }
    }
    let port = PORT.claim()?;
    let control_api = env::var("CONTROL_API_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    println!("The edge worker listens on http://127.0.0.1:{port} and asks {control_api}. Ctrl-C stops it.");
    if !self_hosted {
        let storage = context.state("edge")?;
        let (mut service, _) = start(context, &tools, port, &storage, &control_api, &secrets, Bindings::Sound).await?;
        return Err(service.failure().await);
    }
    let storage = context.state("edge-self-hosted")?;
    fs::create_dir_all(&storage)?;
    let mut command = Command::new(node::workerd(context));
    command.arg("serve").arg(context.path("edge-worker/self-hosted/workerd.capnp"));
    command.arg("--socket-addr").arg(format!("http=127.0.0.1:{port}"));
    command.arg("--directory-path").arg(format!("disk={}", storage.display()));
    command.env("CONTROL_API_URL", control_api);
    command.env("TOKEN_SECRETS", &secrets.token_secrets).env("EDGE_SECRETS", &secrets.edge_secrets);
    command.stdin(Stdio::null());
    let status = Process::spawn(command, Signal::SIGTERM, Duration::from_secs(10))?.wait().await?;
    bail!("workerd ended ({status})")
}

/// Whether the worker's bindings work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bindings {
    /// They do.
    Sound,
    /// They can be made to fail, by a door whose URL is told.
    Faulty,
}

/// Starts the built worker and waits until it serves. Beside it, the door by which faulty bindings are told to fail; empty
/// where they are sound.
pub(crate) async fn start(
    context: &Context,
    tools: &Tools,
    port: u16,
    storage: &Path,
    control_api: &str,
    secrets: &Secrets,
    bindings: Bindings,
) -> anyhow::Result<(Service, String)> {
    let mut command = tools.command(context, tools.node());
    command.arg(context.path("edge-worker/local/serve.mjs"));
    command.args([
        "--port",
        &port.to_string(),
        "--cf",
        r#"{"country":"DE","region":"Berlin","city":"Berlin","colo":"TXL"}"#,
    ]);
    command.arg("--persist").arg(storage);
    command.args((bindings == Bindings::Faulty).then_some("--faults"));
    command.env("CONTROL_API_URL", control_api);
    command.env("TOKEN_SECRETS", &secrets.token_secrets).env("EDGE_SECRETS", &secrets.edge_secrets);

    let (mut service, stdout) =
        Service::start_watching("the edge worker", command, context.state("logs/edge.log")?, Signal::SIGTERM)?;
    let mut lines = BufReader::new(stdout).lines();
    let ready = async {
        let mut faults = String::new();
        while let Some(line) = lines.next_line().await? {
            match line.split_once(' ') {
                Some(("faults", url)) => url.clone_into(&mut faults),
                Some(("ready", _)) => return Ok(faults),
                _ => {}
            }
        }
        bail!("it ended before it was ready")
    };
    match tokio::time::timeout(START_LIMIT, ready).await.context("it is not ready in time").and_then(|ready| ready) {
        Ok(faults) => {
            // Nobody reads on, but a closed pipe would end the host at its next word.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            Ok((service, faults))
        }
        Err(error) => {
            // Its last words may still be on the way.
            let _ = tokio::time::timeout(Duration::from_secs(1), service.failure()).await;
            Err(error.context(format!("the edge worker did not start\n{}", service.last_words())))
        }
    }
}
