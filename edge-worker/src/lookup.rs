//! The tiers of a look-up: memory, then KV, then a signed request to the control plane (a "fill").
//!
//! Whatever fails, a record that is in memory is served on. The look-up itself fails only where there is no record at all
//! and the control plane doesn't answer.

use std::{cell::RefCell, rc::Rc};

use serde::de::DeserializeOwned;
use shared::{
    Millis,
    record::{DomainRecord, Fill, LinkRecord, Versioned, domain_key, link_key},
};

use crate::{
    centre,
    config::Config,
    isolate::Isolate,
    log,
    runtime::{self, Env},
    state::{
        breaker::Outcome,
        cache::{Memory, Room},
    },
};

/// The seconds for which KV may answer from the data centre's own cache. Its minimum.
const KV_CACHE_TTL: u32 = 30;
/// How long a visitor waits for KV, in milliseconds.
const KV_TIMEOUT: u32 = 2_000;

/// The bindings and settings that a look-up needs.
pub(crate) struct Lookup<'a> {
    pub(crate) env: &'a Env,
    pub(crate) config: &'a Config,
    /// The visitor's address, by which look-ups of unknown links are counted. `None` where the address is unknown.
    pub(crate) visitor: Option<&'a str>,
}

/// Why a look-up failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The record is not cached and the control plane did not answer.
    Unreachable,
    /// The visitor has asked for too many links that neither memory nor KV holds.
    Limited,
}

/// A record, a tombstone, or `None` where no record ever existed.
type Known<T> = Option<Rc<Versioned<T>>>;

/// The record to look up.
struct Wanted<'a, T> {
    host: &'a str,
    /// Empty where only the domain is asked for.
    slug: &'a str,
    /// Its key in memory.
    key: String,
    /// Its key in KV.
    stored_under: String,
    memory: fn(&Isolate) -> &RefCell<Memory<T>>,
}

enum Read<T> {
    Found(Versioned<T>),
    Missing,
    Failed,
}

impl Lookup<'_> {
    /// The link of a valid host and slug.
    pub(crate) async fn link(&self, host: &str, slug: &str) -> Result<Known<LinkRecord>, NoAnswer> {
        let (key, stored_under) = ([host, "/", slug].concat(), link_key(host, slug));
        self.find(Wanted { host, slug, key, stored_under, memory: |isolate| &isolate.links }).await
    }

    /// The settings of a valid host.
    pub(crate) async fn domain(&self, host: &str) -> Result<Known<DomainRecord>, NoAnswer> {
        let (key, stored_under) = (host.to_owned(), domain_key(host));
        self.find(Wanted { host, slug: "", key, stored_under, memory: |isolate| &isolate.domains }).await
    }

    async fn find<T: DeserializeOwned + Room>(&self, wanted: Wanted<'_, T>) -> Result<Known<T>, NoAnswer> {
        if let Some(known) = wanted.remembered() {
            return Ok(known);
        }
        let stale = wanted.with_memory(|memory, now| memory.claim(&wanted.key, now));
        let failed = match self.read(&wanted.stored_under).await {
            Read::Found(stored) => {
                return Ok(Some(wanted.with_memory(|memory, now| memory.offer(&wanted.key, stored, now))));
            }
            Read::Missing => false,
            Read::Failed => true,
        };
        // A failing KV says nothing about the key, so the visitor is not blamed then.
        let blamed = !failed && stale.is_none();
        if blamed && self.was_limited() {
            return Err(NoAnswer::Limited);
        }
        // While KV fails, a stale record will do: the control plane is not a substitute for KV.
        let filled = !(failed && stale.is_some()) && self.fill(wanted.host, wanted.slug).await;
        if filled {
            let known = wanted.remembered().flatten();
            // Counted only now: a new record may not have reached KV yet.
            return if known.is_none() && blamed && self.is_limited().await {
                Err(NoAnswer::Limited)
            } else {
                Ok(known)
            };
        }
        wanted.with_memory(|memory, now| memory.extend(&wanted.key, now));
        stale.map(Some).ok_or(NoAnswer::Unreachable)
    }

    async fn read<T: DeserializeOwned + Room>(&self, key: &str) -> Read<T> {
        match self.env.read(key, KV_CACHE_TTL, KV_TIMEOUT).await {
            Ok(Some(text)) => match serde_json::from_str(&text) {
                Ok(stored) => Read::Found(stored),
                Err(error) => {
                    log::error("kv_record_unreadable", &format!("{key}: {error}"));
                    Read::Missing
                }
            },
            Ok(None) => Read::Missing,
            Err(why) => {
                log::warn("kv_read_failed", &why.to_string());
                Read::Failed
            }
        }
    }

    /// Counts a look-up of an unknown link. True if the visitor has made too many.
    async fn is_limited(&self) -> bool {
        let Some(visitor) = self.visitor else { return false };
        let limited = self.env.exceeds(visitor).await.unwrap_or_else(|error| {
            log::warn("limit_failed", &error.to_string());
            false
        });
        if limited {
            Isolate::with(|isolate| isolate.limited.borrow_mut().insert(visitor, runtime::now()));
        }
        limited
    }

    /// Whether the visitor was limited a moment ago. The control plane is not asked for such a visitor.
    fn was_limited(&self) -> bool {
        self.visitor
            .is_some_and(|visitor| Isolate::with(|isolate| isolate.limited.borrow().contains(visitor, runtime::now())))
    }

    /// Asks the control plane about the host and the slug, and remembers the response. False if there is none.
    async fn fill(&self, host: &str, slug: &str) -> bool {
        let permit = match Isolate::with(|isolate| isolate.breaker.borrow_mut().admit(runtime::now())) {
            Ok(permit) => permit,
            Err(refused) => {
                log::warn("fill_refused", &refused.to_string());
                return false;
            }
        };
        let answer = centre::fill(self.config, host, slug).await;
        let outcome = if answer.is_ok() { Outcome::Answered } else { Outcome::Failed };
        Isolate::with(|isolate| isolate.breaker.borrow_mut().finish(permit, outcome, runtime::now()));
        match answer {
            Ok(fill) => {
                Isolate::with(|isolate| remember(isolate, host, slug, fill));
                true
            }
            Err(failure) => {
                log::warn("fill_failed", &failure.to_string());
                false
            }
        }
    }
}

impl<T: Room> Wanted<'_, T> {
    /// The answer of memory, if memory alone can give one.
    fn remembered(&self) -> Option<Known<T>> {
        if let Some(stored) = self.with_memory(|memory, now| memory.servable(&self.key, now).cloned()) {
            return Some(Some(stored));
        }
        let now = runtime::now();
        let absent = Isolate::with(|isolate| {
            let absent = isolate.absent.borrow();
            absent.contains(&self.key, now) || absent.contains(self.host, now)
        });
        absent.then_some(None)
    }

    fn with_memory<R>(&self, f: impl FnOnce(&mut Memory<T>, Millis) -> R) -> R {
        Isolate::with(|isolate| f(&mut (self.memory)(isolate).borrow_mut(), runtime::now()))
    }
}

fn remember(isolate: &Isolate, host: &str, slug: &str, fill: Fill) {
    let now = runtime::now();
    let mut absent = isolate.absent.borrow_mut();
    match fill.domain {
        Some(domain) => {
            absent.remove(host);
            isolate.domains.borrow_mut().offer(host, domain, now);
        }
        None => {
            isolate.domains.borrow_mut().forget(host);
            absent.insert(host, now);
        }
    }
    if slug.is_empty() {
        return;
    }
    let key = [host, "/", slug].concat();
    match fill.link {
        Some(link) => {
            absent.remove(&key);
            isolate.links.borrow_mut().offer(&key, link, now);
        }
        None => {
            isolate.links.borrow_mut().forget(&key);
            absent.insert(&key, now);
        }
    }
}
