//! Who may call, as types: a handler that takes [`Auth<ManageSetup>`](Auth) can only be reached by keys
//! that may manage the setup. The signature tells, the compiler enforces, and one test walks them all.

use std::{marker::PhantomData, ops::Deref};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use model::access::{Caller, Permission};

use super::limits::Visitor;
use crate::{State, problem::ApiError};

/// A caller who may do what `P` names.
pub struct Auth<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P> Deref for Auth<P> {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<P: Permission, S: State> FromRequestParts<S> for Auth<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let visitor = Visitor::of(state, &parts.headers, &parts.extensions);
        let caller = match bearer(&parts.headers) {
            Some(offered) => store::api_keys::caller(&state.context().db, &domain::api_keys::hash(offered)).await?,
            None => None,
        };
        let caller = caller.ok_or_else(|| state.limits().refuse(&visitor, ApiError::Unauthorized))?;
        state.limits().admit_key(&visitor, caller.key)?;
        P::RULE.check(&caller)?;
        tracing::debug!(workspace = %caller.workspace, key = %caller.key, "authorized");
        Ok(Self { caller, permission: PhantomData })
    }
}

/// The operator: makes workspaces, belongs to none.
pub struct Operator;

impl<S: State> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match bearer(&parts.headers) {
            Some(offered) if state.operator_key().matches(offered) => Ok(Self),
            _ => {
                let visitor = Visitor::of(state, &parts.headers, &parts.extensions);
                Err(state.limits().refuse(&visitor, ApiError::Unauthorized))
            }
        }
    }
}

/// The operator's key; printed nowhere.
#[derive(Clone)]
pub struct OperatorKey(String);

impl OperatorKey {
    /// Reads a key.
    ///
    /// # Errors
    /// A sentence about its length.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() < 32 {
            return Err("must have at least 32 characters".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `offered` is the key, compared in constant time.
    #[must_use]
    pub fn matches(&self, offered: &str) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_bytes(), offered.as_bytes()).into()
    }
}

impl std::fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorKey")
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && key.len() <= 200).then(|| key.trim())
}
