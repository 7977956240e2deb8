//! `cargo xtask fuzz`: the running service against its own OpenAPI document, by schemathesis.
//!
//! Requests are made of the document: valid ones, and ones that violate it in every way that it rules out. The
//! service must never fail, never answer what the document doesn't say, never take what it forbids. A workspace with
//! one of everything is set up first, and hooks sign events, so that most requests get past the doors.
//!
//! `xtask/fuzz` holds the settings, the hooks and the pinned packages; each says why where it allows something.

mod stage;

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::process::Command;

use crate::{cargo, context::Context, node::Tools, process, process::Process, python, ui::Step};

use stage::Stage;

const SCHEMATHESIS: python::Tool =
    python::Tool { program: "schemathesis", requirements: "xtask/fuzz/requirements.txt" };

/// How much is tried, and in which order.
#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Requests at least
    #[arg(long, default_value_t = 2_000)]
    cases: u64,
    /// The same seed makes the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What a run came to.
pub(crate) enum Outcome {
    /// So many requests, all answered as the document says.
    Passed(Figures),
    /// Nothing ran, and why.
    Skipped(String),
}

/// Counted at the end of a run.
pub(crate) struct Figures {
    cases: u64,
    /// In hundredths.
    accepted: u64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cases, {} % answered 2xx", self.cases, self.accepted)
    }
}

/// The long form: every check in every phase.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    let interpreter = python::find().await.map_err(|reason| anyhow::anyhow!("{reason}. {}", python::REMEDY))?;
    let _tools = Tools::ensure(context).await?;
    let schemathesis = python::ensure(context, &interpreter, &SCHEMATHESIS).await?;
    let binary = cargo::build_control_api(context).await?;
    let stage = Stage::start(context, &binary).await?;
    let step = Step::announce("Fuzzing the service by its own document");
    let per_operation = extent.cases.div_ceil(stage.operations().await?).max(1);
    let mut command = stage.command(&schemathesis, &context.path("xtask/fuzz/hooks.py"))?;
    command.args(["--phases", "examples,coverage,fuzzing,stateful"]);
    command.arg("-n").arg(per_operation.to_string()).arg("--seed").arg(extent.seed.to_string());
    let ended = process::run(command).await;
    let report = stage.report();
    ended.context("the service and its document disagree, see above")?;
    let (figures, unreached) = report?;
    ensure!(figures.cases >= extent.cases, "only {figures}, of {} asked for", extent.cases);
    step.done(&figures.to_string());
    // A hint, not a fault: whether an export can still be cancelled, for one, is a matter of luck.
    if !unreached.is_empty() {
        eprintln!("never answered 2xx: {}", unreached.join(", "));
    }
    println!("{figures}, none failed (seed {})", extent.seed);
    Ok(())
}

/// The short form of `cargo xtask test`: about a minute, always the same requests. Its words go to a log unless it
/// fails.
pub(crate) async fn short(context: &Context, binary: &Path) -> anyhow::Result<Outcome> {
    let interpreter = match python::find().await {
        Ok(interpreter) => interpreter,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let schemathesis = python::ensure(context, &interpreter, &SCHEMATHESIS).await?;
    let stage = Stage::start(context, binary).await?;
    let log = context.state("logs/fuzz.log")?;
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = stage.command(&schemathesis, &context.path("xtask/fuzz/hooks.py"))?;
    // Without the phase that walks every bound of every field, which alone takes minutes.
    command.args(["--phases", "examples,fuzzing,stateful", "-n", "12", "--seed", "1", "--no-color"]);
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = Process::spawn(command, Signal::SIGTERM, python::GRACE)?.wait().await?;
    if !status.success() {
        let words = fs::read_to_string(&log).unwrap_or_default();
        bail!("the service and its document disagree:\n{words}\n(log: {})", log.display());
    }
    Ok(Outcome::Passed(stage.report()?.0))
}

/// The part of schemathesis' report that we read.
#[derive(Deserialize)]
struct Report {
    test_cases: Cases,
}

#[derive(Deserialize)]
struct Cases {
    generated: u64,
}

/// Answers by operation and status, as the hooks counted them.
type Answers = BTreeMap<String, BTreeMap<String, u64>>;

/// The figures, and the operations that never answered 2xx.
fn figures(report: &Path, answers: &Path) -> anyhow::Result<(Figures, Vec<String>)> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("schemathesis left no {}", path.display()));
    let report: Report = serde_json::from_slice(&read(report)?)?;
    let answers: Answers = serde_json::from_slice(&read(answers)?)?;
    let accepted = |statuses: &BTreeMap<String, u64>| -> u64 {
        statuses.iter().filter(|(status, _)| status.starts_with('2')).map(|(_, count)| count).sum()
    };
    let unreached =
        answers.iter().filter(|(_, statuses)| accepted(statuses) == 0).map(|(operation, _)| operation.clone());
    let all: u64 = answers.values().flat_map(BTreeMap::values).sum();
    let good: u64 = answers.values().map(accepted).sum();
    let figures = Figures { cases: report.test_cases.generated, accepted: good * 100 / all.max(1) };
    Ok((figures, unreached.collect()))
}

/// Fills in the words in angle brackets of a template.
fn fill(template: &str, words: &BTreeMap<&str, String>) -> anyhow::Result<String> {
    let filled =
        words.iter().fold(template.to_owned(), |text, (word, value)| text.replace(&format!("<{word}>"), value));
    match filled.lines().find(|line| !line.starts_with('#') && line.contains("\"<")) {
        Some(line) => bail!("nothing to fill in for `{line}`"),
        None => Ok(filled),
    }
}

/// A schemathesis command without its options.
fn bare(schemathesis: &Path, config: &Path, document: &str) -> Command {
    let mut command = Command::new(schemathesis);
    command.arg("--config-file").arg(config).arg("run").arg(document);
    command
}
