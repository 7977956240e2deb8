//! Bodies: read whole within a bound, as JSON values, so that all faults can be named at once.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use domain::{Error, input::json};
use futures::StreamExt as _;
use serde_json::Value;

use crate::problem::ApiError;

/// The largest JSON body of the control plane's API, in bytes.
pub const MAX_JSON: usize = 1 << 20;

/// A JSON body of at most [`MAX_JSON`] bytes, with the bytes it was read from.
pub struct JsonBody {
    /// The value.
    pub value: Value,
    /// The bytes as received.
    pub raw: Bytes,
}

/// How much of a body over its limit is still read, in bytes, so that its sender gets to see the answer
/// instead of a broken connection.
const DRAINED: usize = 4 << 20;

/// How long a body may take to arrive: a client that sends a byte now and then holds nothing for long.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 413 over the limit; 408 if it takes too long; 400 if the connection breaks.
pub async fn read(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    tokio::time::timeout(ARRIVAL, gather(request, limit)).await.map_err(|_| ApiError::RequestTimeout)?
}

async fn gather(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let mut chunks = request.into_body().into_data_stream();
    let mut whole = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Error::InvalidJson(error.to_string()))?;
        seen = seen.saturating_add(chunk.len());
        if seen <= limit {
            whole.extend_from_slice(&chunk);
        } else if seen > limit.saturating_add(DRAINED) {
            break;
        }
    }
    if seen > limit { Err(ApiError::PayloadTooLarge(limit)) } else { Ok(whole.freeze()) }
}

/// Reads past a body that nobody wants, so that its sender gets to see the answer. Holds none of it.
pub async fn discard(request: Request, limit: usize) {
    let mut chunks = request.into_body().into_data_stream();
    let mut seen = 0_usize;
    let gone = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            seen = seen.saturating_add(chunk.len());
            if seen > limit {
                break;
            }
        }
    };
    // A body that doesn't come is not waited for: the answer is the same.
    let _ = tokio::time::timeout(ARRIVAL, gone).await;
}

/// Whether the headers promise JSON. A missing type is taken as JSON: many clients send none.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let raw = read(request, MAX_JSON).await?;
        Ok(Self { value: json::parse(&raw)?, raw })
    }
}

/// A body that may be left out: none at all reads as `{}`, whatever its type is said to be.
pub struct OptionalJsonBody(pub JsonBody);

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let raw = read(request, MAX_JSON).await?;
        match (raw.is_empty(), json) {
            (true, _) => Ok(Self(JsonBody { value: Value::Object(serde_json::Map::new()), raw })),
            (false, true) => Ok(Self(JsonBody { value: json::parse(&raw)?, raw })),
            (false, false) => Err(ApiError::UnsupportedMediaType),
        }
    }
}

/// A file as received: `text/csv` of at most [`MAX_JSON`] bytes.
pub struct CsvBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for CsvBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        // A missing type is taken as CSV, as it is taken as JSON elsewhere.
        if let Some(given) = request.headers().get(header::CONTENT_TYPE) {
            let given = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if !given.trim().eq_ignore_ascii_case("text/csv") {
                return Err(ApiError::NotCsv);
            }
        }
        read(request, MAX_JSON).await.map(Self)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let drip = futures::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        let begun = tokio::time::Instant::now();
        let read = read(Request::new(Body::from_stream(drip)), MAX_JSON).await;
        assert!(matches!(read, Err(ApiError::RequestTimeout)));
        assert_eq!(begun.elapsed().as_secs(), ARRIVAL.as_secs());
    }
}
