//! Every way a request can fail, and the one place that turns it into an answer (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::http::request_id;

/// How often a transaction is begun anew before [`ApiError::Contended`] is answered. Transactions take their locks in
/// one order as far as that goes; where they meet in a circle all the same, the database ends one of them.
pub const ATTEMPTS: u32 = 4;

/// What a handler may end with instead of its answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: the body is no JSON.
    #[error("the body is not valid JSON: {0}")]
    InvalidJson(String),
    /// 401: no key, or one that isn't valid any more.
    #[error("send a valid key as `Authorization: Bearer …`")]
    Unauthorized,
    /// 401: a signed event whose signature doesn't hold.
    #[error("the signature was refused: {0}")]
    Signature(shared::webhook::Refusal),
    /// 403: the key's role is too low.
    #[error("{0}")]
    RoleForbidden(String),
    /// 403: the workspace's plan lacks Partners.
    #[error("this needs the professional or enterprise plan")]
    PlanRequired,
    /// 403: the surface is switched off for the workspace.
    #[error("`{0}` is switched off for this workspace")]
    AccessDisabled(&'static str),
    /// 404: no such thing in this workspace.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// 405.
    #[error("this path does not take that method")]
    MethodNotAllowed,
    /// 408: the body came too slowly.
    #[error("the body took too long to arrive")]
    RequestTimeout,
    /// 409.
    #[error("{detail}")]
    Conflict {
        /// `conflict` or a more telling code.
        code: &'static str,
        /// What is in the way.
        detail: String,
    },
    /// 412: the resource has changed meanwhile.
    #[error("the resource is at version {current}; read it again and repeat the change")]
    VersionMismatch {
        /// Its version now.
        current: i64,
    },
    /// 413.
    #[error("the body is larger than {0} bytes")]
    PayloadTooLarge(usize),
    /// 415.
    #[error("send the body as `Content-Type: application/json`")]
    UnsupportedMediaType,
    /// 415, of a path that takes a file of rows.
    #[error("send the file as `Content-Type: text/csv`")]
    NotCsv,
    /// 422, with every fault.
    #[error("{} of the request {}", faults(.0.len()), if .0.len() == 1 { "is wrong" } else { "are wrong" })]
    Validation(Vec<FieldFault>),
    /// 422: the request is well-formed, but a rule with a code of its own stands against it.
    #[error("{detail}")]
    Rule {
        /// Stable, such as `partner_not_active`.
        code: &'static str,
        /// JSON pointer to the field.
        pointer: &'static str,
        /// What stands against it and what to do.
        detail: String,
    },
    /// 422: the idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request; take a new key")]
    IdempotencyKeyReused,
    /// 429.
    #[error("too many requests; try again in {retry_after} s")]
    RateLimited {
        /// Seconds.
        retry_after: u32,
    },
    /// 503: Postgres or storage is out of reach, or overloaded.
    #[error("temporarily unavailable; try again")]
    Unavailable(String),
    /// 503: other transactions stood in the way; the same again may well succeed.
    #[error("temporarily unavailable; try again")]
    Contended(String),
    /// 500: a fault of ours. The cause is logged, never shown.
    #[error("something went wrong on our side; the request id finds it in our logs")]
    Internal(anyhow::Error),
    /// Not a failure: the stored answer to a repeated POST, see [`crate::http::mutation`].
    #[error("replayed")]
    Replay(Box<Response>),
}

fn faults(count: usize) -> String {
    if count == 1 { "one field".to_owned() } else { format!("{count} fields") }
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldFault {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// Stable code, such as `required`, `type`, `length`, `unknown_field`.
    pub code: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// Of an imported file: the line, counted from 1; `pointer` is then one into the line's object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Of an imported file: the column, by the name in its first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

impl FieldFault {
    /// A fault.
    pub fn new(pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.to_owned(), detail: detail.into(), line: None, column: None }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Names the code; dereferencing it is not promised.
    #[serde(rename = "type")]
    #[schema(example = "urn:nimriz:problem:validation_failed")]
    pub kind: String,
    /// The code in words.
    #[schema(example = "Validation failed")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// This occurrence, in a sentence.
    pub detail: String,
    /// Stable code.
    #[schema(example = "validation_failed")]
    pub code: String,
    /// Finds the request in the logs.
    pub request_id: String,
    /// Every wrong field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
    /// Of a rejected event: its id, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

impl ApiError {
    /// One wrong field.
    pub fn field(pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self::Validation(vec![FieldFault::new(pointer, code, detail)])
    }

    /// Every wrong field.
    #[must_use]
    pub fn field_faults(self) -> Vec<FieldFault> {
        match self {
            Self::Validation(faults) => faults,
            Self::Rule { code, pointer, detail } => vec![FieldFault::new(pointer, code, detail)],
            _ => vec![],
        }
    }

    /// Status and stable code.
    #[must_use]
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidJson(_) => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Signature(refusal) => (StatusCode::UNAUTHORIZED, refusal.as_str()),
            Self::RoleForbidden(_) => (StatusCode::FORBIDDEN, "role_forbidden"),
            Self::PlanRequired => (StatusCode::FORBIDDEN, "plan_required"),
            Self::AccessDisabled(_) => (StatusCode::FORBIDDEN, "access_disabled"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::Conflict { code, .. } => (StatusCode::CONFLICT, code),
            Self::VersionMismatch { .. } => (StatusCode::PRECONDITION_FAILED, "version_mismatch"),
            Self::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::UnsupportedMediaType | Self::NotCsv => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Validation(_) => (StatusCode::UNPROCESSABLE_ENTITY, "validation_failed"),
            Self::Rule { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
            Self::IdempotencyKeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Unavailable(_) | Self::Contended(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Replay(_) => (StatusCode::OK, "replay"),
        }
    }

    /// The same for somebody else whom it concerns as well. What only our logs tell of it, they tell once.
    #[must_use]
    pub fn for_another(&self) -> Self {
        match self {
            Self::Contended(why) => Self::Contended(why.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }

    /// Somebody who did work for several left this one without an answer.
    #[must_use]
    pub fn unanswered() -> Self {
        Self::Internal(anyhow::anyhow!("work that was shared ended without an answer"))
    }

    /// The problem document, for a rejected event with its id.
    pub fn answer(self, event_id: Option<String>) -> Response {
        if let Self::Replay(response) = self {
            return *response;
        }
        let (status, code) = self.status_and_code();
        match &self {
            Self::Internal(cause) => tracing::error!(error = ?cause, "internal error"),
            Self::Unavailable(cause) | Self::Contended(cause) => tracing::warn!(cause, "unavailable"),
            _ => {}
        }
        let detail = self.to_string();
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let retry_after = match &self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Unavailable(_) | Self::Contended(_) => Some(1),
            _ => None,
        };
        let problem = Problem {
            kind: format!("urn:nimriz:problem:{code}"),
            title,
            status: status.as_u16(),
            detail,
            code: code.to_owned(),
            request_id: request_id::current(),
            errors: self.field_faults(),
            event_id,
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.answer(None)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(error.to_string())
            }
            // 40001 serialization, 40P01 deadlock, 55P03 lock timeout, where one is set, 57P0x shutdown, 25P04 transaction timeout, 53xxx out of resources.
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some("40001" | "40P01" | "55P03") => Self::Contended(error.to_string()),
                Some("57P01" | "57P02" | "57P03" | "25P04" | "57014") => Self::Unavailable(error.to_string()),
                Some(code) if code.starts_with("53") => Self::Unavailable(error.to_string()),
                _ => Self::Internal(error.into()),
            },
            _ => Self::Internal(error.into()),
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(error.into())
    }
}

/// Turns the violation of a named constraint into an error of the API.
pub trait OnConstraint<T> {
    /// `error()` where the database refused because of `constraint`.
    ///
    /// # Errors
    /// That error, or the database's own.
    fn on_constraint(self, constraint: &str, error: impl FnOnce() -> ApiError) -> Result<T, ApiError>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint(self, constraint: &str, error: impl FnOnce() -> ApiError) -> Result<T, ApiError> {
        self.map_err(|cause| match &cause {
            sqlx::Error::Database(database) if database.constraint() == Some(constraint) => error(),
            _ => cause.into(),
        })
    }
}
