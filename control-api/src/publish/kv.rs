//! Cloudflare's KV by its REST API: bulk writes and bulk reads.
//!
//! Limits as documented in 2026: 10,000 pairs and 100 MB per write, 100 keys per read, one write per second and key, and
//! 1,200 requests in 5 minutes for everything that one account asks of the API, which is why instances take turns by a
//! row in Postgres.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use reqwest::{Method, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use shared::record::Entry;
use store::PgPool;
use url::Url;

use super::publisher::{Failure, Limits, Publisher};
use crate::config::KvConfig;

/// Between two requests of all instances together: 1,000 in 5 minutes, which leaves something for a person's.
const SPACING: Duration = Duration::from_millis(300);
/// A write of some thousand records takes a while.
const TIMEOUT: Duration = Duration::from_secs(45);
/// After a refusal that doesn't say how long.
const PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Kv {
    http: reqwest::Client,
    /// `…/storage/kv/namespaces/{id}/`
    namespace: Url,
    token: String,
    db: PgPool,
}

/// What every answer of the API is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Fault>,
    result: Option<T>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    unsuccessful_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Read {
    values: HashMap<String, Option<String>>,
}

impl Kv {
    pub(super) fn open(config: &KvConfig, db: &PgPool, http: &reqwest::Client) -> anyhow::Result<Self> {
        let wanted =
            |value: &Option<String>, name| value.clone().with_context(|| format!("NIM_PUBLISHER=kv needs {name}"));
        let account = wanted(&config.kv_account_id, "NIM_KV_ACCOUNT_ID")?;
        let id = wanted(&config.kv_namespace_id, "NIM_KV_NAMESPACE_ID")?;
        let token = config.kv_token.as_ref().context("NIM_PUBLISHER=kv needs NIM_KV_TOKEN")?.reveal().to_owned();
        let mut namespace = config.kv_api_url.clone();
        namespace
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("NIM_KV_API_URL must be an http(s) URL"))?
            .pop_if_empty()
            .extend(["accounts", &account, "storage", "kv", "namespaces", &id, ""]);
        Ok(Self { http: http.clone(), namespace, token, db: db.clone() })
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let wait = store::outbox::api_turn(&self.db, SPACING).await?;
        tokio::time::sleep(wait).await;
        let request = self.http.request(method, self.namespace.join(path)?).bearer_auth(&self.token).timeout(TIMEOUT);
        let answer = request.json(body).send().await?;
        let status = answer.status();
        let pause = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let raw = answer.bytes().await?;
        let envelope: Option<Envelope<T>> = serde_json::from_slice(&raw).ok();
        if status.is_success()
            && let Some(Envelope { success: true, result: Some(result), .. }) = envelope
        {
            return Ok(result);
        }
        let faults = envelope.map(|envelope| envelope.errors).unwrap_or_default();
        let faults: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.code, fault.message)).collect();
        let why = anyhow::anyhow!("Cloudflare answered {status}: {}", faults.join("; "));
        let slow_down = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        let pause = slow_down.then(|| pause.map_or(PAUSE, Duration::from_secs));
        if let Some(pause) = pause {
            // For all instances: the limit is the account's.
            store::outbox::api_rest(&self.db, pause).await?;
        }
        Err(Failure { why, pause })
    }
}

#[async_trait]
impl Publisher for Kv {
    async fn publish(&self, entries: &[Entry]) -> Result<Vec<String>, Failure> {
        let written: Written = self.ask(Method::PUT, "bulk", &entries).await?;
        Ok(written.unsuccessful_keys)
    }

    async fn held(&self, keys: &[String]) -> Result<Vec<Option<String>>, Failure> {
        let distinct: HashSet<&String> = keys.iter().collect();
        let mut read: Read = self.ask(Method::POST, "bulk/get", &json!({"keys": distinct, "type": "text"})).await?;
        Ok(keys.iter().map(|key| read.values.remove(key).flatten()).collect())
    }

    fn limits(&self) -> Limits {
        Limits { entries: 2_000, keys: 100, lease_seconds: 120.0, longest_pause: Duration::from_secs(60) }
    }
}
