//! The running service: its settings and its handles. It holds no state that matters (counts of requests are all),
//! so that any number of instances can run against one database.

use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Context as _;
use object_store::{ObjectStore, path::Path};
use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Semaphore;

use crate::{
    config::Config,
    db::packs::Cache,
    domain::{events::Singles, sources::Lookups},
    http::limits::Limits,
    publish::{self, Publisher},
    time::Ambient,
};

/// How long a transaction that writes may take. `as_of` relies on it: what was begun this long ago is visible
/// or gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is taken for alive.
const TRUSTED: Duration = Duration::from_secs(1);

/// How many batches of clicks one instance reads and stores at once. More are sent away: they come again, and what is
/// held of them stays within some tens of megabytes.
const BATCHES: usize = 64;
/// The same of batches of events, of up to a megabyte each. They have turns of their own, so that no customer's import
/// keeps clicks waiting.
const EVENT_BATCHES: usize = 32;

/// The service, cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What the service holds.
pub struct Inner {
    /// Settings.
    pub config: Config,
    /// Connections for requests: every transaction ends within [`WRITE_TIMEOUT`].
    pub db: PgPool,
    /// Connections for what may take longer and never writes facts.
    pub reads: PgPool,
    /// Likewise, to the replica that reports and exports prefer.
    pub replica: Option<PgPool>,
    /// Clock and randomness.
    pub ambient: Ambient,
    /// Where exports are written, and below which path.
    pub exports: (Arc<dyn ObjectStore>, Path),
    /// The way into the edge's store; `None` where nothing is published.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// How often callers may ask this instance.
    pub limits: Limits,
    /// One permit for each batch of clicks that this instance may hold at once.
    pub batches: Semaphore,
    /// One permit for each batch of events.
    pub event_batches: Semaphore,
    /// Who wants to know what verifies a source.
    pub lookups: Lookups,
    /// Events that came one by one.
    pub singles: Singles,
    /// What reports have read lately.
    pub packs: Cache,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Connects everything. The database must be reachable; the worker need not be.
    ///
    /// # Errors
    /// What could not be reached or read, in words.
    pub async fn connect(config: Config, ambient: Ambient) -> anyhow::Result<Self> {
        let options = connect_options(&config.database_url).context("DATABASE_URL")?;
        let db = pool(Some(WRITE_TIMEOUT))
            .max_connections(config.database_connections)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                // One that was used a moment ago is as good as tested; a test costs as much as a small statement.
                Box::pin(async move {
                    if about.idle_for >= TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options.clone())
            .await
            .context("connecting to Postgres (DATABASE_URL)")?;
        let reads = pool(None)
            .max_connections((config.database_connections / 2).max(2))
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .context("connecting to Postgres (DATABASE_URL)")?;
        // Lazily: a replica that is away keeps nobody from starting.
        let replica = match &config.database_read_url {
            Some(url) => {
                let pool = pool(None)
                    .max_connections((config.database_connections / 2).max(2))
                    .acquire_timeout(Duration::from_secs(2));
                Some(pool.connect_lazy_with(connect_options(url).context("DATABASE_READ_URL")?))
            }
            None => None,
        };
        // A second start in one process (tests) finds it installed; that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exports = open_store(&config)?;
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(10)).build().context("building the HTTP client")?;
        let publisher = publish::open(&config, &db, &http, &ambient)?;
        let limits = Limits::new(&config);
        let packs = Cache::new(config.report_cache_mb * 1_000_000);
        Ok(Self(Arc::new(Inner {
            config,
            db,
            reads,
            replica,
            ambient,
            exports,
            publisher,
            limits,
            batches: Semaphore::new(BATCHES),
            event_batches: Semaphore::new(EVENT_BATCHES),
            lookups: Lookups::default(),
            singles: Singles::default(),
            packs,
        })))
    }
}

/// A pool whose connections reckon in UTC, end transactions that take longer than a bound, and compile no statement before
/// running it (`jit`), which takes longer than any of ours. They are told so by a statement: poolers between us and Postgres
/// pass no start-up options on.
#[must_use]
pub fn pool(bound: Option<Duration>) -> PgPoolOptions {
    let bound = bound.map_or(0, |bound| bound.as_millis()).to_string();
    PgPoolOptions::new().after_connect(move |connection, _| {
        let bound = bound.clone();
        Box::pin(async move {
            sqlx::query!(
                "select set_config('timezone', 'UTC', false) as zone, set_config('jit', 'off', false) as jit,
                 set_config('transaction_timeout', $1, false) as bound",
                bound
            )
            .fetch_one(connection)
            .await?;
            Ok(())
        })
    })
}

/// Whom every connection of the service is made to.
///
/// # Errors
/// Where the URL is none.
pub fn connect_options(url: &str) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = url.parse().context("must be a postgres:// URL")?;
    Ok(options.application_name("nimriz-control-api"))
}

/// Opens the storage that `NIM_EXPORT_URL` names. What its cloud wants to know comes from the variables that every tool
/// of that cloud reads, and from `NIM_EXPORT_OPTIONS`, which win.
fn open_store(config: &Config) -> anyhow::Result<(Arc<dyn ObjectStore>, Path)> {
    let url = &config.export_url;
    if url.scheme() == "file" {
        let folder = url.to_file_path().ok().context("NIM_EXPORT_URL must be file:/// and an absolute path")?;
        std::fs::create_dir_all(&folder).with_context(|| format!("making the export folder {}", folder.display()))?;
    }
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("GOOGLE_"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value));
    let given = config.export_options.iter().map(|option| (option.name.clone(), option.value.clone()));
    let (store, path) = object_store::parse_url_opts(url, environment.chain(given)).context("NIM_EXPORT_URL")?;
    Ok((Arc::from(store), path))
}
