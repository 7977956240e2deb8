//! How records get into the edge's store, and what it holds. Two ways behind one trait: Cloudflare's KV API, and the
//! worker's own signed door where there is no such API.
//!
//! When something is published, and what, is decided by [`jobs::replicator`](crate::jobs::replicator) and
//! [`jobs::sweep`](crate::jobs::sweep).

mod kv;
mod push;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shared::record::Entry;
use store::PgPool;

use crate::config::{Config, PublisherKind};
use model::time::Clock;

/// A way into the edge's store.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Stores records, and answers the keys of those that were not stored though the others were.
    async fn publish(&self, entries: &[Entry]) -> Result<Vec<String>, Failure>;

    /// What is stored under each of these keys, in their order.
    async fn held(&self, keys: &[String]) -> Result<Vec<Option<String>>, Failure>;

    /// Tells the edge that the centre is there, so that it hands over what it had to keep. Where the edge has a clock of
    /// its own for that, there is nothing to do.
    async fn nudge(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// What it takes and how it wants to be treated.
    fn limits(&self) -> Limits;
}

/// See [`Publisher::limits`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Records in one publication.
    pub entries: i64,
    /// Keys in one look.
    pub keys: i64,
    /// Longer than one publication may take, in seconds.
    pub lease_seconds: f64,
    /// The longest pause between two tries.
    pub longest_pause: Duration,
}

/// A request that brought nothing certain.
#[derive(Debug)]
pub struct Failure {
    /// In words.
    pub why: anyhow::Error,
    /// How long the other side wants to be left alone.
    pub pause: Option<Duration>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.why)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(why: E) -> Self {
        Self { why: why.into(), pause: None }
    }
}

/// The publisher that the settings name.
///
/// # Errors
/// A setting that is missing.
pub fn open(
    config: &Config,
    db: &PgPool,
    http: &reqwest::Client,
    clock: &Clock,
) -> anyhow::Result<Option<Arc<dyn Publisher>>> {
    Ok(match config.publisher {
        PublisherKind::Off => None,
        PublisherKind::Push => Some(Arc::new(push::Push {
            http: http.clone(),
            edge_url: config.edge_url.clone(),
            secrets: config.edge_secrets.clone(),
            clock: clock.clone(),
        })),
        PublisherKind::Kv => Some(Arc::new(kv::Kv::open(&config.kv, db, http)?)),
    })
}
