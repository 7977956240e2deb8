//! `cargo xtask up`: from a clone to a running, demonstrated stack, and back to nothing on Ctrl-C.
//!
//! First everything that may take long and starts nothing (tools, builds), then the services, then the demo,
//! and last of all the file by which others know that the stack is ready.

use std::{env, fs, io::ErrorKind, path::Path, time::Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    cargo,
    context::{Context, write_private},
    control::Control,
    demo,
    edge::{self, Bindings},
    lock::Lock,
    node::Tools,
    ports,
    postgres::{Postgres, Purpose},
    process::Interrupt,
    secrets::Secrets,
    service::Service,
    ui::Step,
    worker,
};

const API: ports::Wanted = ports::Wanted { what: "the control API", variable: "NIM_API_PORT", default: 8080 };
/// Postgres' own; others need not know it, so the next free one is as good.
const POSTGRES: u16 = 54_320;

/// Runs until interrupted.
pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen()?;
    let started = Instant::now();
    let _lock = Lock::take(context)?;
    let ready = ReadyFile::announce(context)?;
    // Before the builds: nobody wants to hear of a taken port after minutes.
    API.claim()?;
    edge::PORT.claim()?;

    let tools = Tools::ensure(context).await?;
    let binary = cargo::build_control_api(context).await?;
    worker::build(context, &tools).await?;

    let secrets = Secrets::of(context)?;
    let mut stack = Stack::start(context, &tools, &binary, &secrets).await?;
    let doors = demo::Doors {
        api: stack.api_url.clone(),
        edge: stack.edge_url.clone(),
        operator_key: secrets.operator_key.clone(),
    };
    let workspace = tokio::select! {
        workspace = demo::run(context, &doors) => workspace?,
        failure = stack.failure() => return Err(failure),
    };
    ready.write(&json!({
        "api_url": doors.api,
        "edge_url": doors.edge,
        "operator_key": doors.operator_key,
        "workspace_id": workspace.id,
        "api_key": workspace.api_key,
        "source_id": workspace.source_id,
        "source_secret": workspace.source_secret,
        "database_url": stack.database_url,
    }))?;
    println!("Addresses and keys:  {}", ready.path.display());
    println!("Logs:                {}", context.state("logs")?.display());
    println!("\nReady after {:.1} s. Ctrl-C stops everything and keeps the data.", started.elapsed().as_secs_f64());

    tokio::select! {
        _ = interrupt.wait() => {
            eprintln!("\nstopping");
            Ok(())
        }
        failure = stack.failure() => Err(failure),
    }
}

/// The running parts, in the order in which they stop: nobody outlives what it depends on.
struct Stack {
    edge: Service,
    control_api: Service,
    postgres: Option<Postgres>,
    api_url: String,
    edge_url: String,
    database_url: String,
}

impl Stack {
    async fn start(context: &Context, tools: &Tools, binary: &Path, secrets: &Secrets) -> anyhow::Result<Self> {
        let (api_port, edge_port) = (API.claim()?, edge::PORT.claim()?);
        let api_url = format!("http://127.0.0.1:{api_port}");
        let edge_url = format!("http://127.0.0.1:{edge_port}");

        // The worker needs the control API only once somebody visits, and Node takes its time to start.
        let storage = context.state("edge")?;
        let edge = edge::start(context, tools, edge_port, &storage, &api_url, secrets, Bindings::Sound);
        let centre = async {
            let (postgres, database_url) = database(context, secrets).await?;
            let control = Control {
                context,
                binary,
                secrets,
                database_url: database_url.clone(),
                port: api_port,
                exports: context.state("exports")?,
                log: "control-api.log",
                settings: vec![("NIM_PUBLISHER", "push".to_owned()), ("NIM_EDGE_URL", edge_url.clone())],
            };
            let step = Step::start("Applying the migrations");
            control.migrate().await?;
            step.done("");

            let step = Step::start("Starting the control API and the edge worker");
            let control_api = control.start().await?;
            Ok((postgres, database_url, control_api, step))
        };
        let ((edge, _), (postgres, database_url, control_api, step)) = tokio::try_join!(edge, centre)?;
        step.done("");
        Ok(Self { edge, control_api, postgres, api_url, edge_url, database_url })
    }

    /// Waits until any part ends by itself.
    async fn failure(&mut self) -> anyhow::Error {
        let postgres = async {
            match &mut self.postgres {
                Some(postgres) => postgres.service.failure().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failure = self.edge.failure() => failure,
            failure = self.control_api.failure() => failure,
            failure = postgres => failure,
        }
    }
}

/// The developer's own database where `DATABASE_URL` names one, else the embedded server.
async fn database(context: &Context, secrets: &Secrets) -> anyhow::Result<(Option<Postgres>, String)> {
    const NAME: &str = "nimriz";
    if let Ok(url) = env::var("DATABASE_URL")
        && !url.is_empty()
    {
        return Ok((None, url));
    }
    let port = match env::var("NIM_PG_PORT") {
        Ok(_) => ports::Wanted { what: "Postgres", variable: "NIM_PG_PORT", default: POSTGRES }.claim()?,
        Err(_) => ports::free_from(POSTGRES)?,
    };
    let step = Step::start("Starting Postgres");
    let postgres = Postgres::start(context, Purpose::Keep, port, &secrets.database_password).await?;
    postgres.ensure_database(NAME).await?;
    step.done(&format!("port {port}"));
    let url = postgres.url(NAME);
    Ok((Some(postgres), url))
}

/// `.nimriz/dev.json`: exists exactly while the stack is ready.
struct ReadyFile {
    path: std::path::PathBuf,
}

impl ReadyFile {
    /// Withdraws the claim of an earlier start.
    fn announce(context: &Context) -> anyhow::Result<Self> {
        let path = context.state("dev.json")?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(Self { path }),
        }
    }

    fn write(&self, content: &serde_json::Value) -> anyhow::Result<()> {
        write_private(&self.path, &serde_json::to_vec_pretty(content)?)
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
