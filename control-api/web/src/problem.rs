//! Every way a request can fail over HTTP, and the one place that turns it into an answer (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Error, FieldFault};
use model::access::Denied;
use serde::Serialize;
use store::change::{Answer, VersionMismatch};

use crate::{answer::answer, request_id};

/// How a handler ends instead of its answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The domain refuses.
    #[error(transparent)]
    Domain(#[from] Error),
    /// 401: no key, or one that isn't valid any more.
    #[error("send a valid key as `Authorization: Bearer …`")]
    Unauthorized,
    /// 401: a signed event whose signature doesn't hold.
    #[error("the signature was refused: {0}")]
    Signature(shared::webhook::Refusal),
    /// 405.
    #[error("this path does not take that method")]
    MethodNotAllowed,
    /// 408: the body came too slowly.
    #[error("the body took too long to arrive")]
    RequestTimeout,
    /// 413.
    #[error("the body is larger than {0} bytes")]
    PayloadTooLarge(usize),
    /// 415.
    #[error("send the body as `Content-Type: application/json`")]
    UnsupportedMediaType,
    /// 415, of a path that takes a file of rows.
    #[error("send the file as `Content-Type: text/csv`")]
    NotCsv,
    /// 429.
    #[error("too many requests; try again in {retry_after} s")]
    RateLimited {
        /// Seconds.
        retry_after: u32,
    },
    /// Not a failure: the stored answer to a repeated request, sent again.
    #[error("replayed")]
    Replayed(Box<Answer>),
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
        Error::field(pointer, code, detail).into()
    }

    /// Status and stable code.
    #[must_use]
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Domain(error) => (status(error), error.code()),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Signature(refusal) => (StatusCode::UNAUTHORIZED, refusal.as_str()),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::UnsupportedMediaType | Self::NotCsv => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Replayed(_) => (StatusCode::OK, "replayed"),
        }
    }

    /// The problem document, for a rejected event with its id.
    pub fn answer(self, event_id: Option<String>) -> Response {
        let (status, code) = self.status_and_code();
        let detail = self.to_string();
        let mut retry_after = None;
        let errors = match self {
            Self::Replayed(stored) => {
                let mut response = answer(*stored);
                response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
                return response;
            }
            Self::RateLimited { retry_after: seconds } => {
                retry_after = Some(seconds);
                vec![]
            }
            Self::Domain(error) => {
                match &error {
                    Error::Internal(cause) => tracing::error!(error = ?cause, "internal error"),
                    Error::Unavailable(cause) | Error::Contended(cause) => {
                        tracing::warn!(cause, "unavailable");
                        retry_after = Some(1);
                    }
                    _ => {}
                }
                error.field_faults()
            }
            _ => vec![],
        };
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let problem = Problem {
            kind: format!("urn:nimriz:problem:{code}"),
            title,
            status: status.as_u16(),
            detail,
            code: code.to_owned(),
            request_id: request_id::current(),
            errors,
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

/// Status of a failure of the domain.
const fn status(error: &Error) -> StatusCode {
    match error {
        Error::InvalidJson(_) => StatusCode::BAD_REQUEST,
        Error::RoleForbidden(_) | Error::PlanRequired | Error::AccessDisabled(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Conflict { .. } => StatusCode::CONFLICT,
        Error::VersionMismatch { .. } => StatusCode::PRECONDITION_FAILED,
        Error::Validation(_) | Error::Rule { .. } | Error::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unavailable(_) | Error::Contended(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.answer(None)
    }
}

/// What the layers below fail with is the domain's to name.
macro_rules! through_the_domain {
    ($($error:ty),+) => {
        $(impl From<$error> for ApiError {
            fn from(error: $error) -> Self {
                Self::Domain(error.into())
            }
        })+
    };
}

through_the_domain!(store::Error, anyhow::Error, serde_json::Error, Denied, VersionMismatch);
