//! Signing and verification of Standard Webhooks (specification 1.0.0, `standard-webhooks/standard-webhooks`).
//!
//! Signed are the raw bytes `{webhook-id}.{webhook-timestamp}.{body}` with HMAC-SHA256 and the base64 part
//! of a `whsec_…` secret. The header `webhook-signature` may hold several signatures, separated by spaces.

pub mod diagnosis;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::Millis;

/// How far a timestamp may lie from our clock, either way, in seconds.
pub const TOLERANCE_SECONDS: i64 = 300;
/// What every secret starts with.
pub const SECRET_PREFIX: &str = "whsec_";

/// Signatures looked at in one header; the rest is ignored, so that the work stays bounded.
const MAX_SIGNATURES: usize = 10;
/// The longest `webhook-id`, in bytes.
pub const MAX_ID: usize = 255;

/// A source's secret, decoded.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A new secret of 32 random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(random.to_vec())
    }

    /// A secret as the store keeps it (decrypted).
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Reads `whsec_` and base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok().filter(|bytes| !bytes.is_empty()).map(Self)
    }

    /// The bytes, to be encrypted and kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `whsec_…`, as its owner is shown it once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.chain_update(id)
            .chain_update(".")
            .chain_update(timestamp)
            .chain_update(".")
            .chain_update(body)
            .finalize()
            .into_bytes()
            .into()
    }
}

/// The three headers of a signed request, as received.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    /// `webhook-id`
    pub id: Option<&'a str>,
    /// `webhook-timestamp`, seconds since the epoch
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`, `v1,<base64>` once or more
    pub signature: Option<&'a str>,
}

text_enum! {
    /// Why a signed request is refused. The text is the error code of the API.
    pub enum Refusal {
        /// A header is absent or empty.
        Missing = "signature_missing",
        /// No signature matches any secret, or a header is malformed.
        Invalid = "signature_invalid",
        /// The signature is right, but its timestamp is too far from our clock.
        Expired = "signature_expired",
    }
}

/// The value of `webhook-signature` for a request.
#[must_use]
pub fn sign(secret: &Secret, id: &str, at: Millis, body: &[u8]) -> String {
    format!("v1,{}", STANDARD.encode(secret.tag(id, &at.seconds().to_string(), body)))
}

/// Checks a request against the secrets that are valid now (two while one is being rotated), the signature
/// before its age, so that only the holder of a secret learns that a clock is off.
///
/// # Errors
/// The [`Refusal`], whose text is the API's code.
pub fn verify(secrets: &[Secret], headers: Headers<'_>, body: &[u8], now: Millis) -> Result<(), Refusal> {
    let present = |value: Option<&'_ str>| value.map(str::to_owned).filter(|value| !value.is_empty());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (present(headers.id), present(headers.timestamp), present(headers.signature))
    else {
        return Err(Refusal::Missing);
    };
    if id.len() > MAX_ID {
        return Err(Refusal::Invalid);
    }
    let seconds = timestamp.parse::<i64>().map_err(|_| Refusal::Invalid)?;
    let offered: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|one| STANDARD.decode(one).ok())
        .take(MAX_SIGNATURES)
        .collect();
    let genuine = secrets.iter().fold(false, |found, secret| {
        let tag = secret.tag(&id, &timestamp, body);
        offered.iter().fold(found, |found, one| found | bool::from(tag.as_slice().ct_eq(one)))
    });
    if !genuine {
        return Err(Refusal::Invalid);
    }
    if now.seconds().saturating_sub(seconds).saturating_abs() > TOLERANCE_SECONDS {
        return Err(Refusal::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = Millis(1_790_000_000_000);

    fn check(secrets: &[Secret], id: &str, timestamp: &str, signature: &str, body: &[u8]) -> Result<(), Refusal> {
        let headers = Headers { id: Some(id), timestamp: Some(timestamp), signature: Some(signature) };
        verify(secrets, headers, body, NOW)
    }

    #[test]
    fn accepts_and_refuses_by_name() {
        let secret = Secret::from_random([1; 32]);
        let other = Secret::from_random([2; 32]);
        let secrets = [secret.clone()];
        let at = NOW.seconds().to_string();
        let good = sign(&secret, "msg_1", NOW, b"{}");
        let wrong = sign(&other, "msg_1", NOW, b"{}");
        let stale = Millis(NOW.0 - 301_000);
        let early = Millis(NOW.0 + 301_000);
        let edge = Millis(NOW.0 - 300_000);
        type Row<'a> = (&'a str, &'a str, String, &'a [u8], Result<(), Refusal>);
        let table: &[Row<'_>] = &[
            ("msg_1", &at, good.clone(), b"{}", Ok(())),
            ("msg_1", &at, format!("{wrong} {good}"), b"{}", Ok(())),
            ("msg_1", &at, format!("v1a,AAAA {good}"), b"{}", Ok(())),
            ("msg_1", &edge.seconds().to_string(), sign(&secret, "msg_1", edge, b"{}"), b"{}", Ok(())),
            ("msg_1", &at, wrong.clone(), b"{}", Err(Refusal::Invalid)),
            ("msg_2", &at, good.clone(), b"{}", Err(Refusal::Invalid)),
            ("msg_1", &at, good.clone(), b"{} ", Err(Refusal::Invalid)),
            ("msg_1", "12x", good.clone(), b"{}", Err(Refusal::Invalid)),
            ("msg_1", &at, "v1,!!!".into(), b"{}", Err(Refusal::Invalid)),
            ("msg_1", &at, String::new(), b"{}", Err(Refusal::Missing)),
            ("", &at, good.clone(), b"{}", Err(Refusal::Missing)),
            ("msg_1", &stale.seconds().to_string(), sign(&secret, "msg_1", stale, b"{}"), b"{}", Err(Refusal::Expired)),
            ("msg_1", &early.seconds().to_string(), sign(&secret, "msg_1", early, b"{}"), b"{}", Err(Refusal::Expired)),
            // A stale forgery learns nothing about the clock.
            ("msg_1", &stale.seconds().to_string(), wrong, b"{}", Err(Refusal::Invalid)),
        ];
        for (id, timestamp, signature, body, expected) in table {
            assert_eq!(check(&secrets, id, timestamp, signature, body), *expected, "{id} {timestamp} {signature}");
        }
        assert_eq!(check(&[other, secret], "msg_1", &at, &good, b"{}"), Ok(()), "both secrets of a rotation");
        assert_eq!(check(&[], "msg_1", &at, &good, b"{}"), Err(Refusal::Invalid), "no secret at all");
    }

    #[test]
    fn secrets_round_trip() {
        let secret = Secret::from_random([9; 32]);
        assert_eq!(Secret::parse(&secret.reveal()).unwrap().bytes(), secret.bytes());
        assert!(Secret::parse("whsec_").is_none());
        assert!(Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
    }

    proptest! {
        /// The reference implementation signs alike.
        #[test]
        fn agrees_with_the_reference(random: [u8; 32], id in "[a-z0-9_]{1,40}", body: String) {
            let secret = Secret::from_random(random);
            let body = body.as_bytes();
            let reference = standardwebhooks::Webhook::new(&secret.reveal()).unwrap();
            prop_assert_eq!(sign(&secret, &id, NOW, body), reference.sign(&id, NOW.seconds(), body).unwrap());
        }
    }
}
