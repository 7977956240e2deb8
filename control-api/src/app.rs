//! The running service: its settings and its handles. It holds no state that matters (counts of requests are all),
//! so that any number of instances can run against one database.

use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Context as _;
use domain::{Context, context::Handles, events::outcome::EventCoalescer, sources::lookup::SourceLookups};
use model::time::Clock;
use object_store::{ObjectStore, path::Path};
use shared::KeyRing;
use store::{packs::Cache, pool::Pools};
use tokio::sync::Semaphore;
use web::{State, auth::OperatorKey, limits::Limits};

use crate::{
    config::Config,
    publish::{self, Publisher},
};

/// How many batches of clicks one instance reads and stores at once. More are sent away: they come again, and what is
/// held of them stays within some tens of megabytes.
const BATCHES: usize = 64;
/// The same of batches of events, of up to a megabyte each. They have turns of their own, so that no customer's import
/// keeps clicks waiting.
const EVENT_BATCHES: usize = 32;

/// The service, cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// Settings and handles of the service; those that rules and transactions need are in [`Context`].
pub struct Inner {
    context: Context,
    /// Settings.
    pub config: Config,
    /// Storage of exports, and the path below which they are written.
    pub exports: (Arc<dyn ObjectStore>, Path),
    /// The way into the edge's store; `None` where nothing is published.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// Limits of requests.
    pub limits: Limits,
    /// One permit for each batch of clicks that this instance may hold at once.
    pub batches: Semaphore,
    /// One permit for each batch of events.
    pub event_batches: Semaphore,
}

impl Deref for Inner {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.context
    }
}

impl State for App {
    fn context(&self) -> &Context {
        &self.context
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn operator_key(&self) -> &OperatorKey {
        &self.config.operator_key
    }

    fn edge_secrets(&self) -> &KeyRing {
        &self.config.edge_secrets
    }
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
    pub async fn connect(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let replica = config.database_read_url.as_deref();
        let pools = Pools::connect(&config.database_url, replica, config.database_connections).await?;
        // A second start in one process (tests) finds it installed; that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exports = open_store(&config)?;
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(10)).build().context("building the HTTP client")?;
        let publisher = publish::open(&config, &pools.writes, &http, &clock)?;
        let limits = Limits::new(
            config.rate_limit_api,
            config.rate_limit_events,
            config.rate_limit_refused,
            config.forwarded_hops,
        );
        let context = Context::new(Handles {
            db: pools.writes,
            reads: pools.reads,
            replica: pools.replica,
            clock,
            token_secrets: config.token_secrets.clone(),
            data_keys: config.data_keys.clone(),
            lookups: SourceLookups::default(),
            events: EventCoalescer::default(),
            packs: Cache::new(config.report_cache_mb * 1_000_000),
        });
        Ok(Self(Arc::new(Inner {
            context,
            config,
            exports,
            publisher,
            limits,
            batches: Semaphore::new(BATCHES),
            event_batches: Semaphore::new(EVENT_BATCHES),
        })))
    }
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
