//! The ways into the edge's store, as the jobs see them.

use std::time::Duration;

use async_trait::async_trait;
use shared::record::Entry;

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
