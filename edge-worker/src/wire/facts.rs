//! The facts of a request, as the JavaScript entry packs them into one string, and the address in its URL. Pure.

use std::borrow::Cow;

use shared::{name::Slug, redirect::Visit};

/// The facts of a request: eleven fields between newlines. URL and header values can't hold a newline; the network's own
/// values come last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) referrer: &'a str,
    /// `Sec-Purpose`, `Purpose`, `X-Purpose` and `X-Moz`, one after the other.
    purpose: &'a str,
    country: &'a str,
    region: &'a str,
    city: &'a str,
    colo: &'a str,
    /// `cf.botManagement.score`: 1 is surely a bot, 99 surely not.
    bot_score: &'a str,
    /// `cf.botManagement.verifiedBot`.
    verified_bot: &'a str,
}

/// Cloudflare calls scores below this "likely automated".
const LIKELY_AUTOMATED: u8 = 30;

impl<'a> Facts<'a> {
    /// Reads packed facts. Missing fields are empty.
    pub(crate) fn unpack(packed: &'a str) -> Self {
        let mut fields = packed.split('\n');
        let mut field = || fields.next().unwrap_or_default();
        Self {
            method: field(),
            url: field(),
            agent: field(),
            referrer: field(),
            purpose: field(),
            country: field(),
            region: field(),
            city: field(),
            colo: field(),
            bot_score: field(),
            verified_bot: field(),
        }
    }

    /// Whether a short link answers this method.
    pub(crate) fn is_visit(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// The facts that decide a redirect.
    pub(crate) fn visit<'v>(&'v self, address: &'v Address<'a>) -> Visit<'v> {
        Visit {
            host: &address.host,
            slug: &address.slug,
            query: address.query,
            head: self.method == "HEAD",
            agent: self.agent,
            referrer: self.referrer,
            prefetch: is_prefetch(self.purpose),
            known_bot: self.verified_bot == "true"
                || self.bot_score.parse::<u8>().is_ok_and(|score| (1..LIKELY_AUTOMATED).contains(&score)),
            country: self.country,
            region: self.region,
            city: self.city,
            colo: self.colo,
        }
    }
}

/// `prefetch;prerender`, `preview` (old Safari), `prefetch` (old Firefox).
fn is_prefetch(purpose: &str) -> bool {
    ["prefetch", "prerender", "preview"].iter().any(|word| purpose.contains(word))
}

/// The address in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// Lower case, without port and without a trailing dot.
    pub(crate) host: Cow<'a, str>,
    /// As sent, with its `/`.
    pub(crate) path: &'a str,
    /// See [`Slug::of_path`].
    pub(crate) slug: Cow<'a, str>,
    /// Without `?`.
    pub(crate) query: &'a str,
}

impl<'a> Address<'a> {
    /// Reads an absolute URL; `None` for anything else.
    pub(crate) fn of(url: &'a str) -> Option<Self> {
        // Cheaper than to search for `://`, which has to prepare a search; a scheme holds no colon itself.
        let (_, rest) = url.split_once(':')?;
        let rest = rest.strip_prefix("//")?;
        let rest = rest.split('#').next()?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let host = match authority.rsplit_once(':') {
            // The colon of an IPv6 address is followed by its bracket at the latest.
            Some((host, port)) if !port.contains(']') => host,
            _ => authority,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        Some(Self { host, path, slug: Slug::of_path(path), query })
    }

    /// `{host}/{slug}`: the key of the link's record, without its `l:`.
    pub(crate) fn link(&self) -> String {
        [&self.host, "/", &self.slug].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (url, host, path, slug, query) in [
            ("https://go.acme.com/nomura", "go.acme.com", "/nomura", "nomura", ""),
            ("http://go.demo.localhost:8787/a/b?x=1?y", "go.demo.localhost", "/a/b", "a/b", "x=1?y"),
            ("https://GO.Acme.com./No%6Dura#f", "go.acme.com", "/No%6Dura", "Nomura", ""),
            ("https://go.acme.com", "go.acme.com", "", "", ""),
            ("https://go.acme.com/?qr=1", "go.acme.com", "/", "", "qr=1"),
            ("https://go.acme.com?qr=1", "go.acme.com", "", "", "qr=1"),
            ("http://[::1]:8787/x", "[::1]", "/x", "x", ""),
            ("http://[::1]/x", "[::1]", "/x", "x", ""),
            ("https://a.com/x?u=https://b.com/", "a.com", "/x", "x", "u=https://b.com/"),
        ] {
            let address = Address::of(url).unwrap();
            assert_eq!(
                (&*address.host, address.path, &*address.slug, address.query),
                (host, path, slug, query),
                "{url}"
            );
        }
        assert_eq!(Address::of("/nomura"), None);
    }

    #[test]
    fn reads_packed_facts() {
        let packed = "HEAD\nhttps://go.acme.com/x?a=1\nAgent/1.0\nhttps://ref.com/\nprefetch;prerender\nDE\nBerlin\nBerlin\nTXL\n12\ntrue";
        let facts = Facts::unpack(packed);
        let address = Address::of(facts.url).unwrap();
        assert!(facts.is_visit());
        let visit = facts.visit(&address);
        assert_eq!((visit.host, visit.slug, visit.query), ("go.acme.com", "x", "a=1"));
        assert_eq!((visit.agent, visit.referrer), ("Agent/1.0", "https://ref.com/"));
        assert_eq!((visit.country, visit.region, visit.city, visit.colo), ("DE", "Berlin", "Berlin", "TXL"));
        assert!(visit.head && visit.prefetch && visit.known_bot);
        assert_eq!(address.link(), "go.acme.com/x");
    }

    #[test]
    fn knows_bots_by_the_networks_word_only() {
        for (score, verified, known) in [
            ("", "", false),
            ("1", "", true),
            ("29", "false", true),
            ("30", "", false),
            ("99", "true", true),
            ("0", "", false),
        ] {
            let facts = Facts { bot_score: score, verified_bot: verified, ..Facts::default() };
            let address = Address::of("https://a.com/x").unwrap();
            assert_eq!(facts.visit(&address).known_bot, known, "{score} {verified}");
        }
    }
}
