//! Visitors and a customer's server, as they are.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;
use reqwest::{Client, StatusCode, Url, header};
use serde_json::{Value, json};
use shared::{Millis, webhook};

use crate::demo::{Doors, Workspace};

const DESKTOP: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// Visits per start: path, user agent, country. The first visit of a partner yields the token of its event.
const VISITS: [(&str, &str, &str); 10] = [
    ("nomura", PHONE, "JP"),
    ("nomura", DESKTOP, "DE"),
    ("nomura/spring", PHONE, "DE"),
    ("nomura?qr=1", PHONE, "AT"),
    ("atlas", DESKTOP, "US"),
    ("atlas", DESKTOP, "GB"),
    ("lumen", PHONE, "FR"),
    ("lumen", DESKTOP, "FR"),
    ("lumen", CRAWLER, "US"),
    ("press", DESKTOP, "DE"),
];

/// What a run sent and therefore must find in the report.
pub(crate) struct Sent {
    pub(crate) clicks: u64,
    pub(crate) events: u64,
    /// Events that carry a token, or follow one that does.
    pub(crate) attributed: u64,
}

/// Sends one start's visits and events.
pub(crate) async fn traffic(http: &Client, doors: &Doors, workspace: &Workspace) -> anyhow::Result<Sent> {
    let mut tokens = Vec::new();
    for (path, agent, country) in VISITS {
        let token = visit(http, doors, workspace, path, agent, country).await?;
        tokens.push(token);
    }
    let token = |visited: &str| -> anyhow::Result<&str> {
        let at = VISITS.iter().position(|(path, ..)| *path == visited);
        at.and_then(|at| tokens[at].as_deref()).with_context(|| format!("the redirect of {visited} carried no nim_ct"))
    };
    ensure!(
        VISITS.iter().zip(&tokens).all(|((_, agent, _), token)| *agent != CRAWLER || token.is_none()),
        "a crawler was given a click token"
    );

    // Unique per start: an event id counts once, for ever.
    let run = Utc::now().timestamp_millis();
    let events = [
        json!({"event_id": format!("sale-{run}"), "type": "sale", "order_id": format!("order-{run}"), "customer_id": "ada",
               "nim_ct": token("nomura")?, "amount_minor": 12_900, "currency": "EUR"}),
        json!({"event_id": format!("refund-{run}"), "type": "refund", "original_event_id": format!("sale-{run}"), "amount_minor": 2_900, "currency": "EUR"}),
        json!({"event_id": format!("lead-{run}"), "type": "lead", "event_name": "demo_requested", "nim_ct": token("atlas")?}),
        json!({"event_id": format!("sale-{run}-2"), "type": "sale", "order_id": format!("order-{run}-2"),
               "nim_ct": token("lumen")?, "amount_minor": 4_900, "currency": "EUR"}),
        json!({"event_id": format!("sale-{run}-3"), "type": "sale", "order_id": format!("order-{run}-3"), "amount_minor": 9_900, "currency": "EUR"}),
    ];
    for event in &events {
        send(http, doors, workspace, event).await?;
    }
    Ok(Sent { clicks: VISITS.len() as u64, events: events.len() as u64, attributed: events.len() as u64 - 1 })
}

/// Follows one short link up to its redirect and returns the click token in it.
async fn visit(
    http: &Client,
    doors: &Doors,
    workspace: &Workspace,
    path: &str,
    agent: &str,
    country: &str,
) -> anyhow::Result<Option<String>> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let response = http
            .get(format!("{}/{path}", doors.edge))
            .header(header::HOST, &workspace.domain)
            .header(header::USER_AGENT, agent)
            // The local runtime takes the visitor's place from here; Cloudflare's knows it by itself.
            .header("mf-cf-blob", json!({"country": country, "colo": "TXL"}).to_string())
            .send()
            .await?;
        if response.status() == StatusCode::FOUND {
            let location = response.headers().get(header::LOCATION).context("a redirect without Location")?;
            let location = Url::parse(location.to_str()?)?;
            return Ok(location.query_pairs().find(|(name, _)| name == "nim_ct").map(|(_, token)| token.into_owned()));
        }
        // A link made this moment may not have reached the edge.
        if Instant::now() > deadline {
            bail!("{}/{path} answers {}", workspace.domain, response.status());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Signs and sends one event, as Standard Webhooks asks.
async fn send(http: &Client, doors: &Doors, workspace: &Workspace, event: &Value) -> anyhow::Result<()> {
    let secret = webhook::Secret::parse(&workspace.source_secret).context("the source's secret is no whsec_ secret")?;
    let now = Millis(Utc::now().timestamp_millis());
    let id = format!("msg_{}", event["event_id"].as_str().unwrap_or_default());
    let body = event.to_string();
    let response = http
        .post(format!("{}/v1/sources/{}/events", doors.api, workspace.source_id))
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", now.seconds().to_string())
        .header("webhook-signature", webhook::sign(&secret, &id, now, body.as_bytes()))
        .body(body)
        .send()
        .await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status == StatusCode::OK, "event {event} was answered {status}: {text}");
    let result: Value = serde_json::from_str(&text)?;
    ensure!(result["status"] == "accepted", "event {event} was not accepted: {text}");
    Ok(())
}
