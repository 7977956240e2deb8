//! Signing between our own parts: the worker's fills and click batches to the control plane, and the
//! control plane's pushes to the worker.
//!
//! Signed is HMAC-SHA256 over method, path with query, timestamp in milliseconds and the SHA-256 of the
//! body, each on a line of its own. Each direction has its own key, derived by HKDF from `EDGE_SECRETS`, so
//! that a request of one door can't be replayed at the other.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{KeyRing, Millis, ring::Key};

/// The worker's door for records to be stored: [`Replication`](crate::record::Replication).
pub const REPLICATE: &str = "/_nim/replicate";
/// The worker's door for a look at what is stored: [`Inquiry`](crate::record::Inquiry).
pub const RECORDS: &str = "/_nim/records";
/// The worker's door that makes it hand over what it had to keep.
pub const DRAIN: &str = "/_nim/drain";
/// Header with the time of signing, in milliseconds since the epoch.
pub const TIMESTAMP_HEADER: &str = "nim-timestamp";
/// Header with `kid:base64url(HMAC)`.
pub const SIGNATURE_HEADER: &str = "nim-signature";
/// How far a timestamp may lie from the receiver's clock, either way, in milliseconds.
pub const TOLERANCE_MILLIS: i64 = 60_000;

/// Who speaks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The worker to the control plane: fills and click batches.
    EdgeToControl,
    /// The control plane to the worker: replication pushes.
    ControlToEdge,
}

impl Direction {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::EdgeToControl => b"nim_internal/v1/edge-to-control",
            Self::ControlToEdge => b"nim_internal/v1/control-to-edge",
        }
    }
}

/// What is signed of a request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Path and query, as sent.
    pub target: &'a str,
    /// Raw body; empty for none.
    pub body: &'a [u8],
}

/// Why an internal request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header is absent or malformed.
    #[error("the request is not signed")]
    Missing,
    /// The signature doesn't match.
    #[error("the signature does not match")]
    Invalid,
    /// The signature matches but is too old or too new.
    #[error("the signature is too far from this clock")]
    Expired,
}

// Once per batch, fill or push; never while a visitor waits for a redirect.
#[cold]
fn tag(key: &Key, direction: Direction, request: Request<'_>, timestamp: &str) -> [u8; 32] {
    let mut okm = [0_u8; 32];
    Hkdf::<Sha256>::new(None, key.secret())
        .expand(direction.info(), &mut okm)
        .expect("32 bytes are below HKDF-SHA256's limit of 8,160");
    let mac = Hmac::<Sha256>::new_from_slice(&okm).expect("HMAC takes keys of any length");
    let head = [request.method, request.target, timestamp, ""].join("\n");
    mac.chain_update(head).chain_update(Sha256::digest(request.body)).finalize().into_bytes().into()
}

/// The values of [`TIMESTAMP_HEADER`] and [`SIGNATURE_HEADER`].
#[must_use]
pub fn sign(ring: &KeyRing, direction: Direction, request: Request<'_>, now: Millis) -> (String, String) {
    let timestamp = now.0.to_string();
    let key = ring.first();
    let tag = tag(key, direction, request, &timestamp);
    (timestamp, format!("{}:{}", key.kid, URL_SAFE_NO_PAD.encode(tag)))
}

/// Checks a request, the signature (in constant time) before its age.
///
/// # Errors
/// The [`Refusal`].
pub fn verify(
    ring: &KeyRing,
    direction: Direction,
    request: Request<'_>,
    timestamp: Option<&str>,
    signature: Option<&str>,
    now: Millis,
) -> Result<(), Refusal> {
    let timestamp = timestamp.ok_or(Refusal::Missing)?;
    let at = timestamp.parse::<i64>().map_err(|_| Refusal::Missing)?;
    let (kid, offered) = signature.and_then(|text| text.split_once(':')).ok_or(Refusal::Missing)?;
    let key = kid.parse().ok().and_then(|kid| ring.get(kid)).ok_or(Refusal::Invalid)?;
    // Compared as text, so that nothing has to be decoded before it is trusted.
    let expected = URL_SAFE_NO_PAD.encode(tag(key, direction, request, timestamp));
    if !bool::from(expected.as_bytes().ct_eq(offered.as_bytes())) {
        return Err(Refusal::Invalid);
    }
    if now.since(Millis(at)).saturating_abs() > TOLERANCE_MILLIS {
        return Err(Refusal::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_only_for_the_signed_request() {
        let ring: KeyRing = "1:0123456789abcdef0123456789abcdef".parse().unwrap();
        let other: KeyRing = "1:fedcba9876543210fedcba9876543210".parse().unwrap();
        let now = Millis(1_790_000_000_000);
        let request = Request { method: "POST", target: "/internal/v1/clicks?x=1", body: b"[]" };
        let to = Direction::EdgeToControl;
        let (at, signature) = sign(&ring, to, request, now);
        let check = |ring: &KeyRing, direction, request, now| {
            verify(ring, direction, request, Some(&at), Some(&signature), now)
        };
        assert_eq!(check(&ring, to, request, now), Ok(()));
        assert_eq!(check(&ring, to, request, now.plus(60_000)), Ok(()));
        assert_eq!(check(&ring, to, request, now.plus(60_001)), Err(Refusal::Expired));
        assert_eq!(check(&ring, to, request, now.plus(-60_001)), Err(Refusal::Expired));
        assert_eq!(check(&other, to, request, now), Err(Refusal::Invalid));
        assert_eq!(check(&ring, Direction::ControlToEdge, request, now), Err(Refusal::Invalid));
        for changed in [
            Request { method: "PUT", ..request },
            Request { target: "/internal/v1/clicks?x=2", ..request },
            Request { body: b"[1]", ..request },
        ] {
            assert_eq!(check(&ring, to, changed, now), Err(Refusal::Invalid));
        }
        assert_eq!(verify(&ring, to, request, None, Some(&signature), now), Err(Refusal::Missing));
        assert_eq!(verify(&ring, to, request, Some(&at), None, now), Err(Refusal::Missing));
        assert_eq!(verify(&ring, to, request, Some("x"), Some(&signature), now), Err(Refusal::Missing));
        assert_eq!(verify(&ring, to, request, Some(&at), Some("9:AAAA"), now), Err(Refusal::Invalid));
    }
}
