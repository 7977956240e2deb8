//! How records get into the edge's store, and what it holds. Two ways behind one trait: Cloudflare's KV API, and the
//! worker's own signed door where there is no such API.
//!
//! When something is published, and what, is decided by [`jobs::replicator`](crate::jobs::replicator) and
//! [`jobs::reconciler`](crate::jobs::reconciler).

mod kv;
mod publisher;
mod push;

pub use publisher::{Failure, Limits, Publisher};

use std::sync::Arc;

use store::PgPool;

use crate::config::{Config, PublisherKind};
use model::time::Clock;

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
