//! The redirect decision: what a visitor of a short link gets. Pure, so that every rule is a row of a table.

use std::borrow::Cow;

use crate::{
    Millis,
    classify::{self, BotReason, classify},
    click::{Click, TokenReason, Trigger},
    destination::{self, Joiner},
    id::ClickId,
    query,
    record::{DomainRecord, LinkRecord, LinkStatus, Target, Versioned},
    token::{self, TokenKey},
};

/// How long the visitor's forwarded query may be, in bytes; a longer one stays behind.
const MAX_FORWARDED: usize = 2_000;
/// How long a visitor-given text of a snapshot may be, in bytes.
const MAX_TEXT: usize = 255;

/// The facts of a request that a decision may rest on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visit<'a> {
    /// The hostname, lower case, without port.
    pub host: &'a str,
    /// The slug, decoded.
    pub slug: &'a str,
    /// The query, without `?`.
    pub query: &'a str,
    /// Whether this is a `HEAD` request.
    pub head: bool,
    /// `User-Agent`.
    pub agent: &'a str,
    /// `Referer`.
    pub referrer: &'a str,
    /// Whether `Sec-Purpose`, `Purpose`, `X-Purpose` or `X-Moz` say that this is a prefetch.
    pub prefetch: bool,
    /// Whether the network itself takes the client for a bot.
    pub known_bot: bool,
    /// Country code; empty where unknown.
    pub country: &'a str,
    /// Region; empty where unknown.
    pub region: &'a str,
    /// City; empty where unknown.
    pub city: &'a str,
    /// Data centre; empty where unknown.
    pub colo: &'a str,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Redirect there, and hand the click over.
    Redirect {
        /// Value of `Location`.
        location: String,
        /// The snapshot.
        click: Box<Click<'a>>,
    },
    /// The link doesn't redirect; see [`fallback`].
    Unavailable(Unavailable),
}

/// Why there is nothing to redirect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// No such link.
    Unknown,
    /// Paused: may come back.
    Paused,
    /// Archived or expired: won't come back.
    Gone,
}

/// What a visitor gets instead of a redirect to a destination. Never a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback<'a> {
    /// Redirect there.
    To(&'a str),
    /// A small page with this status, 404 or 410.
    Page(u16),
}

/// Decides about one visit of a link. `random` makes the click id and draws the variant; `key` is the
/// signing key of the record's workspace.
#[must_use]
pub fn decide<'a>(
    stored: (&'a LinkRecord, u64),
    visit: &Visit<'a>,
    now: Millis,
    random: [u8; 10],
    key: &TokenKey,
) -> Decision<'a> {
    let (link, record_version) = stored;
    match link.status {
        LinkStatus::Paused => return Decision::Unavailable(Unavailable::Paused),
        LinkStatus::Archived => return Decision::Unavailable(Unavailable::Gone),
        LinkStatus::Active if link.expires_at.is_some_and(|at| at <= now) => {
            return Decision::Unavailable(Unavailable::Gone);
        }
        LinkStatus::Active => {}
    }
    let id = ClickId::mint(now, random);
    let (target, variant) = draw(link, id);
    let client = classify(visit.agent);
    let bot_reason = if visit.head {
        Some(BotReason::Probe)
    } else if visit.prefetch {
        Some(BotReason::Prefetch)
    } else if visit.known_bot {
        client.bot.or(Some(BotReason::BotManagement))
    } else {
        client.bot
    };
    let token = match (&target.token, bot_reason) {
        (TokenReason::Appended, Some(BotReason::Probe)) => TokenReason::Probe,
        (TokenReason::Appended, Some(_)) => TokenReason::Bot,
        (reason, _) => reason.clone(),
    };
    let asked = Asked::read(visit.query);
    let destination = match forwarded(link, target, visit.query) {
        Some(query) => Cow::Owned(spliced(target, &query)),
        None => Cow::Borrowed(target.url.as_str()),
    };
    let location = if token == TokenReason::Appended {
        with_token(target, &destination, id, key)
    } else {
        destination.clone().into_owned()
    };
    let assigned = link.assignment.as_ref();
    let click = Click {
        id,
        workspace: link.workspace,
        link: link.link,
        domain: visit.host.into(),
        slug: visit.slug.into(),
        destination,
        assignment: assigned.map(|a| a.id),
        partner: assigned.and_then(|a| a.partner.as_ref()).map(|p| p.borrowed()),
        program: assigned.and_then(|a| a.program.as_ref()).map(|p| p.borrowed()),
        trigger: asked.trigger,
        source: asked.source.or_else(|| link.utm.source.as_deref().map(Cow::Borrowed)),
        utm: Cow::Borrowed(&link.utm),
        experiment: variant.and(link.experiment.as_deref()).map(Cow::Borrowed),
        variant: variant.map(Cow::Borrowed),
        referrer_host: referrer_host(visit.referrer),
        country: text(visit.country),
        region: text(visit.region),
        city: text(visit.city),
        device: client.device,
        browser: client.browser,
        os: client.os,
        bot_reason,
        token,
        colo: text(visit.colo),
        record_version,
        classifier: classify::VERSION,
        minted: None,
    };
    Decision::Redirect { location, click: Box::new(click) }
}

/// What a visitor gets where there is no redirect: the link's own `expired_url`, else the domain's
/// `not_found_url`, else a page.
#[must_use]
pub fn fallback<'a>(
    why: Unavailable,
    link: Option<&'a LinkRecord>,
    domain: Option<&'a Versioned<DomainRecord>>,
) -> Fallback<'a> {
    let own = link.and_then(|link| link.expired_url.as_deref());
    let domain = domain.and_then(|stored| stored.record.as_ref());
    match own.or_else(|| domain.and_then(|domain| domain.not_found_url.as_deref())) {
        Some(url) => Fallback::To(url),
        None if why == Unavailable::Gone => Fallback::Page(410),
        None => Fallback::Page(404),
    }
}

/// What a visitor of a domain's root gets.
#[must_use]
pub fn root(domain: Option<&Versioned<DomainRecord>>) -> Fallback<'_> {
    let own = domain.and_then(|stored| stored.record.as_ref()).and_then(|domain| domain.root_redirect_url.as_deref());
    own.map_or_else(|| fallback(Unavailable::Unknown, None, domain), Fallback::To)
}

/// Draws a variant from the click id, so that the draw can be repeated from the stored row.
fn draw(link: &LinkRecord, id: ClickId) -> (&Target, Option<&str>) {
    let total: u64 = link.variants.iter().map(|variant| u64::from(variant.weight)).sum();
    if total == 0 {
        return (&link.target, None);
    }
    // The low 62 bits of a UUIDv7 are random. The bias of the remainder is below 2^-30.
    let mut ticket = (id.uuid().as_u64_pair().1 & ((1 << 62) - 1)) % total;
    for variant in &link.variants {
        let weight = u64::from(variant.weight);
        if ticket < weight {
            return (&variant.target, Some(&variant.key));
        }
        ticket -= weight;
    }
    (&link.target, None)
}

/// What the visitor's own query says.
struct Asked<'a> {
    trigger: Trigger,
    source: Option<Cow<'a, str>>,
}

impl<'a> Asked<'a> {
    fn read(query: &'a str) -> Self {
        let mut asked = Self { trigger: Trigger::Link, source: None };
        for pair in query::pairs(query) {
            match &*pair.name() {
                "qr" if pair.value() == "1" => asked.trigger = Trigger::Qr,
                "utm_source" if asked.source.is_none() => {
                    asked.source = Some(printable(pair.value())).filter(|value| !value.is_empty()).map(bounded);
                }
                _ => {}
            }
        }
        asked
    }
}

/// The visitor's parameters that may go along: none that the destination has, nor any of ours.
fn forwarded(link: &LinkRecord, target: &Target, query: &str) -> Option<String> {
    if !link.forward_query || target.sealed || query.is_empty() || query.len() > MAX_FORWARDED {
        return None;
    }
    let present: Vec<_> = query::pairs(destination::query_of(&target.url)).map(|pair| pair.name()).collect();
    let mut along = String::new();
    for pair in query::pairs(query) {
        let name = pair.name();
        // No URL that a runtime hands over holds such bytes; a header or a fragment must not depend on that.
        let breaks_out = pair.raw.bytes().any(|byte| byte <= b' ' || byte == b'#' || byte == 0x7f);
        if breaks_out || name == "qr" || destination::is_reserved(&name) || present.contains(&name) {
            continue;
        }
        if !along.is_empty() {
            along.push('&');
        }
        along.push_str(pair.raw);
    }
    (!along.is_empty()).then_some(along)
}

fn spliced(target: &Target, parameters: &str) -> String {
    let at = target.splice.at;
    [&target.url[..at], target.splice.joiner.as_str(), parameters, &target.url[at..]].concat()
}

/// `destination` (the target with or without forwarded parameters) with the token before its fragment.
fn with_token(target: &Target, destination: &str, id: ClickId, key: &TokenKey) -> String {
    // The fragment is the same length in both, so the place is found from the end.
    let at = destination.len() - (target.url.len() - target.splice.at);
    let joiner = if destination.len() == target.url.len() { target.splice.joiner } else { Joiner::Ampersand };
    let mut location = String::with_capacity(destination.len() + token::PARAM.len() + token::LENGTH + 2);
    location.push_str(&destination[..at]);
    location.push_str(joiner.as_str());
    location.push_str(token::PARAM);
    location.push('=');
    key.write(id, &mut location);
    location.push_str(&destination[at..]);
    location
}

/// The host of a referring page, lower case, without user, port or path.
fn referrer_host(referrer: &str) -> Option<Cow<'_, str>> {
    let (_, rest) = referrer.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = if host.starts_with('[') { host } else { host.split(':').next()? };
    if host.is_empty() || host.len() > MAX_TEXT {
        return None;
    }
    Some(if host.bytes().any(|b| b.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() })
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    (!value.is_empty()).then(|| bounded(Cow::Borrowed(value)))
}

/// Without control characters, which percent-encoding brings into a query: no report shows them, and no store takes all.
fn printable(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.contains(char::is_control) { value.replace(char::is_control, "").into() } else { value }
}

fn bounded(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.len() <= MAX_TEXT {
        return value;
    }
    let end = (0..=MAX_TEXT).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(&value[..end]),
        Cow::Owned(mut value) => {
            value.truncate(end);
            Cow::Owned(value)
        }
    }
}

#[cfg(test)]
mod tests;
