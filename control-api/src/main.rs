//! The command line of the control plane.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use control_api::{config::Config, serve, telemetry};

#[derive(Parser)]
#[command(name = "control-api", about = "The central service of Nimriz Partners", version)]
struct Cli {
    /// Log lines as `text` or `json`
    #[arg(long, env = "NIM_LOG_FORMAT", default_value = "json", global = true)]
    log_format: telemetry::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // Made once per process.
enum Command {
    /// Migrates the database, then answers requests until it is told to stop
    Serve(Config),
    /// Applies the migrations and exits
    Migrate {
        /// Postgres, for example `postgres://user:password@host/database`
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
    /// Queues every edge record for publication again, to rebuild the edge's store from scratch
    Republish {
        /// Postgres, for example `postgres://user:password@host/database`
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
    /// Proves the rollups against the clicks, or repairs them, while the service runs
    Rollups {
        /// What to do
        action: control_api::work::rollups::Check,
        /// Only this workspace (`ws_…`)
        #[arg(long)]
        workspace: Option<shared::id::WorkspaceId>,
        /// Postgres, for example `postgres://user:password@host/database`
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
    /// Prints the OpenAPI document
    Openapi,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Serve(config) => {
            telemetry::start(cli.log_format);
            serve::run(config).await
        }
        Command::Migrate { database_url } => {
            telemetry::start(cli.log_format);
            let pool = sqlx::PgPool::connect(&database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
            serve::migrate(&pool).await
        }
        Command::Republish { database_url } => {
            telemetry::start(cli.log_format);
            let pool = sqlx::PgPool::connect(&database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
            let keys = control_api::db::outbox::enqueue_all(&pool).await?;
            tracing::info!(keys, "queued for publication; any running control-api publishes them");
            Ok(())
        }
        Command::Rollups { action, workspace, database_url } => {
            telemetry::start(cli.log_format);
            let pool = sqlx::PgPool::connect(&database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
            control_api::work::rollups::check(&pool, action, workspace).await
        }
        #[allow(clippy::print_stdout)] // This command's whole purpose.
        Command::Openapi => {
            println!("{}", control_api::openapi::document().to_pretty_json()?);
            Ok(())
        }
    }
}
