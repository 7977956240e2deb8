//! API keys: how they are made and stored.

use sha2::{Digest as _, Sha256};

/// What is stored of an API key. Keys hold 256 random bits, so one fast hash is enough, and looking the hash
/// up tells nothing about the key by its timing.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
