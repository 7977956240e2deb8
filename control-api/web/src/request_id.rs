//! One id per request, in every log line, problem document and audit row.

use axum::{extract::Request, http::HeaderValue, middleware::Next, response::Response};
use tracing::Instrument as _;

tokio::task_local! {
    static CURRENT: String;
}

/// Header that carries it, both ways.
pub const HEADER: &str = "x-request-id";

/// The id of the request this task answers; empty outside of one.
#[must_use]
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Takes over the caller's id where it is plain and short, else makes one; logs the request's end.
pub async fn layer(request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let id =
        given.filter(plain).map_or_else(|| format!("req_{}", hex::encode(model::time::random::<12>())), str::to_owned);
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let started = std::time::Instant::now();
    CURRENT
        .scope(id.clone(), async move {
            let mut response = next.run(request).await;
            if let Ok(value) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(HEADER, value);
            }
            let millis = started.elapsed().as_secs_f64() * 1_000.0;
            tracing::info!(status = response.status().as_u16(), millis, "answered");
            response
        })
        .instrument(span)
        .await
}
