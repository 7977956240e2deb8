//! Public ids: TypeIDs, a prefix that names the kind and a `UUIDv7` in 26 base32 characters.
//!
//! Source of the encoding: TypeID specification 0.3 (`jetify-com/typeid`), Crockford's alphabet in lower
//! case, the value right-aligned in 130 bits, so the first character is at most `7`.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::Millis;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX: usize = 26;

/// A kind of object, known by the prefix of its ids.
pub trait Kind {
    /// The prefix, without the `_`.
    const PREFIX: &'static str;
}

/// The id of one object of kind `K`. Two kinds never mix: a `LinkId` can't stand where a `PartnerId` is due.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

macro_rules! kinds {
    ($($kind:ident, $alias:ident, $prefix:literal, $doc:literal;)+) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy)]
        pub enum $kind {}
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        #[doc = concat!("Id of ", $doc)]
        pub type $alias = Id<$kind>;
    )+};
}

kinds! {
    Workspace, WorkspaceId, "ws", "a workspace (tenant).";
    ApiKey, ApiKeyId, "key", "an API key.";
    Domain, DomainId, "dom", "a branded domain.";
    Program, ProgramId, "prg", "a partner program.";
    Partner, PartnerId, "prt", "a partner.";
    Link, LinkId, "lnk", "a short link.";
    Assignment, AssignmentId, "asg", "one period in which a link belonged to a partner.";
    Click, ClickId, "clk", "a click.";
    Source, SourceId, "src", "a source of signed conversion events.";
    SourceSecret, SourceSecretId, "sec", "a secret of a source.";
    Conversion, ConversionId, "cnv", "a stored conversion event.";
    Export, ExportId, "exp", "an export job.";
    Note, NoteId, "note", "a note on a partner.";
    Audit, AuditId, "aud", "an audit entry.";
}

/// Why a text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Another prefix, or none.
    #[error("must be an id that starts with `{0}_`")]
    Prefix(&'static str),
    /// Right prefix, but not 26 characters of the alphabet that hold 128 bits.
    #[error("must be `{0}_` and 26 characters of 0-9 and a-z without i, l, o, u")]
    Suffix(&'static str),
}

impl<K> Id<K> {
    /// An id of a known UUID.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// A new `UUIDv7` id (RFC 9562, section 5.7) from a time and 80 random bits.
    #[must_use]
    pub const fn mint(now: Millis, random: [u8; 10]) -> Self {
        Self::from_uuid(uuid_v7(now, random))
    }

    /// The UUID, as the store keeps it.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// The millisecond inside a `UUIDv7`.
    #[must_use]
    pub const fn time(self) -> Millis {
        uuid_millis(self.uuid)
    }
}

/// Builds a `UUIDv7` (RFC 9562, section 5.7).
#[must_use]
pub const fn uuid_v7(now: Millis, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now.0.unsigned_abs(), &random).into_uuid()
}

/// The millisecond inside a `UUIDv7`.
#[must_use]
pub const fn uuid_millis(uuid: Uuid) -> Millis {
    // 48 bits always fit an i64.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
    Millis((uuid.as_u128() >> 80) as i64)
}

impl<K: Kind> Id<K> {
    /// Writes the id to the end of `out`.
    pub fn write(self, out: &mut String) {
        encode(K::PREFIX, self.uuid, out);
    }
}

fn encode(prefix: &str, uuid: Uuid, out: &mut String) {
    let mut suffix = [0_u8; SUFFIX];
    let mut value = uuid.as_u128();
    for slot in suffix.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    out.push_str(prefix);
    out.push('_');
    // The alphabet is ASCII.
    out.push_str(std::str::from_utf8(&suffix).unwrap_or_default());
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(K::PREFIX.len() + 1 + SUFFIX);
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let suffix =
            text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(IdError::Prefix(K::PREFIX))?;
        decode(suffix).map(Self::from_uuid).ok_or(IdError::Suffix(K::PREFIX))
    }
}

fn decode(suffix: &str) -> Option<Uuid> {
    let bytes = suffix.as_bytes();
    if bytes.len() != SUFFIX || bytes[0] > b'7' {
        return None;
    }
    let mut value = 0_u128;
    for byte in bytes {
        let digit = ALPHABET.iter().position(|letter| letter == byte)?;
        value = (value << 5) | digit as u128;
    }
    Some(Uuid::from_u128(value))
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "sqlx")]
mod sql {
    //! Lets an id stand in a `uuid` column. Only a codec: no query is ever written here.

    use sqlx::{
        Decode, Encode, Postgres, Type,
        encode::IsNull,
        error::BoxDynError,
        postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef},
    };

    use super::{Id, Uuid};

    impl<K> Type<Postgres> for Id<K> {
        fn type_info() -> PgTypeInfo {
            Uuid::type_info()
        }
    }
    impl<K> PgHasArrayType for Id<K> {
        fn array_type_info() -> PgTypeInfo {
            Uuid::array_type_info()
        }
    }
    impl<'r, K> Decode<'r, Postgres> for Id<K> {
        fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
            Uuid::decode(value).map(Self::from_uuid)
        }
    }
    impl<'q, K> Encode<'q, Postgres> for Id<K> {
        fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
            self.uuid.encode_by_ref(buffer)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Vectors of the TypeID specification's `valid.json`.
    #[test]
    fn encodes_like_the_specification() {
        for (suffix, uuid) in [
            ("00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
            ("00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
            ("0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
            ("7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            ("01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ] {
            let id = LinkId::from_uuid(uuid.parse().unwrap());
            assert_eq!(id.to_string(), format!("lnk_{suffix}"));
            assert_eq!(format!("lnk_{suffix}").parse::<LinkId>().unwrap(), id);
        }
    }

    #[test]
    fn refuses_what_is_not_an_id_of_the_kind() {
        for text in [
            "",
            "lnk",
            "lnk_",
            "prt_01h455vb4pex5vsknk084sn02q",
            "lnk_01h455vb4pex5vsknk084sn02",
            "lnk_01h455vb4pex5vsknk084sn02qq",
            "lnk_81h455vb4pex5vsknk084sn02q",
            "lnk_01H455VB4PEX5VSKNK084SN02Q",
            "lnk_01h455vb4pex5vsknk084sn02u",
            "lnk_01h455vb4pex5vsknk084sn02é",
        ] {
            assert!(text.parse::<LinkId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips_and_keeps_its_time(millis in 0_i64..(1 << 47), random: [u8; 10]) {
            let id = ClickId::mint(Millis(millis), random);
            prop_assert_eq!(id.time(), Millis(millis));
            prop_assert_eq!(id.uuid().get_version_num(), 7);
            prop_assert_eq!(id.to_string().parse::<ClickId>().unwrap(), id);
        }
    }
}
