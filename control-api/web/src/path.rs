//! Path parameters. A path that can't be read (escapes that are no UTF-8) names nothing that exists.

use axum::{
    extract::{FromRequestParts, Path as RawPath},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::problem::ApiError;

/// The decoded parameters of a path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match RawPath::<T>::from_request_parts(parts, state).await {
            Ok(RawPath(value)) => Ok(Self(value)),
            Err(_) => Err(domain::Error::NotFound("path").into()),
        }
    }
}
