//! Answers to changes.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use store::change::Answer;

/// Sends the answer to a change; a resource's version is its `ETag`.
#[must_use]
pub fn answer(Answer { status, body }: Answer) -> Response {
    let version = body.get("version").and_then(Value::as_i64);
    let response = (StatusCode::from_u16(status).unwrap_or(StatusCode::OK), Json(body)).into_response();
    match version {
        Some(version) => versioned(version, response),
        None => response,
    }
}

/// An answer with its resource's version as `ETag`, for `If-Match`.
pub fn versioned(version: i64, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}
