//! The command line of the control plane.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use control_api::{config::Config, serve, telemetry};
use domain::data_keys::{self, Rotated};
use shared::KeyRing;

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
    /// Raises every edge record above what the edge may hold and queues it for publication, to rebuild the edge's store
    /// from scratch or after the database was restored to an earlier moment
    Republish {
        /// Postgres, for example `postgres://user:password@host/database`
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
    /// Keys that encrypt at rest
    #[command(subcommand)]
    Keys(Keys),
    /// Proves the rollups against the clicks, or repairs them, while the service runs
    Rollups {
        /// What to do
        action: control_api::jobs::rollups::Check,
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

#[derive(Subcommand)]
enum Keys {
    /// Encrypts stored secrets anew under the first key of the ring, beside the running service
    Rotate {
        /// Postgres, for example `postgres://user:password@host/database`
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
        /// Ring `kid:secret,…`, as all instances have it: the new key first, the old ones behind
        #[arg(long, env = "NIM_DATA_KEYS", hide_env_values = true)]
        data_keys: KeyRing,
    },
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
            let pool = store::PgPool::connect(&database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
            store::migrations::migrate(&pool).await
        }
        Command::Republish { database_url } => {
            telemetry::start(cli.log_format);
            let pool = store::PgPool::connect(&database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
            let keys = store::outbox::raise_and_enqueue_all(&pool).await?;
            tracing::info!(keys, "queued for publication; any running control-api publishes them");
            Ok(())
        }
        #[allow(clippy::print_stdout)] // An answer to the one who asked, not a log line.
        Command::Keys(Keys::Rotate { database_url, data_keys }) => {
            telemetry::start(cli.log_format);
            let pool = store::PgPool::connect(&database_url).await.context("connecting to Postgres (DATABASE_URL)")?;
            let Rotated { resealed, unopened, ended } = data_keys::rotate(&pool, &data_keys).await?;
            let kid = data_keys.first().kid;
            println!("encrypted anew under key {kid}: {resealed}; ended and removed: {ended}; not opened: {unopened}");
            anyhow::ensure!(unopened == 0, "{unopened} secrets need a key that the ring lacks; keep every old key");
            Ok(())
        }
        Command::Rollups { action, workspace, database_url } => {
            telemetry::start(cli.log_format);
            let options = store::pool::connect_options(&database_url).context("DATABASE_URL")?;
            let pool = store::pool::pool(None).connect_with(options).await;
            let pool = pool.context("connecting to Postgres (DATABASE_URL)")?;
            let now = model::time::Clock::system().now();
            control_api::jobs::rollups::check(&pool, action, workspace, now).await
        }
        #[allow(clippy::print_stdout)] // This command's whole purpose.
        Command::Openapi => {
            println!("{}", serde_json::to_string_pretty(&control_api::router::document())?);
            Ok(())
        }
    }
}
