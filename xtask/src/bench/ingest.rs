//! Click ingest over HTTP, as the edge's consumer sends it, beside a binary COPY of the same rows: what the rules cost
//! (dedupe, rollups, conversions that wait, signatures, JSON) over what Postgres takes at its fastest.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use chrono::{Days, Utc};
use futures_util::SinkExt as _;
use shared::{KeyRing, Millis, internal};
use tokio_postgres::Client;

use super::{
    centre::{Centre, Instance, Tenant},
    figures::{median, rate, say, say_ratio},
    post, proc,
    traffic::{COLUMNS, Clicks, Traffic},
};
use crate::{context::Context, generate::Size, ui::Step};

/// The door.
pub(super) const TARGET: &str = "/internal/v1/clicks";

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// Clicks of one round
    #[arg(long, default_value_t = 100_000)]
    clicks: usize,
    /// Rounds; the medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections that send at once
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Clicks that the other database holds already; 0 leaves it out
    #[arg(long, default_value_t = 2_000_000)]
    history: u64,
}

/// Clicks of the history that counts as none: the setup is that of the long one, so that clicks fall on as many links.
const NONE: u64 = 1_000;

/// Measures on a database without a history worth the name, then on the one with a long one.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    let empty = {
        let (centre, tenant) = Centre::generated(context, &history(NONE)).await?;
        let instance = centre.instance("1", &[]).await?;
        println!("Without a history");
        forget_today(&centre).await?;
        measure(&centre, &instance, &tenant, extent).await?
    };
    if extent.history == 0 {
        return Ok(());
    }
    let (centre, tenant) = Centre::generated(context, &history(extent.history)).await?;
    let instance = centre.instance("1", &[]).await?;
    println!("Over a history of {} clicks", extent.history);
    forget_today(&centre).await?;
    let full = measure(&centre, &instance, &tenant, extent).await?;
    forget_today(&centre).await?;
    say_ratio("answered, without over with a history", empty.answered / full.answered, "target <= 1.2");
    say_ratio("in the rollups, likewise", empty.folded / full.folded, "");
    Ok(())
}

/// A year that ended yesterday, in the proportions that the issue of reports names.
pub(super) fn history(clicks: u64) -> Size {
    let days = 365;
    let start = Utc::now().date_naive() - Days::new(u64::from(days));
    Size { clicks, partners: 2_000, links: 20_000, days, start, seed: 1, database_url: None }
}

/// Removes what measurements have added, so that the history can be used again: it ends yesterday.
pub(super) async fn forget_today(centre: &Centre<'_>) -> anyhow::Result<()> {
    let step = Step::start("Removing today's clicks from the history");
    let today = "date_trunc('day', now(), 'UTC')";
    let sql = centre.sql().await?;
    sql.batch_execute(&format!(
        "set timezone = 'UTC';
         truncate click_deltas;
         delete from clicks where click_id >= uuid_at({today});
         delete from click_rollups where bucket >= {today};
         -- A month is the sum of its days.
         delete from click_rollups where grain = 'month' and bucket = date_trunc('month', {today}, 'UTC');
         insert into click_rollups (
             workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr,
             human_partner
         )
         select workspace_id, dimension, 'month', date_trunc('month', bucket, 'UTC'), key,
             (array_agg(label order by label_click_id desc))[1], (array_agg(label_click_id order by label_click_id desc))[1],
             sum(human_link), sum(human_qr), sum(bot_link), sum(bot_qr), sum(human_partner)
         from click_rollups
         where grain = 'day' and bucket >= date_trunc('month', {today}, 'UTC')
         group by workspace_id, dimension, date_trunc('month', bucket, 'UTC'), key;
         drop table if exists ceiling"
    ))
    .await?;
    sql.batch_execute("vacuum (analyze) clicks").await?;
    sql.batch_execute("vacuum (analyze) click_rollups").await?;
    sql.batch_execute("checkpoint").await?;
    step.done("");
    Ok(())
}

/// Processor time of everyone.
#[derive(Clone, Copy)]
pub(super) struct Used {
    postgres: Duration,
    service: Duration,
    load: Duration,
}

impl Used {
    pub(super) fn now(centre: &Centre<'_>, instance: &Instance) -> anyhow::Result<Self> {
        let load = proc::cpu_time(std::process::id())?;
        Ok(Self { postgres: centre.postgres_cpu_time()?, service: instance.cpu_time()?, load })
    }

    /// What was used since then, and by how many things: in words, for each.
    pub(super) fn since(self, before: Self, many: usize) -> String {
        let each = |now: Duration, before: Duration| micros(now.saturating_sub(before), many);
        format!(
            "CPU each: Postgres {:.1} µs, service {:.1} µs, load {:.1} µs",
            each(self.postgres, before.postgres),
            each(self.service, before.service),
            each(self.load, before.load)
        )
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn micros(time: Duration, many: usize) -> f64 {
    time.as_secs_f64() * 1e6 / many as f64
}

/// Clicks per second in batches of 1,000.
struct Rates {
    /// Until all were answered: stored for good, and in every report.
    answered: f64,
    /// Until all were in the rollups too, which is what can go on for ever.
    folded: f64,
}

/// Prints the figures and answers those of batches of 1,000.
async fn measure(centre: &Centre<'_>, instance: &Instance, tenant: &Tenant, extent: &Extent) -> anyhow::Result<Rates> {
    let sql = centre.sql().await?;
    let ring = centre.edge_secrets()?;
    let mut traffic = Traffic::of(&sql, tenant.workspace).await?;
    // Plans and caches as in a service that has been up for a while.
    let warm = requests(&traffic.clicks(20_000, 40_000), 1_000, &ring);
    post::all(instance.port, extent.senders, &warm).await?;
    folded(&sql).await?;
    let stored = async || {
        anyhow::Ok(
            sql.query_one("select count(*) from clicks where recorded_at >= current_date", &[]).await?.get::<_, i64>(0),
        )
    };
    let mut ceilings = vec![];
    let mut thousands = vec![];
    for size in [1_000, 100] {
        let (mut answered, mut sustained) = (vec![], vec![]);
        for round in 0..extent.rounds {
            let clicks = traffic.clicks(extent.clicks, 40_000);
            if size == 1_000 {
                ceilings.push(ceiling(&sql, clicks.rows(), extent.clicks).await?);
            }
            let requests = requests(&clicks, size, &ring);
            let held = stored().await?;
            let before = Used::now(centre, instance)?;
            let sent = post::all(instance.port, extent.senders, &requests).await?;
            let began = Instant::now();
            let behind: i64 = sql.query_one("select count(*) from click_deltas", &[]).await?.get(0);
            folded(&sql).await?;
            let lag = began.elapsed();
            let after = Used::now(centre, instance)?;
            let many = extent.clicks as u64;
            // An answer of 200 may refuse what it was sent.
            ensure!(stored().await? - held == i64::try_from(many)?, "not every click was stored");
            answered.push(rate(many, sent.elapsed));
            sustained.push(rate(many, sent.elapsed + lag));
            println!(
                "  batches of {size:>5}, round {round}: {:>7.0} clicks/s answered, {behind} not folded at the end, folded \
                 {:.1} s later ({:.0} clicks/s); {:.1} ms p50, {:.1} ms p99; {}; asked to wait {}",
                rate(many, sent.elapsed),
                lag.as_secs_f64(),
                rate(many, sent.elapsed + lag),
                sent.quantile(0.5),
                sent.quantile(0.99),
                after.since(before, extent.clicks),
                sent.deferred,
            );
        }
        let (answered, sustained) = (median(answered), median(sustained));
        say(&format!("batches of {size}, clicks/s"), format_args!("{answered:.0}"), "answered");
        say(&format!("batches of {size}, clicks/s"), format_args!("{sustained:.0}"), "until all are in the rollups");
        if size == 1_000 {
            let ceiling = median(ceilings.clone());
            say("COPY of the same rows, clicks/s", format_args!("{ceiling:.0}"), "the ceiling");
            say_ratio("answered over COPY", answered / ceiling, "target >= 0.25, and 40,000 clicks/s");
            say_ratio("in the rollups over COPY", sustained / ceiling, "");
            thousands.push(Rates { answered, folded: sustained });
        }
    }
    say("resident memory of the service, MB", format_args!("{:.0}", instance.resident_megabytes()?), "");
    thousands.pop().context("nothing was measured")
}

/// Signed requests of batches.
pub(super) fn requests(clicks: &Clicks<'_>, size: usize, ring: &KeyRing) -> Vec<Vec<u8>> {
    clicks.batches(size).iter().map(|(body, _)| signed(body, ring)).collect()
}

/// A request as the edge's consumer sends it, signed now.
pub(super) fn signed(body: &[u8], ring: &KeyRing) -> Vec<u8> {
    let request = internal::Request { method: "POST", target: TARGET, body };
    let now = Millis(Utc::now().timestamp_millis());
    let (timestamp, signature) = internal::sign(ring, internal::Direction::EdgeToControl, request, now);
    let headers =
        format!("{}: {timestamp}\r\n{}: {signature}\r\n", internal::TIMESTAMP_HEADER, internal::SIGNATURE_HEADER);
    post::request(TARGET, &headers, body)
}

/// Waits until every click is in the rollups.
pub(super) async fn folded(sql: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while sql.query_one("select exists (select from click_deltas)", &[]).await?.get(0) {
        ensure!(Instant::now() < deadline, "the rollups don't get done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Rows per second of a binary COPY into a table like `clicks`, key included.
async fn ceiling(sql: &Client, rows: Vec<Bytes>, many: usize) -> anyhow::Result<f64> {
    sql.batch_execute(
        "drop table if exists ceiling; create table ceiling (like clicks including defaults, primary key (workspace_id, click_id))",
    )
    .await?;
    let began = Instant::now();
    let sink = sql.copy_in(&format!("copy ceiling ({COLUMNS}) from stdin (format binary)")).await?;
    futures_util::pin_mut!(sink);
    for piece in rows {
        sink.send(piece).await?;
    }
    let written = sink.finish().await?;
    let elapsed = began.elapsed();
    ensure!(written == many as u64, "COPY has taken {written} of {many} rows");
    sql.batch_execute("drop table ceiling").await?;
    Ok(rate(many as u64, elapsed))
}
