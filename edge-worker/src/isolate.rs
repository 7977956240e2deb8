//! The memory of an isolate between requests. All of it may vanish at any moment, so nothing here may be the only copy of
//! anything that matters.
//!
//! Borrows end before the next `await`: another request may run there.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use shared::{
    KeyRing, Millis,
    id::{ClickId, WorkspaceId},
    record::{DomainRecord, LinkRecord},
    token::TokenKey,
};

use crate::{
    config::{Config, ConfigError},
    runtime::Env,
    state::{
        breaker::Breaker,
        buffers::Buffers,
        cache::{Absent, Memory},
        pending::Pending,
        random::Random,
        sequence::Sequence,
    },
};

/// The largest number of links in memory, smaller where they have many variants: at about 2 KB each, a sixth of an
/// isolate's 128 MB.
const LINKS: usize = 10_000;
/// The largest number of domains in memory.
const DOMAINS: usize = 1_000;
/// The largest number of absent keys in memory.
const ABSENT: usize = 10_000;
/// The largest number of workspaces whose token keys are in memory.
const TOKEN_KEYS: usize = 1_000;

/// The memory of this isolate.
pub(crate) struct Isolate {
    config: OnceCell<Rc<Config>>,
    /// By `{host}/{slug}`.
    pub(crate) links: RefCell<Memory<LinkRecord>>,
    /// By `{host}`.
    pub(crate) domains: RefCell<Memory<DomainRecord>>,
    /// Both kinds of keys: a host holds no `/`, a link's key does.
    pub(crate) absent: RefCell<Absent>,
    /// Visitors who have asked for too many unknown links.
    pub(crate) limited: RefCell<Absent>,
    pub(crate) breaker: RefCell<Breaker>,
    pub(crate) token_keys: RefCell<TokenKeys>,
    pub(crate) random: RefCell<Random>,
    pub(crate) buffers: Buffers,
    pub(crate) sequence: RefCell<Sequence>,
    /// Clicks that are not handed over yet.
    pub(crate) pending: RefCell<Pending>,
    /// Clicks that the control plane refused when they were sent alone, and how often.
    pub(crate) refused: RefCell<Vec<(ClickId, u32)>>,
    /// Until when clicks are not sent to the control plane directly.
    pub(crate) direct_paused_until: Cell<Option<Millis>>,
}

thread_local! {
    static ISOLATE: Isolate = Isolate {
        config: OnceCell::new(),
        links: RefCell::new(Memory::new(LINKS)),
        domains: RefCell::new(Memory::new(DOMAINS)),
        absent: RefCell::new(Absent::new(ABSENT)),
        limited: RefCell::new(Absent::new(ABSENT)),
        breaker: RefCell::default(),
        token_keys: RefCell::default(),
        random: RefCell::default(),
        buffers: Buffers::default(),
        sequence: RefCell::default(),
        pending: RefCell::default(),
        refused: RefCell::default(),
        direct_paused_until: Cell::new(None),
    };
}

impl Isolate {
    /// Gives access to this isolate's memory.
    pub(crate) fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        ISOLATE.with(f)
    }

    /// The settings, read from `env` by the first request.
    pub(crate) fn config(env: &Env) -> Result<Rc<Config>, ConfigError> {
        Self::with(|isolate| match isolate.config.get() {
            Some(config) => Ok(Rc::clone(config)),
            None => Config::read(env).map(|config| Rc::clone(isolate.config.get_or_init(|| Rc::new(config)))),
        })
    }

    /// The settings, if a request has read them already.
    pub(crate) fn known_config(&self) -> Option<&Config> {
        self.config.get().map(Rc::as_ref)
    }
}

/// Token keys by workspace: costly to derive, cheap to use.
#[derive(Default)]
pub(crate) struct TokenKeys(HashMap<WorkspaceId, TokenKey>);

impl TokenKeys {
    /// The signing key of a workspace.
    pub(crate) fn of(&mut self, workspace: WorkspaceId, ring: &KeyRing) -> &TokenKey {
        if self.0.len() >= TOKEN_KEYS && !self.0.contains_key(&workspace) {
            self.0.clear();
        }
        self.0.entry(workspace).or_insert_with(|| TokenKey::signing(ring, workspace))
    }
}
