//! What is measured of the central service: release builds of control-api, one or several, on a Postgres of their own
//! that flushes as in production.
//!
//! Databases of a long history are made once and kept in `.nimriz/bench-pg`; `cargo xtask reset` drops them.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::json;
use shared::{KeyRing, id::WorkspaceId};
use tokio::process::Command;

use super::proc;
use crate::{
    cargo,
    context::Context,
    demo::api::{Api, text},
    generate::{self, Size},
    node::Tools,
    ports,
    postgres::{self, Postgres, Purpose},
    process,
    secrets::Secrets,
    service::Service,
    ui::Step,
};

/// The database of one measurement; emptied before each.
const EMPTY: &str = "bench";

/// A Postgres with one database in use, and the service's program.
pub(super) struct Centre<'a> {
    context: &'a Context,
    binary: PathBuf,
    secrets: Secrets,
    postgres: Postgres,
    database: String,
}

/// A workspace, and what opens it.
pub(super) struct Tenant {
    pub(super) workspace: WorkspaceId,
    pub(super) api_key: String,
}

/// A running control-api. Dropping it stops it.
pub(super) struct Instance {
    service: Service,
    pub(super) port: u16,
    pub(super) url: String,
}

impl<'a> Centre<'a> {
    /// Starts Postgres with an empty database.
    pub(super) async fn empty(context: &'a Context) -> anyhow::Result<Self> {
        let mut centre = Self::start(context).await?;
        centre.create(EMPTY).await?;
        EMPTY.clone_into(&mut centre.database);
        Ok(centre)
    }

    /// Starts Postgres with a database that holds a generated history, made now unless it was made before, and the
    /// workspace that the history is of. A size names its database, its start doesn't.
    pub(super) async fn generated(context: &'a Context, size: &Size) -> anyhow::Result<(Self, Tenant)> {
        let mut centre = Self::start(context).await?;
        let tenant = centre.turn_to(size).await?;
        Ok((centre, tenant))
    }

    /// Puts another such database into use. Instances that run keep to theirs.
    pub(super) async fn turn_to(&mut self, size: &Size) -> anyhow::Result<Tenant> {
        const UNFINISHED: &str = "unfinished";
        let Size { clicks, partners, links, days, seed, .. } = size;
        self.database = format!("history_{clicks}_{partners}_{links}_{days}_{seed}");
        let server = postgres::connect(&self.postgres.url("postgres")).await?;
        let there = server.query_opt("select 1 from pg_database where datname = $1", &[&self.database]).await?;
        if there.is_none() {
            self.create(UNFINISHED).await?;
            generate::make(&self.binary, &self.postgres.url(UNFINISHED), size).await?;
            // Else what was written is only settled while others are measured.
            self.postgres.execute(UNFINISHED, "vacuum (analyze)").await?;
            server.batch_execute(&format!("alter database {UNFINISHED} rename to {}", self.database)).await?;
        }
        // What a newer version of the service expects, and what it would get to within minutes.
        self.run(&["migrate"]).await?;
        let step = Step::start("Packing the rollups");
        self.run(&["rollups", "pack"]).await?;
        step.done("");
        self.postgres.execute("postgres", "checkpoint").await?;
        let sql = self.sql().await?;
        let slug = format!("generated-{seed}");
        let row = sql.query_one("select id::text from workspaces where slug = $1", &[&slug]).await?;
        let workspace = WorkspaceId::from_uuid(row.get::<_, String>(0).parse()?);
        Ok(Tenant { workspace, api_key: size.api_key() })
    }

    async fn start(context: &'a Context) -> anyhow::Result<Self> {
        // Postgres comes from there.
        let _tools = Tools::ensure(context).await?;
        // Another build of it can be measured as well, to compare with.
        let binary = match std::env::var_os("NIM_BENCH_CONTROL_API") {
            Some(binary) => PathBuf::from(binary),
            None => cargo::build_released_control_api(context).await?,
        };
        // Those of the checkout, because the data outlives this run.
        let secrets = Secrets::of(context)?;
        let postgres = Postgres::start(context, Purpose::Bench, ports::any_free()?, &secrets.database_password).await?;
        Ok(Self { context, binary, secrets, postgres, database: String::new() })
    }

    /// Makes a database anew.
    async fn create(&self, name: &str) -> anyhow::Result<()> {
        let server = postgres::connect(&self.postgres.url("postgres")).await?;
        server.batch_execute(&format!("drop database if exists {name} with (force)")).await?;
        server.batch_execute(&format!("create database {name}")).await?;
        Ok(())
    }

    /// The database's address.
    pub(super) fn database_url(&self) -> String {
        self.postgres.url(&self.database)
    }

    /// A connection to the database.
    pub(super) async fn sql(&self) -> anyhow::Result<tokio_postgres::Client> {
        postgres::connect(&self.database_url()).await.context("connecting to the measured database")
    }

    /// The processor time that Postgres has used so far.
    pub(super) fn postgres_cpu_time(&self) -> anyhow::Result<Duration> {
        proc::family_cpu_time(self.postgres.service.process_id()?)
    }

    /// Runs a command of control-api to its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("DATABASE_URL", self.database_url()).env("NIM_LOG", "error");
        process::run(command).await
    }

    /// Starts an instance on a free port. Its settings are the defaults, but it publishes nothing and throttles nobody;
    /// `settings` are environment variables over those.
    pub(super) async fn instance(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Instance> {
        let port = ports::any_free()?;
        let url = format!("http://127.0.0.1:{port}");
        let exports = self.context.state("bench-exports/-")?.with_file_name("");
        let exports = reqwest::Url::from_directory_path(exports).ok().context("the checkout's path is not absolute")?;
        let mut serve = Command::new(&self.binary);
        serve
            .current_dir(&self.context.root)
            .arg("serve")
            .env("DATABASE_URL", self.database_url())
            .env("NIM_LISTEN", format!("127.0.0.1:{port}"))
            .env("NIM_OPERATOR_KEY", &self.secrets.operator_key)
            .env("NIM_DATA_KEYS", &self.secrets.data_keys)
            .env("TOKEN_SECRETS", &self.secrets.token_secrets)
            .env("EDGE_SECRETS", &self.secrets.edge_secrets)
            .env("NIM_PUBLISHER", "off")
            .env("NIM_RATE_LIMIT_API", "off")
            .env("NIM_RATE_LIMIT_EVENTS", "off")
            .env("NIM_RATE_LIMIT_REFUSED", "off")
            .env("NIM_LOG", "warn")
            .env("NIM_EXPORT_URL", exports.as_str())
            .envs(settings.iter().copied());
        let log = self.context.state(&format!("logs/control-api-bench-{name}.log"))?;
        let mut service = Service::start("the control API", serve, log, Signal::SIGTERM)?;
        let http = Client::builder().no_proxy().build()?;
        let readiness = format!("{url}/readyz");
        let ready = || async { http.get(&readiness).send().await.is_ok_and(|answer| answer.status().is_success()) };
        service.until(Duration::from_secs(60), ready).await?;
        Ok(Instance { service, port, url })
    }

    /// Makes a workspace with a domain, 16 partners in two programs and 200 links, a tenth of which belong to nobody.
    pub(super) async fn tenant(&self, instance: &Instance) -> anyhow::Result<Tenant> {
        let http = Client::builder().no_proxy().build()?;
        let operator = Api::new(&http, &instance.url, &self.secrets.operator_key);
        let body = json!({"name": "Bench", "slug": "bench", "plan": "enterprise"});
        let made = operator.create("/v1/workspaces", &body).await?.context("the database is not empty")?;
        let api_key = text(&made, "/api_key/key")?;
        let api = operator.with_key(&api_key);
        let terms = json!({"basis": "percentage", "rate_bps": 1_000, "applies_to": ["sale"], "hold_days": 30});
        api.create("/v1/domains", &json!({"hostname": "go.bench.example"})).await?;
        for key in ["creators", "agencies"] {
            api.create("/v1/programs", &json!({"name": key, "key": key, "reward_terms": terms})).await?;
        }
        for n in 0..16 {
            let program = if n % 2 == 0 { "key:creators" } else { "key:agencies" };
            let body = json!({"display_name": format!("Partner {n}"), "key": format!("partner-{n}"),
                "primary_program": program});
            api.create("/v1/partners", &body).await?;
        }
        let links: Vec<_> = (0..200)
            .map(|n| {
                let mut link = json!({"domain": "go.bench.example", "slug": format!("l{n}"),
                    "destination": format!("https://shop.example.com/products/{n}?ref=bench")});
                if n % 10 != 0 {
                    link["partner"] = json!(format!("key:partner-{}", n % 16));
                }
                link
            })
            .collect();
        let made_links = api.create("/v1/links/bulk", &json!({"links": links})).await?.unwrap_or_default();
        let stored = self.sql().await?.query_one("select count(*) from links", &[]).await?.get::<_, i64>(0);
        ensure!(stored == 200, "the links could not be made: {made_links}");
        Ok(Tenant { workspace: text(&made, "/id")?.parse()?, api_key })
    }

    /// The secrets shared with the edge.
    pub(super) fn edge_secrets(&self) -> anyhow::Result<KeyRing> {
        self.secrets.edge_secrets.parse().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// The secrets of click tokens.
    pub(super) fn token_secrets(&self) -> anyhow::Result<KeyRing> {
        self.secrets.token_secrets.parse().map_err(|error| anyhow::anyhow!("{error}"))
    }
}

impl Instance {
    /// The processor time it has used so far.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        proc::cpu_time(self.service.process_id()?)
    }

    /// The memory it holds now.
    pub(super) fn resident_megabytes(&self) -> anyhow::Result<f64> {
        proc::resident_megabytes(self.service.process_id()?)
    }

    /// Ends it as a crash would.
    pub(super) async fn crash(self) -> anyhow::Result<()> {
        self.service.crash().await
    }
}
