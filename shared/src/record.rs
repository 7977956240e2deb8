//! Edge records: all that a redirect needs, prebuilt by the control plane and replicated to the edge.

use serde::{Deserialize, Serialize};

use crate::{
    Millis,
    click::{Named, TokenReason},
    destination::{self, CustomQuery, Destination, Splice, Utm},
    id::{AssignmentId, LinkId, Partner, Program, WorkspaceId},
    json::{Object, list},
    sensitive,
};

/// The store's key of a link's record: `l:{host}/{slug}`.
#[must_use]
pub fn link_key(host: &str, slug: &str) -> String {
    ["l:", host, "/", slug].concat()
}

/// The store's key of a domain's record: `d:{host}`.
#[must_use]
pub fn domain_key(host: &str) -> String {
    ["d:", host].concat()
}

/// What is stored under a key. An older version never replaces a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// Monotonic per key.
    pub version: u64,
    /// The record, or `None` as a tombstone: it existed and is gone.
    pub record: Option<T>,
}

/// The version of a stored text, without reading the rest of it.
#[must_use]
// Compiled where it is used: here it would bring the worker a second JSON reader, made for speed instead of size.
#[inline]
pub fn version_of(stored: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    serde_json::from_str::<Version>(stored).ok().map(|stored| stored.version)
}

text_enum! {
    /// The state of a link.
    pub enum LinkStatus {
        /// Redirects.
        Active = "active",
        /// Off for now.
        Paused = "paused",
        /// Off for good.
        Archived = "archived",
    }
}

/// One link, as the edge needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The link.
    pub link: LinkId,
    /// Its workspace; tokens are signed with this workspace's key.
    pub workspace: WorkspaceId,
    /// Its state.
    pub status: LinkStatus,
    /// Where it leads.
    pub target: Target,
    /// Weighted alternatives to `target`; where there are any, one of them is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Name of the experiment that the variants belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Whether the visitor's query goes along.
    #[serde(default)]
    pub forward_query: bool,
    /// From when on it redirects no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// Where visitors go when it doesn't redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_url: Option<String>,
    /// Whom its clicks belong to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assigned>,
    /// The link's UTM values, for the snapshot.
    #[serde(default)]
    pub utm: Utm,
}

/// A place a link leads to, with all decisions that its text allows made already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedTarget")]
pub struct Target {
    /// The final URL, UTM and custom query merged.
    pub url: String,
    /// Where the token and forwarded parameters go.
    pub splice: Splice,
    /// Whether a visitor's click gets a token there, and if not, why.
    pub token: TokenReason,
    /// Whether its query may not be touched at all (also when the token is forced by `always`).
    pub sealed: bool,
}

/// A [`Target`] as it stands in the store. The edge cuts the URL at the splice for every visitor, so a record in
/// which the two don't fit together must be refused where it is read.
#[derive(Deserialize)]
struct UncheckedTarget {
    url: String,
    splice: Splice,
    token: TokenReason,
    #[serde(default)]
    sealed: bool,
}

impl TryFrom<UncheckedTarget> for Target {
    type Error = &'static str;

    fn try_from(stored: UncheckedTarget) -> Result<Self, Self::Error> {
        let UncheckedTarget { url, splice, token, sealed } = stored;
        if url.is_char_boundary(splice.at) {
            Ok(Self { url, splice, token, sealed })
        } else {
            Err("the splice lies outside of the URL")
        }
    }
}

/// A weighted alternative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its key, for the snapshot.
    pub key: String,
    /// Its share, relative to the sum of all.
    pub weight: u32,
    /// Where it leads.
    pub target: Target,
}

/// The assignment in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The assignment.
    pub id: AssignmentId,
    /// The partner, as named now. `None` where the workspace discards the context of inactive partners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<Named<'static, Partner>>,
    /// The program, as named now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Named<'static, Program>>,
}

/// One domain, as the edge needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRecord {
    /// Where `/` leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_redirect_url: Option<String>,
    /// Where visitors of unknown or inactive links go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_found_url: Option<String>,
}

/// The answer to a fill: what the store would hold for a host and slug, straight from the centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The domain; `None` where nobody owns the host.
    pub domain: Option<Versioned<DomainRecord>>,
    /// The link; `None` where the domain has no such slug.
    pub link: Option<Versioned<LinkRecord>>,
}

/// A push of records to a worker: `POST /_nim/replicate`, and the answer to an [`Inquiry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Keys and the texts to store under them, each a [`Versioned`] record.
    pub entries: Vec<Entry>,
}

impl Replication {
    /// As compact JSON, for the worker, which writes all of its JSON that way.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::open(&mut out);
        list(object.name("entries"), &self.entries, |out, entry| {
            let mut object = Object::open(out);
            object.text("key", &entry.key);
            object.text("value", &entry.value);
            object.close();
        });
        object.close();
        out
    }
}

/// One key of a [`Replication`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// See [`link_key`] and [`domain_key`].
    pub key: String,
    /// JSON of a [`Versioned`] record.
    pub value: String,
}

/// A look at what a worker's store holds: `POST /_nim/records`. Answered by a [`Replication`] of what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// See [`link_key`] and [`domain_key`].
    pub keys: Vec<String>,
}

text_enum! {
    /// When a link's visitors carry a click token.
    pub enum ClickTokenMode {
        /// Unless the destination is query-sensitive.
        Auto = "auto",
        /// Even then.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

/// What of a link's settings decides about its targets.
#[derive(Debug, Clone, Copy)]
pub struct TargetRules<'a> {
    /// Whether conversions are tracked at all.
    pub conversion_tracking: bool,
    /// When a token is appended.
    pub click_token: ClickTokenMode,
    /// Merged into the URL, unless that is query-sensitive.
    pub utm: &'a Utm,
    /// Merged likewise, after the UTM values.
    pub custom_query: &'a CustomQuery,
}

impl Target {
    /// Prepares a destination: the one place where the rules that a destination and its link settings decide are applied.
    #[must_use]
    pub fn prepare(destination: &Destination, rules: TargetRules<'_>) -> Self {
        let sensitive = sensitive::rule(destination.as_str());
        let url = if sensitive.is_some() {
            destination.as_str().to_owned()
        } else {
            let custom = rules.custom_query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            destination::merge(destination.as_str(), rules.utm.parameters().chain(custom))
        };
        let token = match (rules.conversion_tracking, rules.click_token, sensitive) {
            (false, _, _) => TokenReason::TrackingDisabled,
            (true, ClickTokenMode::Never, _) => TokenReason::Never,
            (true, ClickTokenMode::Auto, Some(rule)) => TokenReason::QuerySensitive(rule.to_owned()),
            (true, ClickTokenMode::Auto, None) | (true, ClickTokenMode::Always, _) => TokenReason::Appended,
        };
        Self { splice: Splice::of(&url), url, token, sealed: sensitive.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClickTokenMode::{Always, Auto, Never};

    #[test]
    fn prepares_targets() {
        let utm = Utm { source: Some("acme".into()), ..Utm::default() };
        let custom = CustomQuery::from([("ref".to_owned(), "n".to_owned())]);
        let plain = "https://a.com/?x=1#f";
        let merged = "https://a.com/?x=1&utm_source=acme&ref=n#f";
        let signed = "https://a.com/?sig=1";
        let sensitive = TokenReason::QuerySensitive("signature".into());
        for (destination, tracking, mode, url, token, sealed) in [
            (plain, true, Auto, merged, TokenReason::Appended, false),
            (plain, true, Always, merged, TokenReason::Appended, false),
            (plain, true, Never, merged, TokenReason::Never, false),
            (plain, false, Always, merged, TokenReason::TrackingDisabled, false),
            (signed, true, Auto, signed, sensitive, true),
            (signed, true, Always, signed, TokenReason::Appended, true),
            (signed, true, Never, signed, TokenReason::Never, true),
        ] {
            let rules =
                TargetRules { conversion_tracking: tracking, click_token: mode, utm: &utm, custom_query: &custom };
            let target = Target::prepare(&Destination::parse(destination).unwrap(), rules);
            let expected = Target { url: url.into(), splice: Splice::of(url), token, sealed };
            assert_eq!(target, expected, "{destination} {tracking} {mode}");
        }
    }

    #[test]
    fn refuses_a_splice_that_does_not_fit_its_url() {
        for (at, fits) in [(0, true), (10, true), (11, false), (12, true), (13, false)] {
            let json = format!(r#"{{"url":"https://a/é","splice":{{"at":{at},"joiner":"?"}},"token":"never"}}"#);
            assert_eq!(serde_json::from_str::<Target>(&json).is_ok(), fits, "{at}");
        }
    }

    #[test]
    fn replications_say_what_serde_says() {
        let entry = |key: &str| Entry { key: key.into(), value: r#"{"version":1,"record":"é\n"}"#.into() };
        for entries in [vec![], vec![entry("l:a.com/x")], vec![entry("d:a.com"), entry("l:a.com/\"")]] {
            let replication = Replication { entries };
            assert_eq!(replication.to_json(), serde_json::to_string(&replication).unwrap());
        }
    }

    #[test]
    fn reads_a_version_alone() {
        assert_eq!(version_of(r#"{"version":7,"record":null}"#), Some(7));
        assert_eq!(version_of("{}"), None);
    }
}
