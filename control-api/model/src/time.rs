//! Times at the API's surface, and the one clock that everything asks.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeZone as _, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::{
    Millis,
    sqlx::{
        Decode, Encode, Postgres, Type,
        encode::IsNull,
        error::BoxDynError,
        postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef},
    },
};

/// A moment, written as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    /// The moment of a number of milliseconds; the epoch for what no calendar can hold.
    #[must_use]
    pub fn from_millis(millis: Millis) -> Self {
        Self(Utc.timestamp_millis_opt(millis.0).single().unwrap_or_default())
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.0.timestamp_millis())
    }

    /// The first moment after the millisecond that this moment is shown as. The database keeps microseconds; who asks for
    /// what was known at a time that an answer shows means all that was known within that millisecond.
    #[must_use]
    pub fn end_of_millisecond(self) -> Self {
        Self::from_millis(self.millis().plus(1))
    }

    /// Reads RFC 3339 with any offset.
    ///
    /// # Errors
    /// A sentence that shows the form.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        DateTime::parse_from_rfc3339(text)
            .map(|at| Self(at.with_timezone(&Utc)))
            .map_err(|_| "must be an RFC 3339 time such as 2026-03-01T09:30:00Z")
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The sources of time and randomness, so that tests can hold them still.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|| Millis(Utc::now().timestamp_millis())))
    }

    /// A clock that somebody else moves.
    #[must_use]
    pub fn fixed(clock: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Millis {
        (self.0)()
    }

    /// Now, as a moment.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.now())
    }

    /// A new id.
    #[must_use]
    pub fn id<K>(&self) -> shared::Id<K> {
        shared::Id::mint(self.now(), random())
    }

    /// New ids in ascending order, so that what is made together is listed in the order it was given.
    #[must_use]
    pub fn ids<K>(&self, count: usize) -> Vec<shared::Id<K>> {
        let mut ids: Vec<_> = (0..count).map(|_| self.id()).collect();
        ids.sort_unstable();
        ids
    }
}

/// Bytes from the operating system's generator.
///
/// # Panics
/// Where the operating system has no randomness: nothing safe can be done then.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// Stands in columns of `timestamptz`. Only a codec: no query is ever written here.
impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <DateTime<Utc> as Type<Postgres>>::compatible(ty)
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <DateTime<Utc> as Decode<'r, Postgres>>::decode(value).map(Self)
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <DateTime<Utc> as Encode<'_, Postgres>>::encode_by_ref(&self.0, buffer)
    }
}
