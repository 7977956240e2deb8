//! The door for our own worker: bodies whose signature has been checked.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use shared::internal::{self, Direction};

use super::body;
use crate::{State, problem::ApiError};

/// The largest body from the worker, in bytes: 1,000 clicks of 16 KiB would be more, but no click is near that.
pub const MAX_INTERNAL: usize = 8 << 20;

/// A request that our worker signed, with its raw body.
pub struct FromEdge(pub Bytes);

impl<S: State> FromRequest<S> for FromEdge {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let method = request.method().as_str().to_owned();
        let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let raw = body::read(request, MAX_INTERNAL).await?;
        let signed = internal::Request { method: &method, target: &target, body: &raw };
        internal::verify(
            state.edge_secrets(),
            Direction::EdgeToControl,
            signed,
            header(internal::TIMESTAMP_HEADER),
            header(internal::SIGNATURE_HEADER),
            state.context().clock.now(),
        )
        .map_err(|refusal| {
            tracing::warn!(%refusal, target, "internal request refused");
            ApiError::Unauthorized
        })?;
        Ok(Self(raw))
    }
}
