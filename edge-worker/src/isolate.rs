//! What an isolate remembers between requests. All of it may vanish at any moment, so nothing here is the
//! only copy of anything.
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
    cache::{Absent, Memory},
    config::{Config, ConfigError},
    gate::Gate,
    keep::Keep,
    mailbox::Mailbox,
    mint::Mint,
    random::Random,
    runtime::Env,
};

/// The most links kept, fewer where they have many variants: at about 2 KB each, a sixth of an isolate's 128 MB.
const LINKS: usize = 10_000;
/// The most domains kept.
const DOMAINS: usize = 1_000;
/// The most absent keys kept.
const ABSENT: usize = 10_000;
/// The most workspaces' token keys kept.
const TOKEN_KEYS: usize = 1_000;

/// See the module.
pub(crate) struct Isolate {
    config: OnceCell<Rc<Config>>,
    /// By `{host}/{slug}`.
    pub(crate) links: RefCell<Memory<LinkRecord>>,
    /// By `{host}`.
    pub(crate) domains: RefCell<Memory<DomainRecord>>,
    /// Both kinds of keys: a host holds no `/`, a link's key does.
    pub(crate) absent: RefCell<Absent>,
    /// Visitors who asked for too much that nobody knows.
    pub(crate) limited: RefCell<Absent>,
    pub(crate) gate: RefCell<Gate>,
    pub(crate) token_keys: RefCell<TokenKeys>,
    pub(crate) random: RefCell<Random>,
    pub(crate) mailbox: Mailbox,
    pub(crate) mint: RefCell<Mint>,
    /// Clicks that nobody has taken yet.
    pub(crate) keep: RefCell<Keep>,
    /// Clicks that the centre refused alone, and how often.
    pub(crate) refused: RefCell<Vec<(ClickId, u32)>>,
    /// Until when the centre is not asked to take clicks directly.
    pub(crate) centre_away_until: Cell<Option<Millis>>,
}

thread_local! {
    static ISOLATE: Isolate = Isolate {
        config: OnceCell::new(),
        links: RefCell::new(Memory::new(LINKS)),
        domains: RefCell::new(Memory::new(DOMAINS)),
        absent: RefCell::new(Absent::new(ABSENT)),
        limited: RefCell::new(Absent::new(ABSENT)),
        gate: RefCell::default(),
        token_keys: RefCell::default(),
        random: RefCell::default(),
        mailbox: Mailbox::default(),
        mint: RefCell::default(),
        keep: RefCell::default(),
        refused: RefCell::default(),
        centre_away_until: Cell::new(None),
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
