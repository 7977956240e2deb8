//! Encryption at rest of secrets that must be readable again: XChaCha20-Poly1305 under a key of
//! `NIM_DATA_KEYS`. What a secret belongs to is bound in as associated data, so that a row copied elsewhere
//! can't be opened.

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use shared::KeyRing;

use model::time::random;

const NONCE: usize = 24;

/// A secret that can't be opened: its key is no longer in the ring, or the row isn't what was stored.
#[derive(Debug, thiserror::Error)]
#[error("a stored secret can't be opened with NIM_DATA_KEYS (kid {0})")]
pub struct Unopened(u8);

fn cipher(secret: &[u8]) -> XChaCha20Poly1305 {
    let mut key = [0_u8; 32];
    Hkdf::<Sha256>::new(None, secret)
        .expand(b"nim_data/v1", &mut key)
        .expect("32 bytes are below HKDF-SHA256's limit of 8,160");
    XChaCha20Poly1305::new(&Key::from(key))
}

/// Encrypts with the ring's first key: its kid, and nonce ‖ ciphertext.
///
/// # Panics
/// Never: the cipher takes any message that fits in memory.
#[must_use]
pub fn seal(ring: &KeyRing, belongs_to: &[u8], secret: &[u8]) -> (u8, Vec<u8>) {
    let key = ring.first();
    let nonce = random::<NONCE>();
    let sealed = cipher(key.secret())
        .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: belongs_to })
        .expect("the message is far below the cipher's limit");
    (key.kid, [&nonce[..], &sealed].concat())
}

/// Decrypts.
///
/// # Errors
/// [`Unopened`].
pub fn open(ring: &KeyRing, belongs_to: &[u8], kid: u8, sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
    let key = ring.get(kid).ok_or(Unopened(kid))?;
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or(Unopened(kid))?;
    cipher(key.secret())
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: belongs_to })
        .map_err(|_| Unopened(kid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_was_sealed_there() {
        let old: KeyRing = "1:0123456789abcdef0123456789abcdef".parse().unwrap();
        let new: KeyRing = "2:fedcba9876543210fedcba9876543210,1:0123456789abcdef0123456789abcdef".parse().unwrap();
        let (kid, sealed) = seal(&old, b"source 1", b"secret");
        assert_eq!(open(&new, b"source 1", kid, &sealed).unwrap(), b"secret", "after rotation");
        assert!(open(&old, b"source 2", kid, &sealed).is_err());
        assert!(open(&old, b"source 1", 9, &sealed).is_err());
        assert!(open(&old, b"source 1", kid, &sealed[..10]).is_err());
        let mut changed = sealed;
        *changed.last_mut().unwrap() ^= 1;
        assert!(open(&old, b"source 1", kid, &changed).is_err());
    }
}
