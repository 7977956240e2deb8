//! Failures of the domain. Their answers over HTTP are made in one place, which knows this enum.

use model::access::Denied;
use serde::Serialize;
use store::change::VersionMismatch;

/// Why a request can't be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the body is no JSON.
    #[error("the body is not valid JSON: {0}")]
    InvalidJson(String),
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
    /// 503: Postgres or storage is out of reach, or overloaded.
    #[error("temporarily unavailable; try again")]
    Unavailable(String),
    /// 503: other transactions stood in the way; the same again may well succeed.
    #[error("temporarily unavailable; try again")]
    Contended(String),
    /// 500: a fault of ours. The cause is logged, never shown.
    #[error("something went wrong on our side; the request id finds it in our logs")]
    Internal(anyhow::Error),
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

impl Error {
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

    /// Stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) => "invalid_json",
            Self::RoleForbidden(_) => "role_forbidden",
            Self::PlanRequired => "plan_required",
            Self::AccessDisabled(_) => "access_disabled",
            Self::NotFound(_) => "not_found",
            Self::Conflict { code, .. } | Self::Rule { code, .. } => code,
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::Validation(_) => "validation_failed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Unavailable(_) | Self::Contended(_) => "unavailable",
            Self::Internal(_) => "internal",
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
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::PoolTimedOut | store::Error::PoolClosed | store::Error::Io(_) => {
                Self::Unavailable(error.to_string())
            }
            // 40001 serialization, 40P01 deadlock, 55P03 lock timeout, where one is set, 57P0x shutdown, 25P04 transaction timeout, 53xxx out of resources.
            store::Error::Database(database) => match database.code().as_deref() {
                Some("40001" | "40P01" | "55P03") => Self::Contended(error.to_string()),
                Some("57P01" | "57P02" | "57P03" | "25P04" | "57014") => Self::Unavailable(error.to_string()),
                Some(code) if code.starts_with("53") => Self::Unavailable(error.to_string()),
                _ => Self::Internal(error.into()),
            },
            _ => Self::Internal(error.into()),
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Role { needed, held } => {
                Self::RoleForbidden(format!("this needs the role {needed} or above; the key has {held}"))
            }
            Denied::Export => Self::RoleForbidden("this needs a key with can_export".to_owned()),
            Denied::Plan => Self::PlanRequired,
            Denied::Surface(flag) => Self::AccessDisabled(flag),
        }
    }
}

impl From<VersionMismatch> for Error {
    fn from(VersionMismatch { current }: VersionMismatch) -> Self {
        Self::VersionMismatch { current }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<serde_json::Error> for Error {
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
    fn on_constraint(self, constraint: &str, error: impl FnOnce() -> Error) -> Result<T, Error>;
}

impl<T> OnConstraint<T> for Result<T, store::Error> {
    fn on_constraint(self, constraint: &str, error: impl FnOnce() -> Error) -> Result<T, Error> {
        self.map_err(|cause| match &cause {
            store::Error::Database(database) if database.constraint() == Some(constraint) => error(),
            _ => cause.into(),
        })
    }
}
