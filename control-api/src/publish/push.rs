//! The worker's own doors: signed requests to the worker itself, which writes to the store it has. For workerd without
//! Cloudflare, and for a developer's machine.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use shared::{
    KeyRing,
    internal::{self, Direction},
    record::{Entry, Inquiry, Replication},
};
use url::Url;

use super::publisher::{Failure, Limits, Publisher};
use model::time::Clock;

pub(super) struct Push {
    pub(super) http: reqwest::Client,
    pub(super) edge_url: Url,
    pub(super) secrets: KeyRing,
    pub(super) clock: Clock,
}

impl Push {
    async fn send(&self, path: &str, body: &impl Serialize) -> Result<reqwest::Response, Failure> {
        let url = self.edge_url.join(path)?;
        let body = serde_json::to_vec(body)?;
        let request = internal::Request { method: "POST", target: url.path(), body: &body };
        let (timestamp, signature) = internal::sign(&self.secrets, Direction::ControlToEdge, request, self.clock.now());
        let request = self
            .http
            .post(url)
            .header(internal::TIMESTAMP_HEADER, timestamp)
            .header(internal::SIGNATURE_HEADER, signature)
            .header("content-type", "application/json");
        let answer = request.body(body).send().await?;
        let status = answer.status();
        if status.is_success() {
            Ok(answer)
        } else {
            Err(Failure { why: anyhow::anyhow!("the worker answered {status}"), pause: None })
        }
    }
}

#[async_trait]
impl Publisher for Push {
    async fn publish(&self, entries: &[Entry]) -> Result<Vec<String>, Failure> {
        self.send(internal::REPLICATE, &Replication { entries: entries.to_vec() }).await?;
        Ok(vec![])
    }

    async fn held(&self, keys: &[String]) -> Result<Vec<Option<String>>, Failure> {
        let answer = self.send(internal::RECORDS, &Inquiry { keys: keys.to_vec() }).await?;
        let found: Replication = serde_json::from_slice(&answer.bytes().await?)?;
        let mut found: HashMap<String, String> =
            found.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
        Ok(keys.iter().map(|key| found.remove(key)).collect())
    }

    async fn nudge(&self) -> Result<(), Failure> {
        self.send(internal::DRAIN, &serde_json::json!({})).await?;
        Ok(())
    }

    fn limits(&self) -> Limits {
        // A worker that is back is told within 5 s.
        Limits { entries: 200, keys: 100, lease_seconds: 30.0, longest_pause: Duration::from_secs(2) }
    }
}
