//! The report and the export that the demo's traffic must show up in, and the page that a start ends with.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    context::Context,
    demo::{
        Doors, Workspace,
        api::{Api, text},
        drive::Sent,
        seed::{LINKS, label},
    },
};

/// What the reports count for the demo's month.
pub(crate) struct Counts {
    clicks: u64,
    conversions: u64,
    pending: u64,
}

impl Counts {
    pub(crate) async fn read(api: &Api) -> anyhow::Result<Self> {
        let clicks = traffic(api)
            .await?
            .pointer("/totals/total")
            .and_then(Value::as_u64)
            .context("the traffic report has no total")?;
        let conversions = conversions(api).await?;
        let total =
            |kind: &str| conversions.pointer(&format!("/totals/{kind}")).and_then(Value::as_u64).unwrap_or_default();
        let pending = conversions["pending"].as_u64().unwrap_or_default();
        Ok(Self { clicks, conversions: total("leads") + total("sales") + total("refunds"), pending })
    }
}

/// Waits until everything that was sent is counted.
pub(crate) async fn wait_for(api: &Api, before: &Counts, sent: &Sent) -> anyhow::Result<()> {
    let limit = Duration::from_secs(60);
    let deadline = Instant::now() + limit;
    loop {
        let now = Counts::read(api).await?;
        let (clicks, conversions) =
            (now.clicks - before.clicks.min(now.clicks), now.conversions - before.conversions.min(now.conversions));
        if clicks >= sent.clicks && conversions >= sent.attributed {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "after {} s the report shows {clicks} of {} clicks and {conversions} of {} attributed events ({} pending)",
                limit.as_secs(),
                sent.clicks,
                sent.attributed,
                now.pending
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The demo's range: a month back, to the end of tomorrow.
fn range() -> (String, String) {
    let day = |offset| (Utc::now() + TimeDelta::days(offset)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    (day(-30).to_rfc3339_opts(SecondsFormat::Millis, true), day(2).to_rfc3339_opts(SecondsFormat::Millis, true))
}

async fn traffic(api: &Api) -> anyhow::Result<Value> {
    let (from, to) = range();
    api.get(&format!("/v1/reports/traffic?from={from}&to={to}&group_by=partner")).await
}

async fn conversions(api: &Api) -> anyhow::Result<Value> {
    let (from, to) = range();
    api.get(&format!("/v1/reports/conversions?from={from}&to={to}&group_by=partner")).await
}

/// Exports the conversions and saves the file.
pub(crate) async fn export(context: &Context, api: &Api) -> anyhow::Result<PathBuf> {
    let (from, to) = range();
    let body = json!({"kind": "conversions", "from": from, "to": to});
    let export = api.create("/v1/exports", &body).await?.context("the export conflicts with another")?;
    let path = format!("/v1/exports/{}", text(&export, "/id")?);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let export = api.get(&path).await?;
        match export["status"].as_str() {
            Some("completed") => break,
            Some("queued" | "running") if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            _ => bail!("the export did not complete: {export}"),
        }
    }
    let csv = context.state("demo-conversions.csv")?;
    fs::write(&csv, api.download(&format!("{path}/file")).await?)
        .with_context(|| format!("cannot write {}", csv.display()))?;
    Ok(csv)
}

/// Prints the report, the links to try and where things are.
pub(crate) async fn print(api: &Api, doors: &Doors, workspace: &Workspace, csv: &Path) -> anyhow::Result<()> {
    let (traffic, conversions) = (traffic(api).await?, conversions(api).await?);
    println!("\nThe last 30 days of the demo workspace\n");
    println!(
        "{:<18}{:>8}{:>7}{:>6}{:>7}{:>7}{:>9}  {:>12}",
        "partner", "clicks", "human", "bot", "leads", "sales", "refunds", "net revenue"
    );
    let groups = |report: &'_ Value| report["groups"].as_array().cloned().unwrap_or_default();
    let by_partner = groups(&conversions);
    for clicks in &groups(&traffic) {
        let outcome = by_partner.iter().find(|group| group["key"] == clicks["key"]).unwrap_or(&Value::Null);
        row(label(clicks), clicks, outcome);
    }
    row("total", &traffic["totals"], &conversions["totals"]);
    let unattributed = conversions["unattributed"].as_u64().unwrap_or_default();
    println!("\nEvents without a partner: {unattributed}, still waiting for their click: {}.", conversions["pending"]);

    let port = doors.edge.rsplit(':').next().unwrap_or_default();
    println!("\nShort links to try, in a browser or with curl:\n");
    for link in &LINKS {
        println!("  http://{}:{port}/{}", workspace.domain, link.slug);
    }
    println!("\n  curl -i -H 'Host: {}' {}/{}", workspace.domain, doors.edge, LINKS[0].slug);
    println!("\nConversions as CSV:  {}", csv.display());
    println!("API and its docs:    {}/docs", doors.api);
    Ok(())
}

fn row(name: &str, clicks: &Value, outcome: &Value) {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    // Totals count by `total`, groups by `selected`; without a filter they mean the same.
    let all = clicks.get("total").unwrap_or(&clicks["selected"]);
    println!(
        "{name:<18}{:>8}{:>7}{:>6}{:>7}{:>7}{:>9}  {:>12}",
        count(all),
        count(&clicks["human"]),
        count(&clicks["bot"]),
        count(&outcome["leads"]),
        count(&outcome["sales"]),
        count(&outcome["refunds"]),
        net_revenue(outcome)
    );
}

/// Net amounts by currency. The demo trades in euros alone; two decimals are right for it.
fn net_revenue(outcome: &Value) -> String {
    let amounts = outcome["revenue"].as_array().into_iter().flatten().filter_map(|revenue| {
        let net = revenue["net_minor"].as_i64()?;
        let sign = if net < 0 { "-" } else { "" };
        Some(format!(
            "{sign}{}.{:02} {}",
            net.unsigned_abs() / 100,
            net.unsigned_abs() % 100,
            revenue["currency"].as_str()?
        ))
    });
    let text = amounts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".to_owned() } else { text }
}
