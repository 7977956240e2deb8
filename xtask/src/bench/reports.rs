//! `cargo xtask bench reports`: every grouping of both reports over HTTP, beside the same report counted from the facts.
//!
//! The facts are counted by the service as well: asked for an `as_of`, a report reads single clicks. Both must say the
//! same. Conversions are summed from their rows either way; what differs there is the clicks they are measured against.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{Datelike as _, Days, Months};
use reqwest::Client;
use serde_json::Value;

use super::{
    centre::{Centre, Instance, Tenant},
    figures::say,
    ingest::history,
};
use crate::{context::Context, ui::Step};

const TRAFFIC: [&str; 18] = [
    "partner", "program", "link", "country", "region", "source", "referrer", "device", "browser", "os", "trigger",
    "tag", "campaign", "domain", "hour", "day", "week", "month",
];
const CONVERSIONS: [&str; 14] = [
    "partner",
    "program",
    "link",
    "type",
    "event_name",
    "currency",
    "tag",
    "campaign",
    "country",
    "domain",
    "hour",
    "day",
    "week",
    "month",
];

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// Clicks of the history
    #[arg(long, default_value_t = 2_000_000)]
    clicks: u64,
    /// Requests per report and range
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Clicks of another history, asked the same in turns: how much longer the one takes than the other
    #[arg(long)]
    beside: Option<u64>,
    /// Don't count the facts
    #[arg(long)]
    fast: bool,
    /// Read every pack from the database, as an instance does the first time
    #[arg(long)]
    cold: bool,
    /// Only reports whose name holds this, such as `conversions by link`
    #[arg(long, default_value = "")]
    only: String,
}

/// Measures and prints.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    let size = history(extent.clicks);
    let start = size.start;
    let settings: &[_] = if extent.cold { &[("NIM_REPORT_CACHE_MB", "0")] } else { &[] };
    let http = Client::builder().no_proxy().build()?;
    let (mut centre, mut tenant) = Centre::generated(context, &history(extent.beside.unwrap_or(extent.clicks))).await?;
    let mut beside = None;
    if extent.beside.is_some() {
        let instance = centre.instance("reports-beside", settings).await?;
        beside = Some(Asker { http: http.clone(), instance, tenant });
        tenant = centre.turn_to(&size).await?;
    }
    let instance = centre.instance("reports", settings).await?;
    let asker = Asker { http, instance, tenant };

    // A month that is whole, late in the history, where the traffic has grown.
    let month = (start + Months::new(10)).with_day(1).context("a first day")?;
    let across = month - Days::new(15);
    let ranges = [
        ("a month", month, month + Months::new(1), 30.0),
        ("30 days across months", across, across + Days::new(30), 30.0),
        ("12 months", start, start + Months::new(12), 150.0),
    ];
    // Settled long ago, so that no answer waits for it.
    let as_of = (chrono::Utc::now() - chrono::TimeDelta::seconds(10)).format("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    for (name, from, to, target) in ranges {
        println!("\n{name}, {from} to {to}; p95 at most {target} ms");
        println!(
            "{:<28} {:>9} {:>9} {:>11} {:>8} {:>9} {:>7}",
            "", "median ms", "p95 ms", "facts ms", "ratio", "beside ms", "growth"
        );
        let (mut worst, mut least) = ((0.0, String::new()), f64::INFINITY);
        let mut most = (0.0, String::new());
        for (kind, groups) in [("traffic", &TRAFFIC[..]), ("conversions", &CONVERSIONS[..])] {
            for group in groups {
                let name = format!("{kind} by {group}");
                if !name.contains(&extent.only) {
                    continue;
                }
                let path = format!("/v1/reports/{kind}?from={from}&to={to}&tz=UTC&group_by={group}");
                let (mut took, mut took_beside) = (vec![], vec![]);
                let (_, expected) = asker.ask(&path).await?;
                for _ in 0..extent.rounds {
                    took.push(asker.ask(&path).await?.0.as_secs_f64() * 1_000.0);
                    if let Some(beside) = &beside {
                        took_beside.push(beside.ask(&path).await?.0.as_secs_f64() * 1_000.0);
                    }
                }
                let [median, p95] = [50, 95].map(|share| percentile(&mut took, share));
                let mut growth = String::new();
                if beside.is_some() {
                    let before = percentile(&mut took_beside, 50);
                    growth = format!("{before:>9.1} {:>7.2}", median / before);
                    if median / before > most.0 {
                        most = (median / before, name.clone());
                    }
                }
                let mut facts = String::new();
                if !extent.fast {
                    let (raw, counted) = asker.ask(&format!("{path}&as_of={as_of}")).await?;
                    ensure!(counted["totals"] == expected["totals"], "{path}: facts and rollups differ");
                    // Of these, rollups keep the greatest values of each day, facts know all.
                    if !matches!(*group, "source" | "referrer") {
                        ensure!(counted["groups"] == expected["groups"], "{path}: facts and rollups differ by group");
                    }
                    let raw = raw.as_secs_f64() * 1_000.0;
                    facts = format!("{raw:>11.0} {:>8.1}", raw / median);
                    if kind == "traffic" {
                        least = f64::min(least, raw / median);
                    }
                }
                println!("{name:<28} {median:>9.1} {p95:>9.1} {facts:>20} {growth}");
                if p95 > worst.0 {
                    worst = (p95, name);
                }
            }
        }
        say("worst p95, ms", format_args!("{:.1}", worst.0), &format!("{} (at most {target})", worst.1));
        if let Some(clicks) = extent.beside {
            let to = format!("{}, from {clicks} clicks to {} (at most 1.5)", most.1, extent.clicks);
            say("most growth of a median", format_args!("{:.2}", most.0), &to);
        }
        if !extent.fast {
            say("least ratio to the facts, traffic", format_args!("{least:.1}"), "(over 12 months at least 50)");
        }
    }
    println!();
    disk(&centre).await
}

/// The value that so many of a hundred don't exceed.
fn percentile(took: &mut [f64], share: usize) -> f64 {
    took.sort_by(f64::total_cmp);
    took[(took.len() * share / 100).min(took.len() - 1)]
}

/// Who asks for reports.
struct Asker {
    http: Client,
    instance: Instance,
    tenant: Tenant,
}

impl Asker {
    async fn ask(&self, path: &str) -> anyhow::Result<(Duration, Value)> {
        let started = Instant::now();
        let request = self.http.get(format!("{}{path}", self.instance.url)).bearer_auth(&self.tenant.api_key);
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let took = started.elapsed();
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok((took, serde_json::from_slice(&body)?))
    }
}

/// What a click costs on disk.
async fn disk(centre: &Centre<'_>) -> anyhow::Result<()> {
    let step = Step::start("Weighing the tables");
    let rows = centre
        .sql()
        .await?
        .query(
            "with clicks as (select count(*)::float8 as many from clicks), weights as (
               select regexp_replace(c.relname, '^(clicks|click_rollups|conversion_rollups)_.*', '\\1') as name,
                 sum(pg_table_size(c.oid))::float8 as heap, sum(pg_indexes_size(c.oid))::float8 as indexes
               from pg_class c
               where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                 and (c.relname ~ '^(clicks|click_rollups|conversion_rollups)_'
                   or c.relname in ('conversions', 'rollup_packs'))
               group by 1)
             select name, heap / many, indexes / many from weights, clicks order by 1",
            &[],
        )
        .await?;
    step.done("");
    for row in rows {
        let (name, heap, indexes): (&str, f64, f64) = (row.get(0), row.get(1), row.get(2));
        say(
            &format!("{name}, bytes per click"),
            format_args!("{:.0}", heap + indexes),
            &format!("{heap:.0} rows, {indexes:.0} indexes"),
        );
    }
    Ok(())
}
