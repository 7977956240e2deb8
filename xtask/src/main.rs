//! Developer commands of the workspace: everything between a fresh clone and a running, tested system.
//!
//! Here live the installation of tools, the builds that cargo alone cannot do, the local stack and its
//! demonstration. Product code never does: what `up` shows, it shows through the same doors a customer has.
//!
//! One thread runs everything. That is not thrift: on Linux a child can be told to end with the *thread*
//! that started it (see [`process`]), and the main thread is the one that lives as long as we do.
#![allow(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

mod bench;
mod cargo;
mod context;
mod control;
mod demo;
mod deny;
mod edge;
mod fuzz;
mod generate;
mod lock;
mod node;
mod ports;
mod postgres;
mod prepare;
mod process;
mod python;
mod reset;
mod secrets;
mod service;
mod test;
mod ui;
mod up;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Nimriz Partners", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything, seed a demo, drive real clicks and events through it, and stay up until Ctrl-C
    Up,
    /// Run every check and every test
    Test {
        /// Only tests whose name contains this; skips the checks
        filter: Option<String>,
    },
    /// Fuzz the service from its own OpenAPI document; needs Python 3
    Fuzz(fuzz::Extent),
    /// Check licences, sources and bans of the crates we depend on; needs Python 3
    Deny(deny::Extent),
    /// Drop the local data (not the installed tools)
    Reset,
    /// Build the edge worker into edge-worker/build
    BuildWorker,
    /// Run the edge worker alone, for a control API that runs elsewhere, until Ctrl-C
    Edge {
        /// In plain workerd with its storage on disk, as without Cloudflare
        #[arg(long)]
        self_hosted: bool,
    },
    /// Regenerate .sqlx from the migrations and the queries
    Prepare,
    /// Write openapi.json from the control API
    Openapi,
    /// Write a workspace with a long history into Postgres
    Gen(generate::Size),
    /// Measure something
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let interrupted = match process::Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => return fail(&error),
    };
    tokio::select! {
        // The command first: `up` takes an interrupt as its regular end.
        biased;
        result = run(cli.command) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        // Leaving drops the command, and with it every child it had started.
        signal = interrupted.wait() => {
            eprintln!("\nended by {signal}");
            // As shells report it.
            ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or_default())
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let context = Context::discover()?;
    match command {
        Command::Up => up::run(&context).await,
        Command::Test { filter } => test::run(&context, filter.as_deref()).await,
        Command::Fuzz(extent) => fuzz::run(&context, &extent).await,
        Command::Deny(extent) => deny::run(&context, &extent).await,
        Command::Reset => reset::run(&context),
        Command::BuildWorker => {
            let tools = node::Tools::ensure(&context).await?;
            worker::build(&context, &tools).await
        }
        Command::Edge { self_hosted } => edge::run(&context, self_hosted).await,
        Command::Gen(size) => generate::run(&context, &size).await,
        Command::Prepare => prepare::queries(&context).await,
        Command::Openapi => prepare::openapi(&context).await,
        Command::Bench { what } => bench::run(&context, what).await,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("\nerror: {error:#}");
    ExitCode::FAILURE
}
