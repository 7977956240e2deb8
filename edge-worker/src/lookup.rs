//! The tiers behind a look-up that memory alone can't answer: memory ▶ KV ▶ signed fill.
//!
//! Whatever fails, a record that was known is served on; only where nothing is known at all and the centre
//! doesn't answer either, the look-up itself fails.

use std::{cell::RefCell, rc::Rc};

use serde::de::DeserializeOwned;
use shared::{
    Millis,
    record::{DomainRecord, Fill, LinkRecord, Versioned, domain_key, link_key},
};

use crate::{
    cache::{Memory, Room},
    config::Config,
    control,
    gate::Outcome,
    isolate::Isolate,
    log,
    runtime::{self, Env},
};

/// The seconds for which KV may answer from the data centre's own cache. Its minimum.
const KV_CACHE_TTL: u32 = 30;
/// How long a visitor waits for KV, in milliseconds.
const KV_TIMEOUT: u32 = 2_000;

/// The bindings and settings that a look-up needs.
pub(crate) struct Lookup<'a> {
    pub(crate) env: &'a Env,
    pub(crate) config: &'a Config,
    /// Whose look-ups of what nobody knows are counted together: an address. `None` where it is not known.
    pub(crate) visitor: Option<&'a str>,
}

/// Why a look-up brought nothing, not even that there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nothing is cached and the centre did not answer.
    Unreachable,
    /// The visitor has asked for too much that neither memory nor the store knows.
    Limited,
}

/// A record, a tombstone, or `None` where there never was one.
type Known<T> = Option<Rc<Versioned<T>>>;

/// One thing to look up.
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
        // A store that fails knows nothing of what it has, so nobody is blamed for asking then.
        let blamed = !failed && stale.is_none();
        if blamed && self.was_limited() {
            return Err(NoAnswer::Limited);
        }
        // While KV fails, a record that is known will do: the centre is not there to stand in for KV.
        let filled = !(failed && stale.is_some()) && self.fill(wanted.host, wanted.slug).await;
        if filled {
            let known = wanted.remembered().flatten();
            // Only now: what the centre knows may not have reached the store yet.
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

    /// Counts one look-up of what nobody knows, and tells whether it is one too many.
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

    /// Whether the visitor was told so a moment ago: the centre isn't asked for them then.
    fn was_limited(&self) -> bool {
        self.visitor
            .is_some_and(|visitor| Isolate::with(|isolate| isolate.limited.borrow().contains(visitor, runtime::now())))
    }

    /// Asks the centre and remembers what it says about the host and the slug; `false` if it says nothing.
    async fn fill(&self, host: &str, slug: &str) -> bool {
        let permit = match Isolate::with(|isolate| isolate.gate.borrow_mut().admit(runtime::now())) {
            Ok(permit) => permit,
            Err(refused) => {
                log::warn("fill_refused", &refused.to_string());
                return false;
            }
        };
        let answer = control::fill(self.config, host, slug).await;
        let outcome = if answer.is_ok() { Outcome::Answered } else { Outcome::Failed };
        Isolate::with(|isolate| isolate.gate.borrow_mut().finish(permit, outcome, runtime::now()));
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
    /// What memory alone can answer.
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
