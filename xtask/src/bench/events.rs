//! Signed conversion events over HTTP, one by one and in batches: leads that bring a token, sales with an order and a
//! known customer, and refunds.

use anyhow::{Context as _, ensure};
use chrono::Utc;
use reqwest::Client;
use serde_json::{Value, json};
use shared::{Millis, id::ClickId, token::TokenKey, webhook};

use super::{
    centre::{Centre, Instance, Tenant},
    figures::{median, rate, say},
    ingest::{self, Used},
    post,
    traffic::{Random, Traffic},
};
use crate::{
    context::Context,
    demo::api::{Api, text},
};

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// Events of one round in batches; a fifth of that one by one
    #[arg(long, default_value_t = 60_000)]
    events: usize,
    /// Rounds; the medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections that send at once; four times as many send one by one, as servers that serve customers do
    #[arg(long, default_value_t = 16)]
    senders: usize,
    /// Clicks that the database holds already; 0: an empty one
    #[arg(long, default_value_t = 0)]
    history: u64,
}

/// Measures and prints.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    if extent.history == 0 {
        let centre = Centre::empty(context).await?;
        let instance = centre.instance("1", &[]).await?;
        let tenant = centre.tenant(&instance).await?;
        return measure(&centre, &instance, &tenant, extent).await;
    }
    let (centre, tenant) = Centre::generated(context, &ingest::history(extent.history)).await?;
    let instance = centre.instance("1", &[]).await?;
    ingest::forget_today(&centre).await?;
    measure(&centre, &instance, &tenant, extent).await?;
    ingest::forget_today(&centre).await
}

async fn measure(centre: &Centre<'_>, instance: &Instance, tenant: &Tenant, extent: &Extent) -> anyhow::Result<()> {
    let sql = centre.sql().await?;
    let mut shop = Shop::open(centre, instance, tenant).await?;
    // The clicks that the events are of, in the store before them.
    let mut traffic = Traffic::of(&sql, tenant.workspace).await?;
    let clicks = traffic.clicks(40_000, 100_000);
    let posts = ingest::requests(&clicks, 1_000, &centre.edge_secrets()?);
    post::all(instance.port, extent.senders, &posts).await?;
    let clicks = clicks.worth_a_token();
    ingest::folded(&sql).await?;
    let stored = async || {
        anyhow::Ok(
            sql.query_one("select count(*) from conversions where recorded_at >= current_date", &[])
                .await?
                .get::<_, i64>(0),
        )
    };
    // Plans that were made for an empty table hold until it is analysed, which autovacuum does within a minute.
    post::all(instance.port, extent.senders, &shop.requests(&clicks, 2_000, 100)).await?;
    sql.batch_execute("analyze conversions").await?;
    for (size, target) in [(1, "target >= 2,000"), (100, ""), (1_000, "target >= 15,000")] {
        let many = if size == 1 { extent.events / 5 } else { extent.events };
        let mut rates = vec![];
        for round in 0..extent.rounds {
            let requests = shop.requests(&clicks, many, size);
            let held = stored().await?;
            let before = Used::now(centre, instance)?;
            let senders = if size == 1 { 4 * extent.senders } else { extent.senders };
            let sent = post::all(instance.port, senders, &requests).await?;
            let used = Used::now(centre, instance)?.since(before, many);
            ensure!(stored().await? - held == i64::try_from(many)?, "not every event was stored");
            let rate = rate(many as u64, sent.elapsed);
            println!(
                "  batches of {size:>5}, round {round}: {rate:>7.0} events/s; {:.1} ms p50, {:.1} ms p99; {used}; asked to \
                 wait {}",
                sent.quantile(0.5),
                sent.quantile(0.99),
                sent.deferred
            );
            rates.push(rate);
        }
        let what = if size == 1 { "one by one, events/s".to_owned() } else { format!("batches of {size}, events/s") };
        say(&what, format_args!("{:.0}", median(rates)), target);
    }
    let stored = sql.query("select status, count(*) from conversions where recorded_at > now() - interval '1 hour' group by 1 order by 1", &[]).await?;
    for row in stored {
        say(&format!("conversions {}", row.get::<_, String>(0)), row.get::<_, i64>(1), "");
    }
    Ok(())
}

/// A source of events, and what it has sold.
struct Shop {
    target: String,
    secret: webhook::Secret,
    token: TokenKey,
    random: Random,
    sent: u64,
    run: i64,
}

impl Shop {
    async fn open(centre: &Centre<'_>, instance: &Instance, tenant: &Tenant) -> anyhow::Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        let api = Api::new(&http, &instance.url, &tenant.api_key);
        let run = Utc::now().timestamp_millis();
        let source = api.create("/v1/sources", &json!({"name": format!("Bench {run}")})).await?;
        let source = source.context("a source of that name is there")?;
        Ok(Self {
            target: format!("/v1/sources/{}/events", text(&source, "/id")?),
            secret: webhook::Secret::parse(&text(&source, "/secret")?).context("no whsec_ secret")?,
            token: TokenKey::signing(&centre.token_secrets()?, tenant.workspace),
            random: Random::seeded()?,
            sent: 0,
            run,
        })
    }

    /// Signed requests of so many events in batches of `size`; of size 1, each is bare.
    fn requests(&mut self, clicks: &[ClickId], many: usize, size: usize) -> Vec<Vec<u8>> {
        let mut requests = vec![];
        let mut left = many;
        while left > 0 {
            let events: Vec<Value> = (0..size.min(left)).map(|_| self.event(clicks)).collect();
            left -= events.len();
            let body = match events.as_slice() {
                [one] if size == 1 => one.to_string(),
                _ => json!({"events": events}).to_string(),
            };
            let (id, now) = (format!("msg_{}", self.random.next()), Millis(Utc::now().timestamp_millis()));
            let signature = webhook::sign(&self.secret, &id, now, body.as_bytes());
            let headers = format!(
                "webhook-id: {id}\r\nwebhook-timestamp: {}\r\nwebhook-signature: {signature}\r\n",
                now.seconds()
            );
            requests.push(post::request(&self.target, &headers, body.as_bytes()));
        }
        requests
    }

    /// Of ten events: five leads and three sales with tokens, one sale of a customer known by a lead, one refund.
    fn event(&mut self, clicks: &[ClickId]) -> Value {
        let n = self.sent;
        self.sent += 1;
        let id = |n: u64| format!("evt_{}_{n}", self.run);
        let token = self.token.token(clicks[self.random.below(clicks.len())]);
        let customer = format!("customer-{}-{}", self.run, n / 10);
        let amount = 1_000 + i64::try_from(n % 9_000).unwrap_or_default();
        let metadata = json!({"cart": n, "channel": "web"});
        match n % 10 {
            0..5 => json!({"event_id": id(n), "type": "lead", "event_name": "signup", "nim_ct": token,
                "customer_id": customer, "metadata": metadata}),
            5..8 => {
                json!({"event_id": id(n), "type": "sale", "nim_ct": token, "order_id": format!("order-{}-{n}", self.run),
                "customer_id": customer, "amount_minor": amount, "currency": "USD", "quantity": 1, "metadata": metadata})
            }
            8 => json!({"event_id": id(n), "type": "sale", "order_id": format!("order-{}-{n}", self.run),
                "customer_id": customer, "amount_minor": amount, "currency": "USD", "metadata": metadata}),
            _ => json!({"event_id": id(n), "type": "refund", "original_event_id": id(n - 4), "amount_minor": 500,
                "currency": "USD"}),
        }
    }
}
