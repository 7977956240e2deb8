//! How often a caller may ask: per API key, per source of events, and per client address for keys and signatures that
//! don't hold. Each instance counts for itself.
//!
//! Never here: who the caller is ([`super::auth`]). Only what has proven itself is counted by name, so that nobody can
//! use up another's requests, and what is kept grows with keys and sources, never with what strangers send.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request},
    http::{Extensions, HeaderMap, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};
use shared::id::{ApiKeyId, SourceId};

use crate::{State, problem::ApiError};

/// So many requests in so many seconds, written `requests/seconds`, or `off`. They may come at once; what is used up
/// comes back evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// No limit.
    Off,
    /// A limit.
    Of {
        /// Requests.
        requests: NonZeroU32,
        /// Seconds in which they come back.
        seconds: NonZeroU32,
    },
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let limit = text.split_once('/').and_then(|(requests, seconds)| {
            Some(Self::Of { requests: requests.trim().parse().ok()?, seconds: seconds.trim().parse().ok()? })
        });
        let limit = limit.ok_or("must be requests/seconds, such as 12000/60, or off")?;
        // Requests that come back less than a nanosecond apart are no limit.
        limit.quota().map(|_| limit).ok_or_else(|| "allows too many requests to be a limit; write off".to_owned())
    }
}

impl RateLimit {
    fn quota(self) -> Option<Quota> {
        match self {
            Self::Off => None,
            Self::Of { requests, seconds } => {
                let one = Duration::from_secs(seconds.get().into()) / requests.get();
                Some(Quota::with_period(one)?.allow_burst(requests))
            }
        }
    }
}

/// One limit, counted by `K`.
struct Limiter<K: Hash + Eq + Clone> {
    name: &'static str,
    limit: RateLimit,
    cells: Option<RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(name: &'static str, limit: RateLimit) -> Self {
        let cells = limit.quota().map(|quota| RateLimiter::hashmap(quota).with_middleware());
        Self { name, limit, cells }
    }

    /// Takes one request from what `key` has left: how it stands then, or how it stands without.
    fn take(&self, key: &K) -> Result<Option<Standing>, Standing> {
        let (Some(cells), RateLimit::Of { requests, seconds }) = (&self.cells, self.limit) else { return Ok(None) };
        let (requests, window) = (requests.get(), seconds.get());
        let standing = |left: u32, wait: u32| Standing { name: self.name, requests, window, left, wait };
        match cells.check_key(key) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let used = u64::from(requests.saturating_sub(left));
                let wait = (used * u64::from(window)).div_ceil(u64::from(requests));
                Ok(Some(standing(left, u32::try_from(wait).unwrap_or(window))))
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Err(standing(0, u32::try_from(whole).unwrap_or(u32::MAX).max(1)))
            }
        }
    }
}

/// How a caller stands with a limit, as the headers of the answer tell it.
#[derive(Debug, Clone, Copy)]
struct Standing {
    name: &'static str,
    requests: u32,
    window: u32,
    left: u32,
    /// Seconds until all requests are there again, or until one is, where none is left.
    wait: u32,
}

impl Standing {
    /// The two fields of the HTTPAPI working group's draft, revision 10.
    fn write(self, headers: &mut HeaderMap) {
        let Self { name, requests, window, left, wait } = self;
        for (field, value) in [
            ("ratelimit-policy", format!("\"{name}\";q={requests};w={window}")),
            ("ratelimit", format!("\"{name}\";r={left};t={wait}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(field, value);
            }
        }
    }
}

/// The limits of one instance.
pub struct Limits {
    keys: Limiter<ApiKeyId>,
    sources: Limiter<SourceId>,
    /// By a slot that addresses are hashed to: its memory is bounded whoever calls, at the price that two addresses
    /// may share a slot.
    failures: Limiter<u16>,
    /// Seeded anew by each process, so that nobody can aim at another's slot.
    slots: RandomState,
    /// Trusted proxies in front.
    hops: usize,
}

impl Limits {
    /// Limits of requests by API key, by source of events and by refused address, behind so many trusted proxies.
    #[must_use]
    pub fn new(api: RateLimit, events: RateLimit, refused: RateLimit, hops: u8) -> Self {
        Self {
            keys: Limiter::new("api-key", api),
            sources: Limiter::new("source", events),
            failures: Limiter::new("refused", refused),
            slots: RandomState::new(),
            hops: hops.into(),
        }
    }

    /// Counts a request of a valid key.
    ///
    /// # Errors
    /// 429.
    pub fn admit_key(&self, visitor: &Visitor, key: ApiKeyId) -> Result<(), ApiError> {
        visitor.note(self.keys.take(&key))
    }

    /// Counts a genuine request of a source; a batch is one.
    ///
    /// # Errors
    /// 429.
    pub fn admit_source(&self, visitor: &Visitor, source: SourceId) -> Result<(), ApiError> {
        visitor.note(self.sources.take(&source))
    }

    /// Counts a refusal of who did not prove himself, and answers it, or 429 after too many. A valid key or signature
    /// from the same address is never refused for them: behind a shared address, one fool would shut all others out.
    pub fn refuse(&self, visitor: &Visitor, refusal: ApiError) -> ApiError {
        let [high, low, ..] = self.slots.hash_one(visitor.network).to_be_bytes();
        match self.failures.take(&u16::from_be_bytes([high, low])) {
            Ok(_) => refusal,
            Err(standing) => visitor.note(Err(standing)).err().unwrap_or(refusal),
        }
    }

    /// Lets go of the counts of those who have everything left.
    pub fn forget_idle(&self) {
        if let Some(cells) = &self.keys.cells {
            cells.retain_recent();
        }
        if let Some(cells) = &self.sources.cells {
            cells.retain_recent();
        }
        if let Some(cells) = &self.failures.cells {
            cells.retain_recent();
        }
    }
}

/// What a request's answer will tell of its limit.
#[derive(Clone, Default)]
struct Slot(Arc<OnceLock<Standing>>);

/// Whom a request comes from, as far as it counts for limits.
pub struct Visitor {
    network: IpAddr,
    slot: Slot,
}

impl Visitor {
    /// Reads it from a request's head.
    #[must_use]
    pub fn of(state: &impl State, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let address = forwarded(headers, state.limits().hops).or(peer).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Self { network: network(address), slot: extensions.get::<Slot>().cloned().unwrap_or_default() }
    }

    fn note(&self, taken: Result<Option<Standing>, Standing>) -> Result<(), ApiError> {
        let (standing, outcome) = match taken {
            Ok(standing) => (standing, Ok(())),
            Err(standing) => (Some(standing), Err(ApiError::RateLimited { retry_after: standing.wait })),
        };
        if let Some(standing) = standing {
            // One limit applies to a request; should two ever, the first is told.
            let _ = self.slot.0.set(standing);
        }
        outcome
    }
}

impl<S: State> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(state, &parts.headers, &parts.extensions))
    }
}

/// The address that the outermost of `hops` trusted proxies saw: each appends its peer to `X-Forwarded-For`, and what
/// stands before that is the visitor's own word.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let back = hops.checked_sub(1)?;
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    values.iter().flat_map(|value| value.split(',')).rev().nth(back)?.trim().parse().ok()
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 customer usually has to himself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Puts on the answer how its caller stands.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    if let Some(standing) = slot.0.get() {
        standing.write(response.headers_mut());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_written() {
        assert_eq!("off".parse(), Ok(RateLimit::Off));
        let read: RateLimit = "12000/60".parse().unwrap();
        assert!(matches!(read, RateLimit::Of { requests, seconds } if (requests.get(), seconds.get()) == (12_000, 60)));
        for wrong in ["", "5", "0/1", "1/0", "-1/1", "1/1/1", "4000000000/1", "on"] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_trusted_proxies_say_who_calls() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 10.0.0.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        let seen = |hops| forwarded(&headers, hops).map(|ip| ip.to_string());
        assert_eq!(seen(0), None);
        assert_eq!(seen(1).as_deref(), Some("10.0.0.2"));
        assert_eq!(seen(2).as_deref(), Some("10.0.0.1"));
        assert_eq!(seen(4), None);
    }

    #[test]
    fn one_customer_is_one_client() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
