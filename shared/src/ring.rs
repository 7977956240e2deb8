//! A ring of secrets: the first signs, all verify, so a secret can be rotated without losing anything.

use std::{fmt, str::FromStr};

/// The shortest secret a ring accepts, in bytes: 256 bits of hexadecimal would be 64, of base64 43.
pub const MIN_SECRET_BYTES: usize = 32;

/// Secrets by key id, written `kid:secret,kid:secret,…`. A kid is 1 to 255 and occurs once.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<Key>,
}

/// One secret of a ring.
#[derive(Clone)]
pub struct Key {
    /// The id that stands in whatever was signed or encrypted with this secret.
    pub kid: u8,
    secret: Vec<u8>,
}

impl Key {
    /// The secret's bytes.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl KeyRing {
    /// The key that signs.
    #[must_use]
    pub fn first(&self) -> &Key {
        &self.keys[0]
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, kid: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

/// Why a text is not a ring. Never carries the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No entries at all.
    #[error("the ring is empty; write `kid:secret`, for example `1:` and 32 or more random characters")]
    Empty,
    /// The entry has no `kid:` of 1 to 255.
    #[error("entry {0} of the ring must be `kid:secret` with a kid of 1 to 255")]
    Kid(usize),
    /// The secret is too short.
    #[error("the secret of kid {0} must have at least {MIN_SECRET_BYTES} characters")]
    Short(u8),
    /// The kid occurs twice.
    #[error("kid {0} occurs twice")]
    Twice(u8),
}

impl FromStr for KeyRing {
    type Err = RingError;

    fn from_str(text: &str) -> Result<Self, RingError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
            let (kid, secret) = entry.split_once(':').ok_or(RingError::Kid(index + 1))?;
            let kid = kid.parse::<u8>().ok().filter(|kid| *kid > 0).ok_or(RingError::Kid(index + 1))?;
            if secret.len() < MIN_SECRET_BYTES {
                return Err(RingError::Short(kid));
            }
            if keys.iter().any(|key| key.kid == kid) {
                return Err(RingError::Twice(kid));
            }
            keys.push(Key { kid, secret: secret.as_bytes().to_vec() });
        }
        if keys.is_empty() { Err(RingError::Empty) } else { Ok(Self { keys }) }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.kid)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn reads_rings_and_names_faults() {
        let ring: KeyRing = format!("2:{SECRET}, 1:{SECRET}x").parse().unwrap();
        assert_eq!(ring.first().kid, 2);
        assert_eq!(ring.get(1).unwrap().secret(), format!("{SECRET}x").as_bytes());
        assert!(ring.get(3).is_none());
        for (text, fault) in [
            (String::new(), RingError::Empty),
            (SECRET.to_owned(), RingError::Kid(1)),
            (format!("0:{SECRET}"), RingError::Kid(1)),
            (format!("1:{SECRET},256:{SECRET}"), RingError::Kid(2)),
            ("7:short".to_owned(), RingError::Short(7)),
            (format!("7:{SECRET},7:{SECRET}"), RingError::Twice(7)),
        ] {
            assert_eq!(text.parse::<KeyRing>().unwrap_err(), fault);
        }
    }

    #[test]
    fn never_prints_a_secret() {
        let ring: KeyRing = format!("1:{SECRET}").parse().unwrap();
        assert_eq!(format!("{ring:?}"), "[1]");
    }
}
