//! `cargo xtask gen`: a workspace with a history, written straight into Postgres, for measurements and for trying how
//! reports feel when there is much to report.
//!
//! The rows are made by SQL inside the database, day by day in the order of their keys, which is the fastest way in: no
//! row crosses a connection. The rollups are then counted by the service's own `rollups rebuild`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio_postgres::SimpleQueryMessage;

use crate::{cargo, context::Context, postgres, process, ui::Step};

/// How much of everything. The same numbers make the same rows.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Size {
    /// Clicks over the whole time
    #[arg(long, default_value_t = 200_000)]
    pub(crate) clicks: u64,
    /// Partners; the first ones have the most traffic (Zipf)
    #[arg(long, default_value_t = 200)]
    pub(crate) partners: u32,
    /// Links; likewise
    #[arg(long, default_value_t = 2_000)]
    pub(crate) links: u32,
    /// Days of history
    #[arg(long, default_value_t = 90)]
    pub(crate) days: u32,
    /// The first day, `YYYY-MM-DD`
    #[arg(long, default_value = "2025-01-01")]
    pub(crate) start: chrono::NaiveDate,
    /// What the randomness begins with; names the workspace
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u16,
    /// Postgres; otherwise that of a running `cargo xtask up`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
}

impl Size {
    /// The admin key of the generated workspace.
    pub(crate) fn api_key(&self) -> String {
        format!("nim_generated_{}", self.seed)
    }
}

/// Generates, and says how to look at it.
pub(crate) async fn run(context: &Context, size: &Size) -> anyhow::Result<()> {
    let url = match &size.database_url {
        Some(url) => url.clone(),
        None => running(context)?,
    };
    let binary = cargo::build_control_api(context).await?;
    let workspace = make(&binary, &url, size).await?;
    println!("workspace {workspace}\nAPI key   {}", size.api_key());
    Ok(())
}

/// Migrates the database, writes the rows and counts the rollups. Answers the workspace's UUID.
pub(crate) async fn make(control_api: &Path, url: &str, size: &Size) -> anyhow::Result<String> {
    let mut migrate = Command::new(control_api);
    migrate.arg("migrate").env("DATABASE_URL", url).env("NIM_LOG", "error");
    process::run(migrate).await?;
    let workspace = fill(url, size).await?;
    let step = Step::announce("Counting the rollups");
    let mut rebuild = Command::new(control_api);
    rebuild.args(["rollups", "rebuild"]).env("DATABASE_URL", url).env("NIM_LOG", "error");
    process::run(rebuild).await?;
    step.done("");
    Ok(workspace)
}

/// Writes the rows and answers the workspace's UUID.
async fn fill(url: &str, size: &Size) -> anyhow::Result<String> {
    ensure!(size.clicks > 0 && size.partners > 0 && size.links > 0 && size.days > 0, "everything must be at least 1");
    let client = postgres::connect(url).await.context("connecting to Postgres")?;
    let sql = |text: &str, day: u32| {
        let values = [
            ("clicks", size.clicks.to_string()),
            ("partners", size.partners.to_string()),
            ("links", size.links.to_string()),
            ("days", size.days.to_string()),
            ("start", size.start.to_string()),
            ("seed", size.seed.to_string()),
            ("key", size.api_key()),
            ("day", day.to_string()),
        ];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    };
    client
        .batch_execute("set timezone = 'UTC'; set jit = off; set work_mem = '128MB'; set synchronous_commit = off")
        .await?;
    client.batch_execute(&sql(include_str!("generate/functions.sql"), 0)).await?;
    let taken = format!("select 1 from workspaces where slug = 'generated-{}'", size.seed);
    ensure!(client.query_opt(&taken, &[]).await?.is_none(), "seed {} is there already; take another", size.seed);
    let step = Step::start("Generating the setup");
    client.batch_execute(&sql(include_str!("generate/setup.sql"), 0)).await?;
    step.done("");
    let step = Step::start(format!("Generating {} clicks of {} days", size.clicks, size.days));
    for day in 0..size.days {
        client.batch_execute(&sql(include_str!("generate/clicks.sql"), day)).await?;
        client.batch_execute(&sql(include_str!("generate/conversions.sql"), day)).await?;
    }
    client.batch_execute("analyze clicks, conversions, links, partners, assignments").await?;
    step.done("");
    let workspace = client.simple_query("select id from w").await?;
    let id = workspace.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(id.context("no workspace was made")?.to_owned())
}

/// The database of the stack that is up.
fn running(context: &Context) -> anyhow::Result<String> {
    let path = context.state("dev.json")?;
    let text = std::fs::read_to_string(&path).context("nothing is up: start `cargo xtask up`, or set DATABASE_URL")?;
    let dev: serde_json::Value = serde_json::from_str(&text)?;
    Ok(dev["database_url"].as_str().context("dev.json names no database")?.to_owned())
}
