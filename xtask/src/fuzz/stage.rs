//! What is fuzzed: control-api on a Postgres of its own, with a workspace that has one of everything.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use chrono::Utc;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use shared::{
    KeyRing, Millis, internal,
    record::Fill,
    redirect::{self, Decision, Visit},
    token::TokenKey,
    webhook,
};
use tokio::process::Command;

use crate::{
    context::{Context, write_private},
    control::Control,
    demo::api::{Api, text},
    ports,
    postgres::{Postgres, Purpose},
    secrets::Secrets,
    service::Service,
    ui::Step,
};

/// A running service with its workspace. Dropping it stops everything and leaves no data.
pub(super) struct Stage {
    /// Before the database, so that it ends first.
    _control_api: Service,
    _postgres: Postgres,
    url: String,
    home: PathBuf,
    operator_key: String,
    seeded: Seeded,
}

/// What was set up. Ids by their prefix.
struct Seeded {
    api_key: String,
    source_secret: String,
    ids: BTreeMap<&'static str, String>,
    /// The run's own key and workspace, which it must not lose.
    own: [String; 2],
}

impl Stage {
    /// Starts it on free ports.
    pub(super) async fn start(context: &Context, binary: &Path) -> anyhow::Result<Self> {
        let step = Step::start("Starting a service to fuzz");
        let secrets = Secrets::generate()?;
        let postgres =
            Postgres::start(context, Purpose::Scratch, ports::any_free()?, &secrets.database_password).await?;
        let home = context.state("fuzz/exports")?;
        // One client that asks faster than any customer: throttled, it would see little but 429.
        let unlimited = ["NIM_RATE_LIMIT_API", "NIM_RATE_LIMIT_EVENTS", "NIM_RATE_LIMIT_REFUSED"];
        let unlimited = unlimited.map(|limit| (limit, "off".to_owned()));
        let control = Control {
            context,
            binary,
            secrets: &secrets,
            database_url: postgres.url("postgres"),
            port: ports::any_free()?,
            exports: home,
            log: "control-api-fuzz.log",
            settings: [("NIM_PUBLISHER", "off".to_owned())].into_iter().chain(unlimited).collect(),
        };
        let (control_api, url) = (control.start().await?, control.url());
        let http = Client::builder().no_proxy().build()?;
        let seeded = seed(&http, &url, &secrets).await.context("the workspace could not be set up")?;
        step.done("");
        let home = context.path(".nimriz/fuzz");
        Ok(Self {
            _control_api: control_api,
            _postgres: postgres,
            url,
            home,
            operator_key: secrets.operator_key,
            seeded,
        })
    }

    /// How many operations the document describes.
    pub(super) async fn operations(&self) -> anyhow::Result<u64> {
        let document: Value = Client::builder().no_proxy().build()?.get(self.document()).send().await?.json().await?;
        let items = document["paths"].as_object().into_iter().flatten();
        Ok(items.filter_map(|(_, item)| item.as_object()).map(|item| item.len() as u64).sum())
    }

    fn document(&self) -> String {
        format!("{}/openapi.json", self.url)
    }

    fn results(&self) -> (PathBuf, PathBuf) {
        (self.home.join("report.json"), self.home.join("answers.json"))
    }

    /// A command that fuzzes the service.
    pub(super) fn command(&self, schemathesis: &Path, hooks: &Path) -> anyhow::Result<Command> {
        let template = fs::read_to_string(hooks.with_file_name("schemathesis.toml"))?;
        let (report, answers) = self.results();
        for stale in [&report, &answers] {
            let _ = fs::remove_file(stale);
        }
        let mut words: BTreeMap<&str, String> = self.seeded.ids.clone();
        words.insert("hooks", hooks.display().to_string());
        words.insert("report", report.display().to_string());
        let config = self.home.join("schemathesis.toml");
        write_private(&config, super::fill(&template, &words)?.as_bytes())?;
        let ids: Vec<String> = self.seeded.ids.iter().map(|(prefix, id)| format!("{prefix}={id}")).collect();
        let mut command = super::bare(schemathesis, &config, &self.document());
        command
            .current_dir(&self.home)
            .env("NIM_FUZZ_API_KEY", &self.seeded.api_key)
            .env("NIM_FUZZ_OPERATOR_KEY", &self.operator_key)
            .env("NIM_FUZZ_SOURCE_SECRET", &self.seeded.source_secret)
            .env("NIM_FUZZ_IDS", ids.join(","))
            .env("NIM_FUZZ_OWN", self.seeded.own.join(","))
            .env("NIM_FUZZ_ANSWERS", &answers)
            // Where the compiled hooks would go otherwise: beside their source.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// What the last command came to.
    pub(super) fn report(&self) -> anyhow::Result<(super::Figures, Vec<String>)> {
        let (report, answers) = self.results();
        super::figures(&report, &answers)
    }
}

/// One of everything, under the names that the document's examples use.
async fn seed(http: &Client, url: &str, secrets: &Secrets) -> anyhow::Result<Seeded> {
    let operator = Api::new(http, url, &secrets.operator_key);
    let make = async |api: &Api, path: &str, body: Value| {
        api.create(path, &body).await?.with_context(|| format!("{path} conflicts in a fresh database"))
    };
    let workspace =
        make(&operator, "/v1/workspaces", json!({"name": "Fuzz", "slug": "fuzz", "plan": "enterprise"})).await?;
    let other =
        make(&operator, "/v1/workspaces", json!({"name": "Other", "slug": "other", "plan": "enterprise"})).await?;
    let api_key = text(&workspace, "/api_key/key")?;
    let api = operator.with_key(&api_key);
    let terms = json!({"basis": "percentage", "rate_bps": 1_000, "applies_to": ["sale"]});
    let domain = make(&api, "/v1/domains", json!({"hostname": "go.acme.com"})).await?;
    let program = json!({"name": "Creators", "key": "creators", "reward_terms": terms});
    let program = make(&api, "/v1/programs", program).await?;
    let partner = json!({"display_name": "Nomura", "key": "nomura", "external_id": "crm-4711", "primary_program": "key:creators"});
    let partner = make(&api, "/v1/partners", partner).await?;
    make(&api, "/v1/partners/key:nomura/notes", json!({"text": "The first note"})).await?;
    let link = json!({"domain": "go.acme.com", "slug": "fuzz", "destination": "https://shop.example.com/", "partner": "key:nomura"});
    let link = make(&api, "/v1/links", link).await?;
    let source = make(&api, "/v1/sources", json!({"name": "Shop"})).await?;
    let spare = make(&api, "/v1/api-keys", json!({"name": "Spare", "role": "viewer"})).await?;
    let export =
        make(&api, "/v1/exports", json!({"kind": "traffic", "from": "2026-01-01", "to": "2026-02-01"})).await?;
    let source_secret = text(&source, "/secret")?;
    let source_id = text(&source, "/id")?;
    let token = click(http, url, secrets).await?;
    let send = async |body: Value| event(http, url, &source_id, &source_secret, &body).await;
    let conversion = send(json!({"event_id": "first", "type": "sale", "nim_ct": token, "amount_minor": 4_999,
        "currency": "USD", "order_id": "order-1", "customer_id": "customer-1"}))
    .await?;
    let refund = json!({"event_id": "second", "type": "refund", "order_id": "order-1", "amount_minor": 999});
    send(refund).await?;
    send(json!({"event_id": "third", "type": "lead"})).await?;
    completed(&api, &text(&export, "/id")?).await?;
    let ids = [("ws", &other), ("key", &spare), ("dom", &domain), ("prg", &program), ("prt", &partner), ("lnk", &link)];
    let mut ids = ids
        .into_iter()
        .map(|(prefix, made)| Ok((prefix, text(made, "/id")?)))
        .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    ids.extend([("src", source_id), ("exp", text(&export, "/id")?), ("cnv", conversion)]);
    let own = [text(&workspace, "/id")?, text(&workspace, "/api_key/id")?];
    Ok(Seeded { api_key, source_secret, ids, own })
}

/// A visit of the link, decided and delivered as the edge does it; answers the token that the visitor carries.
async fn click(http: &Client, url: &str, secrets: &Secrets) -> anyhow::Result<String> {
    let (host, slug) = ("go.acme.com", "fuzz");
    let target = format!("/internal/v1/links?host={host}&slug={slug}");
    let fill = as_edge(http, url, secrets, Method::GET, &target, vec![]).await?;
    let fill: Fill = serde_json::from_str(&fill).context("the answer to a fill")?;
    let stored = fill.link.context("no record of the link")?;
    let link = stored.record.as_ref().context("the link's record is a tombstone")?;
    let ring: KeyRing = secrets.token_secrets.parse()?;
    let key = TokenKey::signing(&ring, link.workspace);
    let visit = Visit { host, slug, agent: BROWSER, ..Visit::default() };
    let now = Millis(Utc::now().timestamp_millis());
    let Decision::Redirect { click, .. } = redirect::decide((link, stored.version), &visit, now, [7; 10], &key) else {
        anyhow::bail!("the link leads nowhere");
    };
    let batch = json!({"clicks": [serde_json::to_value(&click)?]}).to_string();
    let receipt = as_edge(http, url, secrets, Method::POST, "/internal/v1/clicks", batch.into_bytes()).await?;
    ensure!(receipt.contains("\"stored\":1"), "the click was not stored: {receipt}");
    Ok(key.token(click.id))
}

/// An ordinary browser, so that the click is a human's.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A request of the worker, signed.
async fn as_edge(
    http: &Client,
    url: &str,
    secrets: &Secrets,
    method: Method,
    target: &str,
    body: Vec<u8>,
) -> anyhow::Result<String> {
    let ring: KeyRing = secrets.edge_secrets.parse()?;
    let signed = internal::Request { method: method.as_str(), target, body: &body };
    let now = Millis(Utc::now().timestamp_millis());
    let (timestamp, signature) = internal::sign(&ring, internal::Direction::EdgeToControl, signed, now);
    let request = http.request(method, format!("{url}{target}")).header(internal::TIMESTAMP_HEADER, timestamp);
    let response = request.header(internal::SIGNATURE_HEADER, signature).body(body).send().await?;
    ensure!(response.status().is_success(), "{target} was answered {}", response.status());
    Ok(response.text().await?)
}

/// Waits for an export's file, so that the fuzz can read one.
async fn completed(api: &Api, export: &str) -> anyhow::Result<()> {
    for _ in 0..100 {
        let job = api.get(&format!("/v1/exports/{export}")).await?;
        if text(&job, "/status")? == "completed" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("the export of an empty range took over 20 s")
}

/// Sends a signed event and returns the conversion's id.
async fn event(http: &Client, url: &str, source: &str, secret: &str, body: &Value) -> anyhow::Result<String> {
    let secret = webhook::Secret::parse(secret).context("the source's secret is no whsec_ secret")?;
    let now = Millis(Utc::now().timestamp_millis());
    let body = body.to_string();
    let request = http.post(format!("{url}/v1/sources/{source}/events")).header("content-type", "application/json");
    let request = request.header("webhook-id", "msg_first").header("webhook-timestamp", now.seconds().to_string());
    let signature = webhook::sign(&secret, "msg_first", now, body.as_bytes());
    let response = request.header("webhook-signature", signature).body(body).send().await?;
    ensure!(response.status().is_success(), "the event was answered {}", response.status());
    text(&response.json().await?, "/conversion_id")
}
