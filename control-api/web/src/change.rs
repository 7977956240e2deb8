//! Changes over HTTP: the conditions in a request's head, and the answer with its version.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use domain::{Context, Error};
use model::access::Caller;
use serde::Serialize;
use shared::id::WorkspaceId;
use store::change::{Begun, Change};

use crate::{answer::answer, problem::ApiError, request_id};

/// The longest `Idempotency-Key`, in characters.
const MAX_KEY: usize = 255;

/// [`store::change::Preconditions`], read from a request.
pub struct Preconditions(pub store::change::Preconditions);

impl std::ops::Deref for Preconditions {
    type Target = store::change::Preconditions;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let header = |name: &'static str| parts.headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let idempotency_key = header("idempotency-key").map(str::to_owned);
        let is_wrong = |key: &String| key.is_empty() || key.len() > MAX_KEY || key.contains('\u{fffd}');
        if idempotency_key.as_ref().is_some_and(is_wrong) {
            return Err(ApiError::field("header Idempotency-Key", "length", "must have 1 to 255 ASCII characters"));
        }
        let if_match = match header("if-match") {
            None | Some("*") => None,
            Some(text) => {
                let versions = text.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').parse());
                Some(versions.filter_map(Result::ok).collect())
            }
        };
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |whole| whole.as_str());
        let target = format!("{} {path}", parts.method);
        let request_id = request_id::current();
        Ok(Self(store::change::Preconditions { idempotency_key, target, if_match, request_id }))
    }
}

/// Begins a change by the holder of a key.
///
/// # Errors
/// [`ApiError::Replayed`] where this very request was answered before; 422 where its idempotency key was used for another.
pub async fn begin(
    context: &Context,
    caller: &Caller,
    preconditions: &Preconditions,
    raw: &[u8],
) -> Result<Change, ApiError> {
    fresh(Change::begin(&context.db, &context.clock, caller, preconditions, raw).await?)
}

/// Begins a change by the operator.
///
/// # Errors
/// As [`begin`].
pub async fn begin_as_operator(
    context: &Context,
    workspace: WorkspaceId,
    preconditions: &Preconditions,
    raw: &[u8],
) -> Result<Change, ApiError> {
    fresh(Change::operator(&context.db, &context.clock, workspace, preconditions, raw).await?)
}

fn fresh(begun: Begun) -> Result<Change, ApiError> {
    match begun {
        Begun::Fresh(change) => Ok(change),
        Begun::Replayed(answer) => Err(ApiError::Replayed(Box::new(answer))),
        Begun::KeyReused => Err(Error::IdempotencyKeyReused.into()),
    }
}

/// Commits and answers.
///
/// # Errors
/// The database's.
pub async fn finish(change: Change, status: StatusCode, resource: &impl Serialize) -> Result<Response, ApiError> {
    Ok(answer(change.finish(status.as_u16(), resource).await?))
}

/// Commits and answers with a secret that is shown this once; see [`Change::finish_with_secret`].
///
/// # Errors
/// The database's.
pub async fn finish_with_secret(
    change: Change,
    status: StatusCode,
    resource: &impl Serialize,
    secret: Option<(&str, &str)>,
) -> Result<Response, ApiError> {
    Ok(answer(change.finish_with_secret(status.as_u16(), resource, secret).await?))
}
