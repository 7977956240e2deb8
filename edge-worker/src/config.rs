//! The worker's settings, read once per isolate.

use shared::{KeyRing, ring::RingError};

use crate::runtime::Env;

/// The settings, from vars and secrets.
pub(crate) struct Config {
    /// `TOKEN_SECRETS`: signs click tokens.
    pub(crate) token_secrets: KeyRing,
    /// `EDGE_SECRETS`: signs requests to the control plane and verifies the control plane's.
    pub(crate) edge_secrets: KeyRing,
    /// `CONTROL_API_URL`, without a trailing `/`.
    pub(crate) control_api_url: String,
    /// `REPLICATION` is `push`: the control plane writes records through this worker.
    pub(crate) takes_pushes: bool,
}

/// A missing or malformed setting. Names the variable, never its value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Not set.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// Not a ring of secrets.
    #[error("{0}: {1}")]
    Ring(&'static str, RingError),
}

impl Config {
    /// Reads the environment.
    pub(crate) fn read(env: &Env) -> Result<Self, ConfigError> {
        let control_api_url = text(env, "CONTROL_API_URL")?;
        Ok(Self {
            token_secrets: ring(env, "TOKEN_SECRETS")?,
            edge_secrets: ring(env, "EDGE_SECRETS")?,
            control_api_url: control_api_url.trim_end_matches('/').to_owned(),
            takes_pushes: text(env, "REPLICATION").is_ok_and(|mode| mode == "push"),
        })
    }
}

fn text(env: &Env, name: &'static str) -> Result<String, ConfigError> {
    env.setting(name).filter(|text| !text.is_empty()).ok_or(ConfigError::Missing(name))
}

fn ring(env: &Env, name: &'static str) -> Result<KeyRing, ConfigError> {
    text(env, name)?.parse().map_err(|error| ConfigError::Ring(name, error))
}
