//! `cargo xtask test`: every check and every test, each named with its time, and one count at the end.

use std::{io::Write as _, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::{
    cargo,
    context::Context,
    deny, fuzz,
    node::{self, Tools},
    ports,
    postgres::{Postgres, Purpose},
    process::{self, Process},
    secrets::Secrets,
    ui::Step,
    worker,
};

/// Results so far. A check counts as one test.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// What this machine can't run. Not passed.
    skipped: u64,
    /// The failed steps, each by its command.
    failures: Vec<String>,
}

/// Runs everything, or with a `filter` only the tests whose name contains it.
pub(crate) async fn run(context: &Context, filter: Option<&str>) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    // An obstacle (no Node, a build that fails) ends the run, but not without its count.
    if let Err(obstacle) = steps(context, filter, &mut tally).await {
        tally.failed += 1;
        tally.failures.push(format!("{obstacle:#}"));
    }
    for failure in &tally.failures {
        eprintln!("\nfailed: {failure}");
    }
    let skipped = if tally.skipped > 0 { format!(", {} skipped", tally.skipped) } else { String::new() };
    println!("\n{} passed, {} failed{skipped}", tally.passed, tally.failed);
    if tally.failed > 0 {
        // The count is the last word; `main` would add another. Every child has ended with its step.
        std::process::exit(1);
    }
    Ok(())
}

async fn steps(context: &Context, filter: Option<&str>, tally: &mut Tally) -> anyhow::Result<()> {
    let tools = Tools::ensure(context).await?;
    cargo::ensure_wasm_target(context).await?;
    if filter.is_none() {
        for (title, arguments) in CHECKS {
            let mut command = cargo::cargo(context);
            command.args(arguments.iter());
            check(tally, title, command).await;
        }
        deny(context, tally).await;
    }
    let binary = cargo::build_control_api(context).await?;
    worker::build(context, &tools).await?;
    if filter.is_none() {
        for environment in ["", "staging", "production"] {
            deploy_dry_run(context, &tools, tally, environment).await?;
        }
        fuzz(context, tally, &binary).await;
    }
    tests(context, &tools, tally, &binary, filter).await
}

/// Checks by cargo alone, each counted as one. The worker is linted for the target it runs on, everything else for this machine.
const CHECKS: [(&str, &[&str]); 5] = [
    ("Formatting", &["fmt", "--all", "--check"]),
    ("Lints", &["clippy", "--workspace", "--exclude", "edge-worker", "--all-targets", "--", "-D", "warnings"]),
    (
        "Lints of the edge worker",
        &["clippy", "--package", "edge-worker", "--target", cargo::WASM_TARGET, "--", "-D", "warnings"],
    ),
    // On their own, so that what they are built with changes nothing in the build of the service.
    ("Unit tests of the edge worker", &["test", "--quiet", "--package", "edge-worker"]),
    ("Unit tests of the developer commands", &["test", "--quiet", "--package", "xtask"]),
];

async fn check(tally: &mut Tally, title: &str, command: Command) {
    let step = Step::announce(title);
    let name = process::describe(&command);
    match process::run(command).await {
        Ok(()) => {
            tally.passed += 1;
            step.done("");
        }
        Err(_) => {
            tally.failed += 1;
            tally.failures.push(name);
            step.failed();
        }
    }
}

/// What Cloudflare would be sent, assembled by wrangler and thrown away.
async fn deploy_dry_run(context: &Context, tools: &Tools, tally: &mut Tally, environment: &str) -> anyhow::Result<()> {
    let mut command = tools.command(context, context.npm_command("wrangler"));
    command.args(["deploy", "--dry-run", "--env", environment]);
    command.env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_LOG_PATH", context.state("logs/wrangler")?);
    let name = if environment.is_empty() { "the top level" } else { environment };
    let step = Step::start(format!("Deployment of {name}, dry run"));
    match process::output(command).await {
        Ok(_) => {
            tally.passed += 1;
            step.done("");
        }
        Err(error) => {
            tally.failed += 1;
            step.failed();
            tally.failures.push(format!("{error:#}"));
        }
    }
    Ok(())
}

/// The short form of `cargo xtask deny`, counted as one.
async fn deny(context: &Context, tally: &mut Tally) {
    let step = Step::announce("Licences, sources and bans of the crates we depend on");
    match deny::short(context).await {
        Ok(deny::Outcome::Passed) => {
            tally.passed += 1;
            step.done("");
        }
        Ok(deny::Outcome::Skipped(reason)) => {
            tally.skipped += 1;
            step.skipped(&reason);
        }
        Err(error) => {
            tally.failed += 1;
            step.failed();
            tally.failures.push(format!("{error:#}"));
        }
    }
}

/// The short form of `cargo xtask fuzz`, counted as one.
async fn fuzz(context: &Context, tally: &mut Tally, binary: &Path) {
    let step = Step::announce("Fuzz of the service from its own document, short form");
    match fuzz::short(context, binary).await {
        Ok(fuzz::Outcome::Passed(figures)) => {
            tally.passed += 1;
            step.done(&figures.to_string());
        }
        Ok(fuzz::Outcome::Skipped(reason)) => {
            tally.skipped += 1;
            step.skipped(&reason);
        }
        Err(error) => {
            tally.failed += 1;
            step.failed();
            tally.failures.push(format!("{error:#}"));
        }
    }
}

/// Unit, integration and end-to-end tests in one run of cargo, on a Postgres of their own.
async fn tests(
    context: &Context,
    tools: &Tools,
    tally: &mut Tally,
    binary: &Path,
    filter: Option<&str>,
) -> anyhow::Result<()> {
    let step = Step::start("Starting a Postgres for the tests");
    let password = Secrets::generate()?.database_password;
    let postgres = Postgres::start(context, Purpose::Scratch, ports::any_free()?, &password).await?;
    step.done("");

    let mut command = cargo::cargo(context);
    command.arg("test").args(cargo::NATIVE).arg("--no-fail-fast").args(filter);
    command.env("DATABASE_URL", postgres.url("postgres"));
    command.env("NIM_NODE", tools.node()).env("NIM_CONTROL_API", binary);
    command.env("NIM_WORKERD", node::workerd(context));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let name = process::describe(&command);

    let step = Step::announce("Tests");
    let failed_before = tally.failed;
    let mut process = Process::spawn(command, Signal::SIGTERM, Duration::from_secs(10))?;
    let (_, stdout, _) = process.pipes();
    let mut lines = BufReader::new(stdout.context("cargo without stdout")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((passed, failed)) = counts(&line) {
            tally.passed += passed;
            tally.failed += failed;
        }
        // Flushed line by line: a hanging test shows itself by the one before it.
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush())?;
    }
    let status = process.wait().await?;
    if status.success() {
        step.done("");
        return Ok(());
    }
    step.failed();
    if tally.failed == failed_before {
        // Nothing was counted as failed, so it did not get as far as that.
        bail!("`{name}` failed ({status})");
    }
    tally.failures.push(name);
    Ok(())
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod test_counts {
    use super::counts;

    #[test]
    fn reads_result_lines_only() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("test result: pending"), None);
        assert_eq!(counts("running 3 tests"), None);
    }
}
