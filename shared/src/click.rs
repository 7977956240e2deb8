//! The click snapshot: what a click was, and whom it belonged to at that moment. It travels from the edge
//! through the queue to the store and is never changed on the way or afterwards.
//!
//! It never holds an IP address, a full user agent, a full referrer URL or a cookie.

mod write;

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{
    classify::{BotReason, Browser, Device, Os},
    destination::Utm,
    id::{AssignmentId, ClickId, Id, Kind, LinkId, Partner, Program, WorkspaceId},
};

/// The most clicks in one batch to `POST /internal/v1/clicks`.
pub const MAX_BATCH: usize = 1_000;

/// One click, as it was. Its time is the millisecond inside its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click<'a> {
    /// The click; deduplicated by it.
    pub id: ClickId,
    /// The workspace of the link.
    pub workspace: WorkspaceId,
    /// The link.
    pub link: LinkId,
    /// The link's hostname.
    #[serde(borrow)]
    pub domain: Cow<'a, str>,
    /// The link's slug.
    #[serde(borrow)]
    pub slug: Cow<'a, str>,
    /// Where the visitor was sent, without the token.
    #[serde(borrow)]
    pub destination: Cow<'a, str>,
    /// The assignment in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<AssignmentId>,
    /// The partner, as named at the click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<Named<'a, Partner>>,
    /// The program, as named at the click.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Named<'a, Program>>,
    /// Link or QR code.
    pub trigger: Trigger,
    /// The visitor's `utm_source`, else the link's.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'a, str>>,
    /// The link's UTM values.
    #[serde(default, skip_serializing_if = "Utm::is_unset")]
    pub utm: Cow<'a, Utm>,
    /// The experiment, where variants were drawn.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Cow<'a, str>>,
    /// The variant drawn.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Cow<'a, str>>,
    /// Host of the referring page.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub referrer_host: Option<Cow<'a, str>>,
    /// ISO 3166-1 alpha-2.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Cow<'a, str>>,
    /// Region, as the network names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Cow<'a, str>>,
    /// City, as the network names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Cow<'a, str>>,
    /// Kind of device.
    pub device: Device,
    /// Browser family.
    pub browser: Browser,
    /// Operating system family.
    pub os: Os,
    /// Why this was no human, where it wasn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_reason: Option<BotReason>,
    /// Whether a token was appended, and if not, why.
    pub token: TokenReason,
    /// The data centre that answered.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub colo: Option<Cow<'a, str>>,
    /// Version of the edge record that served it.
    pub record_version: u64,
    /// Version of the tables that told bots and devices ([`crate::classify::VERSION`]); 0 where the worker didn't say.
    #[serde(default)]
    pub classifier: i32,
    /// Which of its isolate's clicks this is; where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minted: Option<Minted>,
}

/// The place of a click among those of its isolate in the hour inside its id. The greatest number of an isolate and hour
/// that has arrived is a lower bound of what it minted, and a number that is missing is a click that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minted {
    /// The isolate: at most 48 random bits.
    pub isolate: u64,
    /// From 1.
    pub nth: u64,
}

/// An id with the key and name it went by at the time.
pub struct Named<'a, K> {
    /// The object.
    pub id: Id<K>,
    /// Its immutable key.
    pub key: Cow<'a, str>,
    /// Its name at the time.
    pub name: Cow<'a, str>,
}

impl<K> Named<'_, K> {
    /// The same, borrowing its texts.
    #[must_use]
    pub fn borrowed(&self) -> Named<'_, K> {
        Named { id: self.id, key: Cow::Borrowed(&self.key), name: Cow::Borrowed(&self.name) }
    }
}

// Written out because a derive would ask the same of the marker type `K`.
impl<K> Clone for Named<'_, K> {
    fn clone(&self) -> Self {
        Self { id: self.id, key: self.key.clone(), name: self.name.clone() }
    }
}
impl<K> PartialEq for Named<'_, K> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.key == other.key && self.name == other.name
    }
}
impl<K> Eq for Named<'_, K> {}
impl<K: Kind> fmt::Debug for Named<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {:?})", self.id, self.key, self.name)
    }
}
impl<K: Kind> Serialize for Named<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, name) = (Cow::Borrowed(&*self.key), Cow::Borrowed(&*self.name));
        NamedText { id: self.id.to_string().into(), key, name }.serialize(serializer)
    }
}
impl<'de, K: Kind> Deserialize<'de> for Named<'_, K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NamedText { id, key, name } = NamedText::deserialize(deserializer)?;
        Ok(Self { id: id.parse().map_err(serde::de::Error::custom)?, key, name })
    }
}

/// Without the kind of its id, so that the worker holds the code for reading it once.
#[derive(Serialize, Deserialize)]
struct NamedText<'a> {
    id: Cow<'a, str>,
    key: Cow<'a, str>,
    name: Cow<'a, str>,
}

text_enum! {
    /// What the visitor used.
    pub enum Trigger {
        /// The short link.
        Link = "link",
        /// The QR code of it.
        Qr = "qr",
    }
}

/// Whether a click got a token, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenReason {
    /// It got one.
    Appended,
    /// The link doesn't track conversions.
    TrackingDisabled,
    /// The link says never.
    Never,
    /// Not a human.
    Bot,
    /// A `HEAD` request.
    Probe,
    /// The destination would break; the rule that says so.
    QuerySensitive(String),
}

const QUERY_SENSITIVE: &str = "query_sensitive:";

impl TokenReason {
    /// The text, up to where a rule's name follows.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::TrackingDisabled => "tracking_disabled",
            Self::Never => "never",
            Self::Bot => "bot",
            Self::Probe => "probe",
            Self::QuerySensitive(_) => QUERY_SENSITIVE,
        }
    }
}

impl fmt::Display for TokenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::QuerySensitive(rule) => f.write_str(rule),
            _ => Ok(()),
        }
    }
}

impl FromStr for TokenReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "appended" => Self::Appended,
            "tracking_disabled" => Self::TrackingDisabled,
            "never" => Self::Never,
            "bot" => Self::Bot,
            "probe" => Self::Probe,
            _ => Self::QuerySensitive(
                text.strip_prefix(QUERY_SENSITIVE).ok_or_else(|| format!("no token reason: {text}"))?.to_owned(),
            ),
        })
    }
}

impl Serialize for TokenReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

text_enum! {
    /// Why a click that reached the store was not kept. Each is counted.
    pub enum Rejected {
        /// Older than the store accepts.
        TooLate = "too_late",
        /// Further ahead than clocks may differ.
        ClockAhead = "clock_ahead",
        /// No such workspace.
        UnknownWorkspace = "unknown_workspace",
        /// Not a click.
        Malformed = "malformed",
        /// It never got through alone what takes others: the edge gave it up, and says so.
        Undeliverable = "undeliverable",
        /// Queue, centre and spool were all away for so long that the isolate had no room left for it.
        Overflow = "overflow",
    }
}

/// How old a click may be when it arrives, in milliseconds: 15 days.
pub const MAX_AGE_MILLIS: i64 = 15 * crate::Millis::DAY;
/// How far ahead of the store's clock a click may be, in milliseconds: 10 minutes.
pub const MAX_AHEAD_MILLIS: i64 = 10 * crate::Millis::MINUTE;

/// A batch of clicks, as sent to `POST /internal/v1/clicks`. Each click is kept as the text the edge wrote,
/// so that one malformed click doesn't lose its neighbours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch<'a> {
    /// At most [`MAX_BATCH`] texts of JSON, each a [`Click`].
    #[serde(borrow)]
    pub clicks: Vec<&'a serde_json::value::RawValue>,
    /// At most [`MAX_BATCH`] clicks that the edge has given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
}

/// A click that the edge has given up, so that it is counted where it can't be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The click, by which it is counted once.
    pub id: ClickId,
    /// Its workspace, where that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// Why.
    pub reason: Rejected,
    /// Its place among those minted, where that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minted: Option<Minted>,
}

impl Dropped {
    /// Of the text of a click. Where not even its id can be read, one made of the text stands for it.
    #[must_use]
    // Compiled where it is used, as `record::version_of` is.
    #[inline]
    pub fn of(click: &str, reason: Rejected) -> Self {
        #[derive(Deserialize)]
        struct Ids {
            id: ClickId,
            #[serde(default)]
            workspace: Option<WorkspaceId>,
            #[serde(default)]
            minted: Option<Minted>,
        }
        match serde_json::from_str(click) {
            Ok(Ids { id, workspace, minted }) => Self { id, workspace, reason, minted },
            Err(_) => Self { id: Id::from_uuid(unreadable(click)), workspace: None, reason, minted: None },
        }
    }
}

/// What stands for the id of a click that has none: no `UUIDv7`, so that no time is read from it.
#[must_use]
pub fn unreadable(click: &str) -> uuid::Uuid {
    let digest: [u8; 32] = Sha256::digest(click).into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(half).into_uuid()
}

/// What became of a batch. `stored + duplicate + rejected` is the number sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchReceipt {
    /// New rows.
    pub stored: u64,
    /// Clicks the store had already.
    pub duplicate: u64,
    /// Clicks refused for good, by reason.
    pub rejected: std::collections::BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_given_up() {
        let id = "clk_01h455vb4pex5vsknk084sn02q";
        let known = Dropped::of(&format!(r#"{{"id":"{id}","slug":"x"}}"#), Rejected::Overflow);
        assert_eq!((known.id.to_string().as_str(), known.workspace), (id, None));
        let unknown = Dropped::of("{", Rejected::Undeliverable);
        assert_eq!(unknown, Dropped::of("{", Rejected::Undeliverable), "counted once");
        assert_ne!(unknown.id.uuid().get_version_num(), 7);
        assert_ne!(unknown.id, Dropped::of("[", Rejected::Undeliverable).id);
    }
}
