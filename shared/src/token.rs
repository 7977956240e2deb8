//! The click token `nim_ct`: names one click, verifiable without a lookup, useless in another workspace.
//!
//! Layout: version (1 byte) ‖ key id (1) ‖ click `UUIDv7` (16) ‖ HMAC-SHA256 cut to 12 bytes, in base64url
//! without padding: exactly 40 characters of `[A-Za-z0-9_-]`. That fits Stripe's `client_reference_id`
//! (up to 200 characters of letters, digits, `-` and `_`). The key is HKDF-SHA256 (RFC 5869) of the
//! ring's secret with info `nim_ct/v1/` ‖ the workspace's 16 bytes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{
    KeyRing,
    id::{ClickId, WorkspaceId},
};

/// The query parameter that carries the token.
pub const PARAM: &str = "nim_ct";
/// The length of every token, in characters.
pub const LENGTH: usize = 40;

const VERSION: u8 = 1;
const SIGNED: usize = 18;
const TAG: usize = 12;

/// One workspace's token key of one secret, ready to sign. Cheap to use, costly to derive: keep it.
#[derive(Clone)]
pub struct TokenKey {
    kid: u8,
    mac: Hmac<Sha256>,
}

impl TokenKey {
    /// The signing key of a workspace: that of the ring's first secret.
    #[must_use]
    pub fn signing(ring: &KeyRing, workspace: WorkspaceId) -> Self {
        Self::derive(ring.first(), workspace)
    }

    // Once per workspace and isolate.
    #[cold]
    fn derive(key: &crate::ring::Key, workspace: WorkspaceId) -> Self {
        let mut info = [0_u8; 26];
        info[..10].copy_from_slice(b"nim_ct/v1/");
        info[10..].copy_from_slice(workspace.uuid().as_bytes());
        let mut okm = [0_u8; 32];
        Hkdf::<Sha256>::new(None, key.secret())
            .expand(&info, &mut okm)
            .expect("32 bytes are below HKDF-SHA256's limit of 8,160");
        let mac = Hmac::new_from_slice(&okm).expect("HMAC takes keys of any length");
        Self { kid: key.kid, mac }
    }

    fn tag(&self, signed: &[u8; SIGNED]) -> [u8; TAG] {
        let full = self.mac.clone().chain_update(signed).finalize().into_bytes();
        let mut tag = [0_u8; TAG];
        tag.copy_from_slice(&full[..TAG]);
        tag
    }

    /// Writes the token of a click to the end of `out`: 40 characters.
    pub fn write(&self, click: ClickId, out: &mut String) {
        let mut signed = [0_u8; SIGNED];
        signed[0] = VERSION;
        signed[1] = self.kid;
        signed[2..].copy_from_slice(click.uuid().as_bytes());
        let mut raw = [0_u8; SIGNED + TAG];
        raw[..SIGNED].copy_from_slice(&signed);
        raw[SIGNED..].copy_from_slice(&self.tag(&signed));
        URL_SAFE_NO_PAD.encode_string(raw, out);
    }

    /// The token of a click.
    #[must_use]
    pub fn token(&self, click: ClickId) -> String {
        let mut out = String::with_capacity(LENGTH);
        self.write(click, &mut out);
        out
    }
}

/// A token that names no click of this workspace: wrong length, letters, version, key or signature. There
/// is one value on purpose: which of them it was would help only a forger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the click token is not one of this workspace")]
pub struct InvalidToken;

/// The click that a token of this workspace names. The tag is compared in constant time.
///
/// # Errors
/// [`InvalidToken`] for anything that [`TokenKey::write`] would not have written with a key of the ring.
pub fn verify(ring: &KeyRing, workspace: WorkspaceId, token: &str) -> Result<ClickId, InvalidToken> {
    if token.len() != LENGTH {
        return Err(InvalidToken);
    }
    let mut raw = [0_u8; SIGNED + TAG];
    let written = URL_SAFE_NO_PAD.decode_slice(token, &mut raw).map_err(|_| InvalidToken)?;
    let (signed, tag) = raw.split_first_chunk::<SIGNED>().ok_or(InvalidToken)?;
    if written != raw.len() || signed[0] != VERSION {
        return Err(InvalidToken);
    }
    let key = TokenKey::derive(ring.get(signed[1]).ok_or(InvalidToken)?, workspace);
    if !bool::from(key.tag(signed).ct_eq(tag)) {
        return Err(InvalidToken);
    }
    Uuid::from_slice(&signed[2..]).map(ClickId::from_uuid).map_err(|_| InvalidToken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Millis;

    fn ring(text: &str) -> KeyRing {
        text.parse().unwrap()
    }
    const OLD: &str = "1:old-old-old-old-old-old-old-old-old";
    const NEW: &str = "2:new-new-new-new-new-new-new-new-new,1:old-old-old-old-old-old-old-old-old";

    fn workspace(n: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(Uuid::from_u128(n))
    }

    /// Fixed for ever: a change here would orphan every token already handed out.
    #[test]
    fn the_format_is_frozen() {
        let click = ClickId::mint(Millis(1_790_000_000_000), [7; 10]);
        let token = TokenKey::signing(&ring(OLD), workspace(5)).token(click);
        assert_eq!(token, "AQEBoMRQbAB3B4cHBwcHBwcHh6Ox08Ql8yDX8TT3");
    }

    proptest! {
        #[test]
        fn verifies_only_as_written(millis in 0_i64..(1 << 47), random: [u8; 10], flip in 0_usize..LENGTH, bit in 0_u8..6) {
            let click = ClickId::mint(Millis(millis), random);
            let token = TokenKey::signing(&ring(OLD), workspace(5)).token(click);
            prop_assert_eq!(token.len(), LENGTH);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(verify(&ring(OLD), workspace(5), &token), Ok(click));
            prop_assert_eq!(verify(&ring(NEW), workspace(5), &token), Ok(click), "after rotation");
            prop_assert_eq!(verify(&ring(OLD), workspace(6), &token), Err(InvalidToken), "other workspace");
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut forged = token.into_bytes();
            let at = letters.iter().position(|l| *l == forged[flip]).unwrap();
            forged[flip] = letters[at ^ (1 << bit)];
            prop_assert_eq!(verify(&ring(OLD), workspace(5), std::str::from_utf8(&forged).unwrap()), Err(InvalidToken));
        }

        #[test]
        fn never_panics(token in ".{0,60}") {
            prop_assert_eq!(verify(&ring(OLD), workspace(5), &token), Err(InvalidToken));
        }
    }
}
