//! A soak: the worker in workerd with its queue, control-api and Postgres under steady visits, while control-api is stopped
//! twice and the queue refuses for a while. Nothing is simulated but the refusals; the centre is a build without
//! optimisation, as in the tests.
//!
//! It passes where every visit got its redirect, and every click of one is a row, once. Rates say little here: queue and
//! store are Cloudflare's simulators, which are far slower than the worker ([`edge`](super::edge) measures that).

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use super::load::{self, Sustained, Until};
use crate::{
    cargo,
    context::Context,
    control::Control,
    demo::api::{Api, text},
    edge::{self, Bindings},
    node::Tools,
    ports,
    postgres::{self, Postgres, Purpose},
    secrets::Secrets,
    service::Service,
    ui::Step,
    worker,
};

/// How long, and how hard.
#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Minutes of visits
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Visits per second; 70 % of the measured peak where it is not given
    #[arg(long)]
    rate: Option<f64>,
}

const HOST: &str = "go.soak.localhost";
const LINKS: u64 = 20;
const CONNECTIONS: usize = 32;
const REDIRECT: &[u8] = b"HTTP/1.1 302 ";
/// How long the peak is measured.
const PEAK: Duration = Duration::from_secs(10);
/// What of the peak is soaked with.
const SHARE: f64 = 0.7;
/// How long control-api is away, each time, unless the soak is short.
const AWAY: Duration = Duration::from_secs(20);
/// How long the queue refuses, unless the soak is short.
const REFUSING: Duration = Duration::from_secs(60);
/// As wrangler.toml has it; the simulators have no clock for it.
const CRON: Duration = Duration::from_secs(60);
/// How long the clicks may take to arrive once all is well: the longest delay of a retry, and some.
const SETTLE: Duration = Duration::from_secs(15 * 60);

/// Runs it and prints what became of the clicks.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    ensure!(extent.minutes > 0.0, "--minutes must be more than 0");
    let tools = Tools::ensure(context).await?;
    let binary = cargo::build_control_api(context).await?;
    worker::build(context, &tools).await?;

    let step = Step::start("Starting Postgres, the control API and the edge worker");
    let secrets = Secrets::generate()?;
    let postgres = Postgres::start(context, Purpose::Scratch, ports::any_free()?, &secrets.database_password).await?;
    let (mut stage, control_api) = Stage::start(context, &tools, &binary, &secrets, &postgres).await?;
    step.done("");

    let visit = |n: u64| format!("GET /soak-{} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: {AGENT}\r\n\r\n", n % LINKS);
    // Each link once, so that none is unknown when the centre is first away.
    let known = load::run(stage.edge_port, 1, Until::Count(LINKS), REDIRECT, visit).await?.count();
    let step = Step::start("Measuring the peak");
    let peak = load::run(stage.edge_port, CONNECTIONS, Until::Time(PEAK), REDIRECT, visit).await?;
    step.done(&format!("{:.0} visits/s", peak.rate()));

    let rate = extent.rate.unwrap_or(peak.rate() * SHARE);
    let time = Duration::from_secs_f64(extent.minutes * 60.0);
    eprintln!("Soaking for {:.0} s at {rate:.0} visits/s", time.as_secs_f64());
    let visits = load::sustain(stage.edge_port, CONNECTIONS, rate, time, REDIRECT, visit);
    let (soaked, troubled) = tokio::join!(visits, stage.trouble(control_api, time));
    let _control_api = troubled?;

    let step = Step::start("Waiting until every click has arrived");
    let redirects = known + peak.count() + soaked.load.count();
    let outcome = stage.settle(redirects).await?;
    step.done("");
    report(redirects, &soaked, &outcome);
    ensure!(soaked.failed == 0, "{} visits got no redirect: {}", soaked.failed, soaked.why.unwrap_or_default());
    outcome.judge(redirects)
}

const AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15";

/// The parts that go on while control-api comes and goes. It is kept apart, so that it can be stopped.
struct Stage<'a> {
    control: Control<'a>,
    operator: Api,
    http: Client,
    _edge: Service,
    edge_port: u16,
    faults_url: String,
    database_url: String,
}

impl<'a> Stage<'a> {
    async fn start(
        context: &'a Context,
        tools: &Tools,
        binary: &'a Path,
        secrets: &'a Secrets,
        postgres: &Postgres,
    ) -> anyhow::Result<(Self, Service)> {
        let home = context.state("soak/-")?.with_file_name("");
        // What an earlier run has left.
        let _ = std::fs::remove_dir_all(home.join("edge"));
        let (edge_port, database_url) = (ports::any_free()?, postgres.url("postgres"));
        let control = Control {
            context,
            binary,
            secrets,
            database_url: database_url.clone(),
            port: ports::any_free()?,
            exports: home.join("exports"),
            log: "control-api-soak.log",
            settings: vec![
                ("NIM_PUBLISHER", "push".to_owned()),
                ("NIM_EDGE_URL", format!("http://127.0.0.1:{edge_port}")),
            ],
        };
        control.migrate().await?;
        let storage = home.join("edge");
        let (url, faulty) = (control.url(), Bindings::Faulty);
        let edge = edge::start(context, tools, edge_port, &storage, &url, secrets, faulty);
        let ((edge, faults_url), control_api) = tokio::try_join!(edge, control.start())?;
        let http = Client::builder().no_proxy().build()?;
        let operator = Api::new(&http, &url, &secrets.operator_key);
        let stage = Self { control, operator, http, _edge: edge, edge_port, faults_url, database_url };
        stage.seed().await?;
        Ok((stage, control_api))
    }

    /// A workspace with assigned links, all of them known to the edge's store.
    async fn seed(&self) -> anyhow::Result<()> {
        let make = async |api: &Api, path: &str, body: Value| {
            api.create(path, &body).await?.with_context(|| format!("{path} conflicts in a fresh database"))
        };
        let workspace = json!({"name": "Soak", "slug": "soak", "plan": "enterprise"});
        let workspace = make(&self.operator, "/v1/workspaces", workspace).await?;
        let api = self.operator.with_key(&text(&workspace, "/api_key/key")?);
        make(&api, "/v1/domains", json!({"hostname": HOST})).await?;
        make(&api, "/v1/partners", json!({"display_name": "Nomura", "key": "nomura"})).await?;
        for n in 0..LINKS {
            let link = json!({"domain": HOST, "slug": format!("soak-{n}"), "destination": "https://shop.example.com/?a=1#top", "partner": "key:nomura"});
            make(&api, "/v1/links", link).await?;
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.operator.get("/v1/admin/delivery").await?["records"]["queued"] != 0 {
            ensure!(Instant::now() < deadline, "the records do not reach the edge's store");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// What goes wrong during the soak, and the minutely job all along.
    async fn trouble(&mut self, control_api: Service, time: Duration) -> anyhow::Result<Service> {
        let started = Instant::now();
        let cron = async {
            loop {
                tokio::time::sleep(CRON).await;
                self.run_cron().await?;
            }
        };
        let faults = async {
            let control_api = self.without_centre(control_api, started + time.mul_f64(0.15), time).await?;
            tokio::time::sleep_until((started + time.mul_f64(0.4)).into()).await;
            let refusing = REFUSING.min(time / 4);
            eprintln!(
                "{:>4.0} s  the queue refuses for {:.0} s",
                started.elapsed().as_secs_f64(),
                refusing.as_secs_f64()
            );
            self.fail(&json!({"queue": "fail"})).await?;
            tokio::time::sleep(refusing).await;
            self.fail(&json!({})).await?;
            let control_api = self.without_centre(control_api, started + time.mul_f64(0.75), time).await?;
            tokio::time::sleep_until((started + time).into()).await;
            anyhow::Ok(control_api)
        };
        tokio::select! {
            failed = cron => failed,
            control_api = faults => control_api,
        }
    }

    /// Stops control-api at a moment, and starts it again.
    async fn without_centre(&self, control_api: Service, at: Instant, time: Duration) -> anyhow::Result<Service> {
        tokio::time::sleep_until(at.into()).await;
        let away = AWAY.min(time / 6);
        eprintln!("{:>4}    the control API is stopped for {:.0} s", "", away.as_secs_f64());
        control_api.stop().await?;
        tokio::time::sleep(away).await;
        self.control.start().await
    }

    /// Makes bindings of the worker fail, as `edge-worker/local/faulty.mjs` says.
    async fn fail(&self, faults: &Value) -> anyhow::Result<()> {
        self.http.put(&self.faults_url).body(faults.to_string()).send().await?.error_for_status()?;
        Ok(())
    }

    async fn run_cron(&self) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/cdn-cgi/local/scheduled", self.edge_port);
        self.http.get(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Waits until so many clicks are settled, or no more come for a long time, and tells what became of them.
    async fn settle(&self, clicks: u64) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + SETTLE;
        let mut last_cron = Instant::now();
        loop {
            let outcome = self.outcome().await?;
            if outcome.is_settled(clicks) || Instant::now() > deadline {
                return Ok(outcome);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            if last_cron.elapsed() > CRON {
                last_cron = Instant::now();
                self.run_cron().await?;
            }
        }
    }

    async fn outcome(&self) -> anyhow::Result<Outcome> {
        let told = self.operator.get("/v1/admin/delivery").await?;
        let number = |name: &str| told["totals"][name].as_u64().with_context(|| format!("no {name} in {told}"));
        let client = postgres::connect(&self.database_url).await?;
        let row = client.query_one("select count(*), count(distinct click_id) from clicks", &[]).await?;
        Ok(Outcome {
            minted: number("minted")?,
            stored: number("stored")?,
            again: number("duplicate")?,
            rejected: told["totals"]["rejected"].to_string(),
            rows: u64::try_from(row.try_get::<_, i64>(0)?)?,
            ids: u64::try_from(row.try_get::<_, i64>(1)?)?,
        })
    }
}

/// What became of the clicks: as the operator is told, and as the table has them.
#[derive(PartialEq, Eq)]
struct Outcome {
    minted: u64,
    stored: u64,
    /// Arrived once more, and not stored once more.
    again: u64,
    rejected: String,
    rows: u64,
    ids: u64,
}

impl Outcome {
    fn is_settled(&self, clicks: u64) -> bool {
        self.minted >= clicks && self.stored >= self.minted && self.rows >= clicks
    }

    fn judge(&self, redirects: u64) -> anyhow::Result<()> {
        ensure!(self.rows == self.ids, "{} clicks are stored twice", self.rows - self.ids);
        ensure!(self.minted == self.stored, "minted and stored differ");
        ensure!(self.stored == self.rows && self.rows == redirects, "redirects, stored clicks and rows differ");
        Ok(())
    }
}

fn report(redirects: u64, soaked: &Sustained, outcome: &Outcome) {
    let millis = |share| soaked.load.quantile(share).as_secs_f64() * 1_000.0;
    println!("redirects            {redirects:>10}");
    println!("redirects failed     {:>10}", soaked.failed);
    println!("minted               {:>10}", outcome.minted);
    println!("stored               {:>10}", outcome.stored);
    println!("rows                 {:>10}", outcome.rows);
    println!("duplicate rows       {:>10}", outcome.rows - outcome.ids);
    println!("delivered again      {:>10}", outcome.again);
    println!("rejected             {:>10}", outcome.rejected);
    println!(
        "soaked at            {:>10.0} visits/s, p50 {:.1} ms, p99 {:.1} ms",
        soaked.load.rate(),
        millis(0.5),
        millis(0.99)
    );
}
