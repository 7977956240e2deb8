//! Builds by cargo, with its own progress on the terminal and its account of what came out.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{context::Context, process, process::Process, ui::Step};

/// The target the edge worker is compiled for.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The native product. Always selected as a whole, by `up` and by `test`: cargo unites the features of what
/// it builds together, so a smaller selection would compile the same dependencies a second time.
pub(crate) const NATIVE: [&str; 5] = ["--workspace", "--exclude", "edge-worker", "--exclude", "xtask"];

/// A cargo command in the root, reading queries from `.sqlx` instead of a database.
pub(crate) fn cargo(context: &Context) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&context.root).env("SQLX_OFFLINE", "true");
    command
}

/// One file that a build produced.
pub(crate) struct Artifact {
    target: String,
    executable: Option<PathBuf>,
    files: Vec<PathBuf>,
}

/// Runs `cargo build` and reports its artifacts, also those that were fresh.
pub(crate) async fn build(context: &Context, arguments: &[&str]) -> anyhow::Result<Vec<Artifact>> {
    let mut command = cargo(context);
    command.arg("build").args(arguments).arg("--message-format=json-render-diagnostics");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let name = process::describe(&command);

    let mut process = Process::spawn(command, Signal::SIGTERM, Duration::from_secs(5))?;
    let (_, stdout, _) = process.pipes();
    let mut lines = BufReader::new(stdout.context("cargo without stdout")?).lines();
    let mut artifacts = Vec::new();
    while let Some(line) = lines.next_line().await? {
        artifacts.extend(artifact(&line));
    }
    let status = process.wait().await?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(artifacts)
}

fn artifact(line: &str) -> Option<Artifact> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str().map(PathBuf::from));
    Some(Artifact {
        target: message["target"]["name"].as_str()?.to_owned(),
        executable: message["executable"].as_str().map(PathBuf::from),
        files: files.collect(),
    })
}

/// Builds the native product and returns the path of the `control-api` binary.
pub(crate) async fn build_control_api(context: &Context) -> anyhow::Result<PathBuf> {
    let step = Step::announce("Building the control API");
    let artifacts = build(context, &NATIVE).await?;
    let binary =
        artifacts.into_iter().find_map(|artifact| artifact.executable.filter(|_| artifact.target == "control-api"));
    step.done("");
    binary.context("the build of control-api produced no binary")
}

/// Builds `control-api` as it is deployed, to be measured, and returns the path of the binary.
pub(crate) async fn build_released_control_api(context: &Context) -> anyhow::Result<PathBuf> {
    let step = Step::announce("Building the control API with optimisations");
    let artifacts = build(context, &["--release", "--package", "control-api", "--bin", "control-api"]).await?;
    let binary = artifacts.into_iter().find_map(|artifact| artifact.executable);
    step.done("");
    binary.context("the build of control-api produced no binary")
}

/// Compiles the edge worker and returns the path of its raw wasm module.
pub(crate) async fn build_wasm(context: &Context) -> anyhow::Result<PathBuf> {
    wasm(context, &["--lib"], "edge_worker.wasm").await
}

/// Compiles one of the edge worker's examples in the same way.
pub(crate) async fn build_wasm_example(context: &Context, name: &str) -> anyhow::Result<PathBuf> {
    wasm(context, &["--example", name], &format!("{name}.wasm")).await
}

async fn wasm(context: &Context, what: &[&str], module: &str) -> anyhow::Result<PathBuf> {
    let common = ["--package", "edge-worker", "--target", WASM_TARGET, "--profile", "wasm"];
    let artifacts = build(context, &[&common, what].concat()).await?;
    let mut files = artifacts.into_iter().flat_map(|artifact| artifact.files);
    files
        .find(|file| file.file_name().is_some_and(|name| name == module))
        .with_context(|| format!("the build of edge-worker produced no {module}"))
}

/// Makes sure that the wasm target is installed. rustup reads it from `rust-toolchain.toml` by itself; a
/// toolchain from elsewhere must bring it.
pub(crate) async fn ensure_wasm_target(context: &Context) -> anyhow::Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&context.root).args(["--print", "target-libdir", "--target", WASM_TARGET]);
    let installed = process::output(rustc).await.is_ok_and(|folder| PathBuf::from(folder.trim()).is_dir());
    if installed {
        return Ok(());
    }
    let step = Step::start(format!("Installing the Rust target {WASM_TARGET}"));
    let mut rustup = Command::new("rustup");
    rustup.current_dir(&context.root).args(["target", "add", WASM_TARGET]);
    process::output(rustup).await.with_context(|| {
        format!("the Rust target {WASM_TARGET} is missing; install Rust from https://rustup.rs and run `rustup target add {WASM_TARGET}`")
    })?;
    step.done("");
    Ok(())
}
