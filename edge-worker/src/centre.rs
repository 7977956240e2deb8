//! The client of the control plane: signed requests that ask for a link or hand over clicks.

use shared::{
    click::Batch,
    internal::{self, Direction, SIGNATURE_HEADER, TIMESTAMP_HEADER},
    record::Fill,
};

use crate::{
    config::Config,
    runtime::{self, Thrown},
};

/// How long a fill may take, in milliseconds: a visitor waits for it.
const FILL_TIMEOUT_MILLIS: u32 = 3_000;

/// Why the control plane gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No response came back in time.
    #[error("unreachable: {0}")]
    Unreachable(#[from] Thrown),
    /// The response has another status than 200.
    #[error("status {0}")]
    Status(u16),
    /// The body of the response is not what was asked for.
    #[error("unreadable response: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Asks for a link and its domain. `host` and `slug` are valid names, so a query takes them without escaping.
pub(crate) async fn fill(config: &Config, host: &str, slug: &str) -> Result<Fill, Failure> {
    let target = ["/internal/v1/links?host=", host, "&slug=", slug].concat();
    let answer = send(config, "GET", &target, None, FILL_TIMEOUT_MILLIS).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// Hands over clicks within `limit` milliseconds. Success means that each is stored or counted as rejected.
pub(crate) async fn clicks(config: &Config, batch: &Batch<'_>, limit: u32) -> Result<(), Failure> {
    clicks_as_text(config, &batch.to_json(), limit).await
}

/// Hands over a batch that is serialised already.
pub(crate) async fn clicks_as_text(config: &Config, batch: &str, limit: u32) -> Result<(), Failure> {
    // The receipt says the same as the status.
    send(config, "POST", "/internal/v1/clicks", Some(batch), limit).await?;
    Ok(())
}

/// Sends a signed request and returns the body of its response, whose status must be 200.
async fn send(
    config: &Config,
    method: &str,
    target: &str,
    body: Option<&str>,
    timeout: u32,
) -> Result<String, Failure> {
    let signed = internal::Request { method, target, body: body.map(str::as_bytes).unwrap_or_default() };
    let (timestamp, signature) = internal::sign(&config.edge_secrets, Direction::EdgeToControl, signed, runtime::now());
    let mut headers = [TIMESTAMP_HEADER, ": ", &timestamp, "\n", SIGNATURE_HEADER, ": ", &signature].concat();
    if body.is_some() {
        headers.push_str("\ncontent-type: application/json");
    }
    let url = [&config.control_api_url, target].concat();
    let answer = runtime::fetch(method, &url, &headers, body, timeout).await?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(Failure::Status(status)),
    }
}
