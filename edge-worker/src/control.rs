//! Signed requests to the control plane: fills and click batches.

use shared::{
    click::Batch,
    internal::{self, Direction, SIGNATURE_HEADER, TIMESTAMP_HEADER},
    record::Fill,
};
use worker::{AbortSignal, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response, web_sys};

use crate::{clock, config::Config};

/// A visitor waits for a fill.
const FILL_TIMEOUT_MILLIS: u32 = 3_000;
/// Nobody waits for a batch.
const CLICKS_TIMEOUT_MILLIS: u32 = 15_000;

/// Why the control plane gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing came back in time.
    #[error("unreachable: {0}")]
    Unreachable(#[from] worker::Error),
    /// It refused or failed.
    #[error("status {0}")]
    Status(u16),
    /// It answered something else.
    #[error("unreadable answer: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Asks for a link and its domain. `host` and `slug` are valid names, so they stand in a query as they are.
pub(crate) async fn fill(config: &Config, host: &str, slug: &str) -> Result<Fill, Failure> {
    let target = ["/internal/v1/links?host=", host, "&slug=", slug].concat();
    let mut response = send(config, Method::Get, &target, None, FILL_TIMEOUT_MILLIS).await?;
    Ok(serde_json::from_str(&response.text().await?)?)
}

/// Hands over clicks. Success means that each is stored or counted as rejected.
pub(crate) async fn clicks(config: &Config, batch: &Batch<'_>) -> Result<(), Failure> {
    let body = serde_json::to_string(batch)?;
    let mut response = send(config, Method::Post, "/internal/v1/clicks", Some(&body), CLICKS_TIMEOUT_MILLIS).await?;
    // The receipt says the same as the status. Reading it to its end frees the connection.
    response.text().await?;
    Ok(())
}

async fn send(
    config: &Config,
    method: Method,
    target: &str,
    body: Option<&str>,
    timeout: u32,
) -> Result<Response, Failure> {
    let signed =
        internal::Request { method: method.as_ref(), target, body: body.map(str::as_bytes).unwrap_or_default() };
    let (timestamp, signature) = internal::sign(&config.edge_secrets, Direction::EdgeToControl, signed, clock::now());
    let headers = Headers::new();
    headers.set(TIMESTAMP_HEADER, &timestamp)?;
    headers.set(SIGNATURE_HEADER, &signature)?;
    if body.is_some() {
        headers.set("content-type", "application/json")?;
    }
    let init = RequestInit {
        method,
        headers,
        body: body.map(Into::into),
        // Signed for one door; a redirect would carry the signature elsewhere.
        redirect: RequestRedirect::Manual,
        ..RequestInit::new()
    };
    let url = [&config.control_api_url, target].concat();
    let request = Fetch::Request(Request::new_with_init(&url, &init)?);
    let deadline = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(timeout));
    let response = request.send_with_signal(&deadline).await?;
    match response.status_code() {
        200 => Ok(response),
        status => Err(Failure::Status(status)),
    }
}
