//! `workerd serve` with one of the workers that are compared, its queue and its store.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::Signal,
    unistd::{SysconfVar, sysconf},
};
use tokio::{net::TcpStream, process::Command};

use crate::{context::Context, node, ports, service::Service};

/// Both rings of secrets of the worker.
pub(super) const SECRETS: &str = "1:a-secret-for-measurements-and-nothing-else";

/// Which worker.
#[derive(Clone, Copy)]
pub(super) enum Subject {
    /// A constant redirect.
    Constant,
    /// A constant redirect and a constant message.
    Queue,
    /// The product.
    Ours,
}

impl Subject {
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Constant => &["constant.mjs"],
            Self::Queue => &["queue.mjs"],
            Self::Ours => &["worker.mjs", "worker.wasm"],
        }
    }
}

/// A running workerd.
pub(super) struct Runtime {
    _service: Service,
    port: u16,
    process: u32,
}

impl Runtime {
    /// Starts workerd and waits until it answers.
    pub(super) async fn start(context: &Context, subject: Subject, record: &str, click: &str) -> anyhow::Result<Self> {
        let port = ports::any_free()?;
        let modules = subject.modules();
        // A folder of its own, so that its path names the process.
        let config = context.state(&format!("bench/{}/workerd.capnp", modules[0]))?;
        let folder = config.parent().context("a file without a folder")?;
        write(context, folder, modules, record, click)?;
        fs::write(&config, describe(context, modules, port)?)?;

        let mut command = Command::new(workerd(context));
        command.arg("serve").arg(&config);
        let log = context.state(&format!("logs/bench-{}.log", modules[0]))?;
        let mut service = Service::start("workerd", command, log, Signal::SIGTERM)?;
        let listens = || async { TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
        service.until(Duration::from_secs(20), listens).await?;
        let process = process_of(&config).context("workerd listens but its process is not to be found")?;
        Ok(Self { _service: service, port, process })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The processor time it has used so far, in user and kernel mode.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).context("workerd is gone")?;
        // The second field is the program's name in parentheses; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').context("an unknown format of /proc")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")?;
        Ok(Duration::from_millis(ticks * 1_000 / u64::try_from(per_second)?))
    }
}

fn write(context: &Context, folder: &Path, modules: &[&str], record: &str, click: &str) -> anyhow::Result<()> {
    for (name, content) in [
        ("constant.mjs", include_str!("constant.mjs")),
        ("queue.mjs", include_str!("queue.mjs")),
        ("sink.mjs", include_str!("sink.mjs")),
        ("store.mjs", include_str!("store.mjs")),
        ("record.json", record),
        ("click.json", click),
    ] {
        fs::write(folder.join(name), content)?;
    }
    for module in modules.iter().filter(|module| module.starts_with("worker.")) {
        fs::copy(context.path("edge-worker/build").join(module), folder.join(module))?;
    }
    Ok(())
}

fn describe(context: &Context, modules: &[&str], port: u16) -> anyhow::Result<String> {
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
        .replace("@SECRETS@", SECRETS)
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

/// The binary itself: npm's command is a script that would start it as a child.
fn workerd(context: &Context) -> PathBuf {
    let architecture = if node::npm_architecture() == "x64" { "64" } else { node::npm_architecture() };
    context.path(&format!("node_modules/@cloudflare/workerd-{}-{architecture}/bin/workerd", node::npm_platform()))
}

fn process_of(config: &Path) -> Option<u32> {
    let config = config.to_str()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        command.split(|byte| *byte == 0).any(|word| word == config.as_bytes()).then_some(id)
    })
}
