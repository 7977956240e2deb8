//! Everything the service is told from outside, in one place. `control-api serve --help` lists it.

use std::net::SocketAddr;

use clap::Args;
use shared::KeyRing;
use url::Url;

use web::{auth::OperatorKey, limits::RateLimit};

/// Settings of `serve`. Secrets never appear in `--help` or logs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Postgres, for example `postgres://user:password@host/database`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,

    /// A replica that reports and exports read instead; one that lags or is away is passed by
    #[arg(long, env = "DATABASE_READ_URL", hide_env_values = true)]
    pub database_read_url: Option<String>,

    /// Most connections of this instance to Postgres
    #[arg(long, env = "NIM_DATABASE_CONNECTIONS", default_value_t = 20)]
    pub database_connections: u32,

    /// Megabytes of memory for what reports have read lately; 0 keeps nothing
    #[arg(long, env = "NIM_REPORT_CACHE_MB", default_value_t = 64)]
    pub report_cache_mb: u64,

    /// Address to listen on
    #[arg(long, env = "NIM_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The operator's bearer key: makes workspaces. At least 32 characters
    #[arg(long, env = "NIM_OPERATOR_KEY", hide_env_values = true, value_parser = OperatorKey::parse)]
    pub operator_key: OperatorKey,

    /// Ring `kid:secret,…` that encrypts source secrets at rest
    #[arg(long, env = "NIM_DATA_KEYS", hide_env_values = true)]
    pub data_keys: KeyRing,

    /// Ring `kid:secret,…` that signs click tokens; the worker has the same
    #[arg(long, env = "TOKEN_SECRETS", hide_env_values = true)]
    pub token_secrets: KeyRing,

    /// Ring `kid:secret,…` that signs requests between worker and service; the worker has the same
    #[arg(long, env = "EDGE_SECRETS", hide_env_values = true)]
    pub edge_secrets: KeyRing,

    /// How records reach the edge: `kv` by Cloudflare's API, `push` signs them to the worker's `/_nim/replicate`, `off`
    /// leaves them in the outbox
    #[arg(long, env = "NIM_PUBLISHER", default_value = "push")]
    pub publisher: PublisherKind,

    /// Base URL of the worker, for `push`
    #[arg(long, env = "NIM_EDGE_URL", default_value = "http://127.0.0.1:8787")]
    pub edge_url: Url,

    /// Cloudflare's KV, for `kv`
    #[command(flatten)]
    pub kv: KvConfig,

    /// Minutes from one comparison of the edge's store with the database to the next; 0 compares never
    #[arg(long, env = "NIM_SWEEP_MINUTES", default_value_t = 60)]
    pub sweep_minutes: u32,

    /// Where exports are written: `file:///var/lib/nimriz/exports`, `s3://bucket/prefix` or `gs://bucket/prefix`
    ///
    /// Without it, the folder `exports` below the working directory
    #[arg(long, env = "NIM_EXPORT_URL", default_value_t = exports_here())]
    pub export_url: Url,

    /// Options `name=value,…` of that storage, over those of the environment's `AWS_…` or `GOOGLE_…` variables
    #[arg(long, env = "NIM_EXPORT_OPTIONS", hide_env_values = true, value_parser = option, value_delimiter = ',')]
    pub export_options: Vec<StorageOption>,

    /// Days until an export's file is removed
    #[arg(long, env = "NIM_EXPORT_DAYS", default_value_t = 7)]
    pub export_days: u16,

    /// Requests of one API key, `requests/seconds` or `off`; per instance, like all limits
    #[arg(long, env = "NIM_RATE_LIMIT_API", default_value = "12000/60")]
    pub rate_limit_api: RateLimit,

    /// Requests of one source of events; a batch is one
    #[arg(long, env = "NIM_RATE_LIMIT_EVENTS", default_value = "600000/60")]
    pub rate_limit_events: RateLimit,

    /// Requests of one client address whose key or signature doesn't hold
    #[arg(long, env = "NIM_RATE_LIMIT_REFUSED", default_value = "6000/60")]
    pub rate_limit_refused: RateLimit,

    /// Trusted proxies in front: the client's address is the one so many places from the end of `X-Forwarded-For`.
    /// 0: it is the connection's
    #[arg(long, env = "NIM_FORWARDED_HOPS", default_value_t = 0)]
    pub forwarded_hops: u8,
}

/// Where the records are at Cloudflare.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_field_names, reason = "they are named as on the command line")]
pub struct KvConfig {
    /// Cloudflare account, for `kv`
    #[arg(long, env = "NIM_KV_ACCOUNT_ID", required_if_eq("publisher", "kv"))]
    pub kv_account_id: Option<String>,

    /// KV namespace that the worker binds as LINKS, for `kv`
    #[arg(long, env = "NIM_KV_NAMESPACE_ID", required_if_eq("publisher", "kv"))]
    pub kv_namespace_id: Option<String>,

    /// API token that may edit Workers KV, for `kv`
    #[arg(long, env = "NIM_KV_TOKEN", hide_env_values = true, required_if_eq("publisher", "kv"))]
    pub kv_token: Option<ApiToken>,

    /// Base URL of Cloudflare's API
    #[arg(long, env = "NIM_KV_API_URL", default_value = "https://api.cloudflare.com/client/v4")]
    pub kv_api_url: Url,
}

/// A token for somebody else's API; printed nowhere.
#[derive(Clone)]
pub struct ApiToken(String);

impl ApiToken {
    /// The token, for the one request that carries it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ApiToken {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiToken")
    }
}

/// How records reach the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PublisherKind {
    /// Cloudflare's KV API.
    Kv,
    /// Signed push to the worker.
    Push,
    /// Not at all.
    Off,
}

/// One option of the storage of exports. Its value may be a secret, so it is printed nowhere.
#[derive(Clone)]
pub struct StorageOption {
    /// Its name, as `object_store` knows it: `aws_endpoint`, `google_service_account`, …
    pub name: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for StorageOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// A folder of the working directory, made with the first export.
fn exports_here() -> Url {
    let here = std::env::current_dir().unwrap_or_else(|_| std::path::PathBuf::from("/"));
    // Only a relative path has no URL.
    Url::from_directory_path(here.join("exports"))
        .unwrap_or_else(|()| unreachable!("the working directory is absolute"))
}

fn option(text: &str) -> Result<StorageOption, String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    Ok(StorageOption { name: name.to_ascii_lowercase(), value: value.to_owned() })
}
