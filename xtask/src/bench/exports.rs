//! `cargo xtask bench exports`: a large export of conversions by the real job into a local folder, beside a `COPY` of the
//! same query in the same run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use chrono::NaiveDate;
use futures_util::TryStreamExt as _;
use reqwest::Client;
use serde_json::{Value, json};

use super::{
    centre::{Centre, Instance, Tenant},
    figures::{median, rate, say, say_ratio},
};
use crate::{context::Context, generate::Size, ui::Step};

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// Rows of the export
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Exports
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// The range of the export: everything.
const RANGE: (&str, &str) = ("2024-01-01", "2030-01-01");

/// Measures and prints.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    let start = NaiveDate::from_ymd_opt(2025, 1, 1).context("a date")?;
    // A seed of its own: this history gets more conversions than its clicks have.
    let size = Size { clicks: 100_000, partners: 200, links: 2_000, days: 90, start, seed: 2, database_url: None };
    let (centre, tenant) = Centre::generated(context, &size).await?;
    multiply(&centre, extent.rows).await?;
    let instance = centre.instance("exports", &[]).await?;
    let http = Client::builder().no_proxy().build()?;

    let (mut ceilings, mut rates, mut ratios, mut grown) = (vec![], vec![], vec![], 0.0_f64);
    for _ in 0..extent.rounds {
        let ceiling = rate(extent.rows.into(), copy(&centre, &tenant, extent.rows).await?);
        let export = export(&http, &instance, &tenant).await?;
        ensure!(export.rows == u64::from(extent.rows), "{} rows instead of {}", export.rows, extent.rows);
        let reached = rate(export.rows, export.took);
        ratios.push(reached / ceiling);
        ceilings.push(ceiling);
        rates.push(reached);
        grown = grown.max(export.grown);
    }
    say("COPY of the same query, rows/s", format_args!("{:.0}", median(ceilings)), "the ceiling");
    say("export, rows/s", format_args!("{:.0}", median(rates)), "");
    say_ratio("export / ceiling", median(ratios), "(at least 0.60)");
    say("memory grew by, MB", format_args!("{grown:.1}"), "(at most 32)");
    Ok(())
}

/// Fills up to so many conversions with copies of those that are there, each an event of its own.
async fn multiply(centre: &Centre<'_>, rows: u32) -> anyhow::Result<()> {
    let step = Step::start(format!("Filling up to {rows} conversions"));
    let sql = centre.sql().await?;
    sql.batch_execute(&include_str!("exports/multiply.sql").replace("${rows}", &rows.to_string())).await?;
    sql.batch_execute("vacuum (analyze) conversions").await?;
    step.done("");
    Ok(())
}

/// The time of the ceiling.
async fn copy(centre: &Centre<'_>, tenant: &Tenant, rows: u32) -> anyhow::Result<Duration> {
    let sql = centre.sql().await?;
    let query = include_str!("exports/same.sql").replace("${workspace}", &tenant.workspace.uuid().to_string());
    let started = Instant::now();
    let stream = sql.copy_out(&format!("copy ({query}) to stdout")).await?;
    let lines = stream
        .try_fold(
            0_usize,
            |lines, chunk| async move { Ok(lines + chunk.iter().filter(|&&byte| byte == b'\n').count()) },
        )
        .await?;
    ensure!(lines == usize::try_from(rows)?, "COPY gave {lines} rows instead of {rows}");
    Ok(started.elapsed())
}

/// What an export was seen to do.
struct Seen {
    rows: u64,
    took: Duration,
    /// Megabytes of the service at most, above those before.
    grown: f64,
}

/// Asks for an export and watches it. Its time is that of the job itself: before, it waits until its moment is settled.
async fn export(http: &Client, instance: &Instance, tenant: &Tenant) -> anyhow::Result<Seen> {
    let before = instance.resident_megabytes()?;
    let url = format!("{}/v1/exports", instance.url);
    let body = json!({"kind": "conversions", "from": RANGE.0, "to": RANGE.1});
    let asked: Value = http.post(&url).bearer_auth(&tenant.api_key).json(&body).send().await?.json().await?;
    let id = asked["id"].as_str().with_context(|| format!("no export: {asked}"))?;
    let (mut running, mut most) = (None, before);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        most = most.max(instance.resident_megabytes()?);
        let now: Value = http.get(format!("{url}/{id}")).bearer_auth(&tenant.api_key).send().await?.json().await?;
        match now["status"].as_str() {
            Some("queued") => {}
            Some("running") => _ = running.get_or_insert_with(Instant::now),
            Some("completed") => {
                let took = running.context("the export was over before it was seen to run")?.elapsed();
                let rows = now["rows"].as_u64().unwrap_or_default();
                return Ok(Seen { rows, took, grown: most - before });
            }
            _ => bail!("the export ended otherwise: {now}"),
        }
    }
}
