//! Destinations: checked once when saved, then touched only by splicing, never re-serialised.
//!
//! Parsing and writing a URL again changes bytes (`%20` becomes `+`, `?flag` becomes `?flag=`), and some
//! server at the other end depends on each of them. So the stored text is cut at byte offsets instead.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{query, token};

/// The longest destination, in bytes.
pub const MAX_BYTES: usize = 2_000;

/// An `http` or `https` URL that a link may send visitors to, byte for byte as its owner wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Destination(String);

text_enum! {
    /// Why a text is no destination. The text is the validation code of the API.
    pub enum Fault {
        /// Empty or over [`MAX_BYTES`].
        Length = "length",
        /// Not `http://` or `https://`.
        Scheme = "scheme",
        /// No host, a host with odd characters, or a port that is no number.
        Host = "host",
        /// `user:password@` before the host.
        Credentials = "credentials",
        /// Spaces, control characters, backslashes, or quotes and brackets that no URL may hold.
        Characters = "characters",
        /// A parameter named `nim_ct`: it would shadow or forge the click token.
        ReservedParameter = "reserved_parameter",
    }
}

impl Fault {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Length => "must have 1 to 2,000 bytes",
            Self::Scheme => "must start with http:// or https://",
            Self::Host => "must name a host, with a numeric port if any",
            Self::Credentials => "must not hold a user name or password before the host",
            Self::Characters => {
                "must not hold spaces, control characters, backslashes, quotes or angle brackets; percent-encode them"
            }
            Self::ReservedParameter => "must not have a parameter named nim_ct; it is added to each click by the edge",
        }
    }
}

impl Destination {
    /// Checks a destination.
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(Fault::Length);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '"' | '<' | '>' | '`')) {
            return Err(Fault::Characters);
        }
        let rest = strip_scheme(text).ok_or(Fault::Scheme)?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if authority.contains('@') {
            return Err(Fault::Credentials);
        }
        if !is_host_and_port(authority) {
            return Err(Fault::Host);
        }
        if has_reserved_parameter(text) {
            return Err(Fault::ReservedParameter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    ["https://", "http://"].iter().find_map(|scheme| {
        text.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &text[scheme.len()..])
    })
}

fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) => {
                return v6.parse::<std::net::Ipv6Addr>().is_ok()
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    !host.is_empty()
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && !host.starts_with('.')
        && !host.contains("..")
        && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn has_reserved_parameter(url: &str) -> bool {
    query::pairs(query_of(url)).any(|pair| is_reserved(&pair.name()))
}

/// Whether a parameter of this (decoded) name would shadow the click token.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name == token::PARAM
}

/// The query of a URL, without `?`; empty where there is none.
#[must_use]
pub fn query_of(url: &str) -> &str {
    let before_fragment = url.split('#').next().unwrap_or_default();
    before_fragment.split_once('?').map_or("", |(_, query)| query)
}

/// Where parameters may be put into a URL without touching its other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    /// Byte offset: before the `#`, or the end.
    pub at: usize,
    /// What must stand before the first parameter put there.
    pub joiner: Joiner,
}

text_enum! {
    /// What stands between a URL and the first parameter put into it.
    pub enum Joiner {
        /// The URL has no query yet.
        Question = "?",
        /// The URL has a query.
        Ampersand = "&",
        /// The URL's query is empty or ends in `&`.
        Nothing = "",
    }
}

impl Splice {
    /// The place in `url`.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let at = url.find('#').unwrap_or(url.len());
        let joiner = match url[..at].split_once('?') {
            None => Joiner::Question,
            Some((_, query)) if query.is_empty() || query.ends_with('&') => Joiner::Nothing,
            Some(_) => Joiner::Ampersand,
        };
        Self { at, joiner }
    }
}

/// `url` with the parameters of `added` that it doesn't have yet, in order. What a destination says itself
/// wins over what is added to it, and of `added` the first of a name.
#[must_use]
pub fn merge<'a>(url: &str, added: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut present: Vec<_> = query::pairs(query_of(url)).map(|pair| pair.name()).collect();
    let mut parameters = String::new();
    for (name, value) in added {
        if present.iter().any(|there| there == name) {
            continue;
        }
        present.push(name.into());
        if !parameters.is_empty() {
            parameters.push('&');
        }
        query::write_pair(name, value, &mut parameters);
    }
    if parameters.is_empty() {
        return url.to_owned();
    }
    let Splice { at, joiner } = Splice::of(url);
    [&url[..at], joiner.as_str(), &parameters, &url[at..]].concat()
}

/// The five UTM parameters. Absent is `None`; empty texts are not stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Utm {
    /// `utm_source`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `utm_medium`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// `utm_campaign`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// `utm_term`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
    /// `utm_content`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl Utm {
    /// Whether none is set.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        self.parameters().next().is_none()
    }

    /// Parameter names and values that are set, in the usual order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            ("utm_source", &self.source),
            ("utm_medium", &self.medium),
            ("utm_campaign", &self.campaign),
            ("utm_term", &self.term),
            ("utm_content", &self.content),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }

    /// These values, with those of `defaults` where nothing is set.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            source: self.source.or_else(|| defaults.source.clone()),
            medium: self.medium.or_else(|| defaults.medium.clone()),
            campaign: self.campaign.or_else(|| defaults.campaign.clone()),
            term: self.term.or_else(|| defaults.term.clone()),
            content: self.content.or_else(|| defaults.content.clone()),
        }
    }
}

/// Parameters of a link's own, by name.
pub type CustomQuery = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn checks_destinations() {
        let fits = format!("https://acme.com/{}", "x".repeat(MAX_BYTES - 17));
        for good in [
            "https://acme.com",
            "HTTPS://acme.com/",
            "http://acme.com:8080/a/b?x=1&y#frag",
            "https://acme.com/%20?flag&q=%2B+x;y",
            "https://bücher.example/straße?x=ü",
            "https://[2001:db8::1]:443/x",
            "https://acme.com?nim_ctx=1",
            "https://acme.com/#nim_ct=1",
            "https://a.com/@x",
            &fits,
        ] {
            assert_eq!(Destination::parse(good).map(|d| d.0), Ok(good.to_owned()));
        }
        let long = format!("{fits}x");
        for (bad, fault) in [
            ("", Fault::Length),
            (&*long, Fault::Length),
            ("ftp://acme.com", Fault::Scheme),
            ("javascript:alert(1)", Fault::Scheme),
            ("//acme.com", Fault::Scheme),
            ("https://", Fault::Host),
            ("https:///x", Fault::Host),
            ("https://acme.com:x/", Fault::Host),
            ("https://acme.com:99999/", Fault::Host),
            ("https://[::zz]/", Fault::Host),
            ("https://a%2eb/", Fault::Host),
            ("https://u:p@acme.com/", Fault::Credentials),
            ("https://acme.com@evil.com", Fault::Credentials),
            ("https://acme.com\\@evil.com", Fault::Characters),
            ("https://acme.com/a b", Fault::Characters),
            ("https://acme.com/\r\nSet-Cookie:x", Fault::Characters),
            ("https://acme.com/?nim_ct=1", Fault::ReservedParameter),
            ("https://acme.com/?a&nim_ct", Fault::ReservedParameter),
            ("https://acme.com/?n%69m_ct=1#x", Fault::ReservedParameter),
        ] {
            assert_eq!(Destination::parse(bad), Err(fault), "{bad}");
        }
    }

    #[test]
    fn merges_without_touching_other_bytes() {
        let added = [("utm_source", "a b"), ("x", "1")];
        for (url, merged) in [
            ("https://a.com", "https://a.com?utm_source=a%20b&x=1"),
            ("https://a.com/?", "https://a.com/?utm_source=a%20b&x=1"),
            ("https://a.com/?x=9", "https://a.com/?x=9&utm_source=a%20b"),
            ("https://a.com/?flag&", "https://a.com/?flag&utm_source=a%20b&x=1"),
            ("https://a.com/?q=%2B#f?x", "https://a.com/?q=%2B&utm_source=a%20b&x=1#f?x"),
            ("https://a.com/?%78=1&utm%5Fsource=2", "https://a.com/?%78=1&utm%5Fsource=2"),
        ] {
            assert_eq!(merge(url, added), merged);
        }
        assert_eq!(merge("https://a.com", [("x", "1"), ("x", "2")]), "https://a.com?x=1");
    }

    proptest! {
        #[test]
        fn a_splice_keeps_all_other_bytes_and_is_found(
            path in "[a-zA-Z0-9/%._~;,é-]{0,30}",
            query in proptest::option::of("[a-zA-Z0-9=&%+;._~?/ü-]{0,40}"),
            fragment in proptest::option::of("[a-zA-Z0-9=&?/#]{0,20}"),
        ) {
            let mut url = format!("https://acme.com/{path}");
            if let Some(query) = &query { url = format!("{url}?{query}"); }
            if let Some(fragment) = &fragment { url = format!("{url}#{fragment}"); }
            let Splice { at, joiner } = Splice::of(&url);
            let spliced = [&url[..at], joiner.as_str(), "nim_ct=T", &url[at..]].concat();
            prop_assert_eq!(spliced.replacen(&format!("{}nim_ct=T", joiner.as_str()), "", 1), url);
            let parsed = url::Url::parse(&spliced).unwrap();
            prop_assert!(parsed.query_pairs().any(|(name, value)| name == "nim_ct" && value == "T"), "{}", spliced);
            prop_assert_eq!(parsed.fragment().is_some(), fragment.is_some());
        }

        #[test]
        fn decoding_agrees_with_the_standard(query in "[a-z=&%0-9A-F+;é]{0,40}") {
            let ours: Vec<_> = query::pairs(&query).map(|p| (p.name().into_owned(), p.value().into_owned())).collect();
            let theirs: Vec<_> = form_urlencoded::parse(query.as_bytes()).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
