//! `workerd serve` with one of the workers that are compared, its queue, its store and its centre.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::{net::TcpStream, process::Command, time::timeout};

use super::link;
use crate::{bench::proc, context::Context, node, ports, service::Service};

/// Which worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// A constant redirect.
    Constant,
    /// A constant redirect and a constant message.
    Queue,
    /// The product.
    Ours,
    /// The same job in plain JavaScript.
    Plain,
    /// The product without its queue.
    OursAlone,
    /// Plain JavaScript without its queue.
    PlainAlone,
    /// A constant redirect that reads the request.
    ConstantReading,
    /// A constant redirect and a constant message that reads the request.
    QueueReading,
}

impl Subject {
    /// Its modules, the main one first.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Constant => &["constant.mjs"],
            Self::Queue => &["queue.mjs"],
            Self::Ours => &["worker.mjs", "worker.wasm"],
            Self::Plain => &["plain.mjs"],
            Self::OursAlone => &["alone.mjs", "worker.mjs", "worker.wasm"],
            Self::PlainAlone => &["alone.mjs", "plain.mjs"],
            Self::ConstantReading => &["reading.mjs", "constant.mjs"],
            Self::QueueReading => &["reading.mjs", "queue.mjs"],
        }
    }
}

/// A workerd that could start at once.
pub(super) struct Prepared {
    command: Command,
    config: PathBuf,
    log: PathBuf,
    port: u16,
    sink: u16,
    inspector: u16,
}

/// A running workerd.
pub(super) struct Runtime {
    _service: Service,
    port: u16,
    sink: u16,
    process: u32,
}

impl Runtime {
    /// Starts workerd and waits until it listens.
    pub(super) async fn start(context: &Context, subject: Subject) -> anyhow::Result<Self> {
        Self::prepare(context, subject)?.start().await
    }

    /// Writes all that workerd reads.
    pub(super) fn prepare(context: &Context, subject: Subject) -> anyhow::Result<Prepared> {
        let (port, sink) = (ports::any_free()?, ports::any_free()?);
        // A folder of its own, so that its path names the process.
        let name = format!("{subject:?}-{port}");
        let config = context.state(&format!("bench/{name}/workerd.capnp"))?;
        write(context, config.parent().context("a file without a folder")?, subject.modules())?;
        fs::write(&config, describe(context, subject.modules(), port, sink)?)?;
        let mut command = Command::new(node::workerd(context));
        command.arg("serve").arg(&config);
        let log = context.state(&format!("logs/bench-{subject:?}.log"))?;
        Ok(Prepared { command, config, log, port, sink, inspector: 0 })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The last message that its queue has got.
    pub(super) async fn last_message(&self) -> anyhow::Result<String> {
        Ok(reqwest::get(format!("http://127.0.0.1:{}/", self.sink)).await?.text().await?)
    }

    /// The processor time it has used so far, in user and kernel mode.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        proc::cpu_time(self.process)
    }

    /// The memory it holds now.
    pub(super) fn resident_megabytes(&self) -> anyhow::Result<f64> {
        proc::resident_megabytes(self.process)
    }
}

impl Prepared {
    /// The same with an inspector.
    pub(super) fn with_inspector(mut self) -> anyhow::Result<Self> {
        self.inspector = ports::any_free()?;
        self.command.arg(format!("--inspector-addr=127.0.0.1:{}", self.inspector));
        Ok(self)
    }

    /// The inspector's port.
    pub(super) fn inspector(&self) -> u16 {
        self.inspector
    }

    /// Starts workerd and waits until it listens, looking often: starts are measured.
    pub(super) async fn start(self) -> anyhow::Result<Runtime> {
        let Self { command, config, log, port, sink, .. } = self;
        let mut service = Service::start("workerd", command, log, Signal::SIGTERM)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Ok(failure) = timeout(Duration::from_millis(1), service.failure()).await {
                return Err(failure);
            }
            if Instant::now() > deadline {
                bail!("workerd does not listen\n{}", service.last_words());
            }
        }
        let process = process_of(&config).context("workerd listens but its process is not to be found")?;
        Ok(Runtime { _service: service, port, sink, process })
    }
}

fn write(context: &Context, folder: &Path, modules: &[&str]) -> anyhow::Result<()> {
    let around = |wrapper: &str| wrapper.replace("@WORKER@", modules.get(1).copied().unwrap_or_default());
    let (alone, reading) = (around(include_str!("alone.mjs")), around(include_str!("reading.mjs")));
    let (record, click, tables) = (link::record()?, link::click()?, link::tables());
    for (name, content) in [
        ("constant.mjs", include_str!("constant.mjs")),
        ("queue.mjs", include_str!("queue.mjs")),
        ("plain.mjs", include_str!("plain.mjs")),
        ("alone.mjs", &alone),
        ("reading.mjs", &reading),
        ("sink.mjs", include_str!("sink.mjs")),
        ("store.mjs", include_str!("store.mjs")),
        ("centre.mjs", include_str!("centre.mjs")),
        ("record.json", &record),
        ("click.json", &click),
        ("tables.json", &tables),
    ] {
        fs::write(folder.join(name), content)?;
    }
    for module in modules.iter().filter(|module| module.starts_with("worker.")) {
        fs::copy(context.path("edge-worker/build").join(module), folder.join(module))?;
    }
    Ok(())
}

fn describe(context: &Context, modules: &[&str], port: u16, sink: u16) -> anyhow::Result<String> {
    let modules: Vec<_> = modules
        .iter()
        .map(|name| match name.strip_suffix(".wasm") {
            // By the name under which the bundle imports it.
            Some(_) => format!("(name = \"./{name}\", wasm = embed \"{name}\")"),
            None => format!("(name = \"{name}\", esModule = embed \"{name}\")"),
        })
        .collect();
    Ok(include_str!("workerd.capnp")
        .replace("@PORT@", &port.to_string())
        .replace("@SINK_PORT@", &sink.to_string())
        .replace("@SECRETS@", link::SECRETS)
        .replace("@DATE@", &compatibility_date(context)?)
        .replace("@MODULES@", &modules.join(", ")))
}
/// The one of the deployment.
fn compatibility_date(context: &Context) -> anyhow::Result<String> {
    let wrangler = fs::read_to_string(context.path("wrangler.toml"))?;
    let line = wrangler.lines().find(|line| line.starts_with("compatibility_date"));
    let date = line.and_then(|line| line.split('"').nth(1)).context("wrangler.toml states no compatibility_date")?;
    Ok(date.to_owned())
}

fn process_of(config: &Path) -> Option<u32> {
    let config = config.to_str()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        command.split(|byte| *byte == 0).any(|word| word == config.as_bytes()).then_some(id)
    })
}
