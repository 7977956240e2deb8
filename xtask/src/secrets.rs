//! The secrets of a local stack: random, made once, kept beside its data so that a restart can read it.

use std::{fs, io::ErrorKind};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::context::{Context, write_private};

/// Everything that control-api and the edge are configured with and nobody may know.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// `NIM_OPERATOR_KEY`
    pub(crate) operator_key: String,
    /// `NIM_DATA_KEYS`, a ring of one key
    pub(crate) data_keys: String,
    /// `TOKEN_SECRETS`, a ring of one secret
    pub(crate) token_secrets: String,
    /// `EDGE_SECRETS`, a ring of one secret
    pub(crate) edge_secrets: String,
    /// The database superuser's password
    pub(crate) database_password: String,
}

impl Secrets {
    /// New ones.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let ring = || random_hex().map(|secret| format!("1:{secret}"));
        Ok(Self {
            operator_key: random_hex()?,
            data_keys: ring()?,
            token_secrets: ring()?,
            edge_secrets: ring()?,
            database_password: random_hex()?,
        })
    }

    /// Those of this checkout, made when there are none yet.
    pub(crate) fn of(context: &Context) -> anyhow::Result<Self> {
        let path = context.state("secrets.json")?;
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; `cargo xtask reset` starts afresh", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let secrets = Self::generate()?;
                write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
                Ok(secrets)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// 256 random bits as 64 hexadecimal digits.
fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
