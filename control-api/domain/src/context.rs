//! The handles that rules and transactions work with.

use std::{ops::Deref, sync::Arc};

use model::time::Clock;
use shared::KeyRing;
use store::PgPool;
use store::packs::Cache;

use crate::{events::outcome::EventCoalescer, sources::lookup::SourceLookups};

/// Handles of one instance, cheap to clone. It holds no state that matters, so any number of instances can run against
/// one database.
#[derive(Clone)]
pub struct Context(Arc<Handles>);

/// See [`Context`].
pub struct Handles {
    /// Connections for requests: every transaction ends within [`store::pool::WRITE_TIMEOUT`].
    pub db: PgPool,
    /// Connections for what may take longer and never writes facts.
    pub reads: PgPool,
    /// Connections to the replica that reports and exports prefer.
    pub replica: Option<PgPool>,
    /// Time and randomness.
    pub clock: Clock,
    /// Ring that signs click tokens.
    pub token_secrets: KeyRing,
    /// Ring that encrypts source secrets at rest.
    pub data_keys: KeyRing,
    /// Lookups of what verifies a source, each made once for all who wait for it.
    pub lookups: SourceLookups,
    /// Events that came one by one.
    pub events: EventCoalescer,
    /// Packs that reports have read lately.
    pub packs: Cache,
}

impl Context {
    /// The handles, shared.
    #[must_use]
    pub fn new(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

impl Deref for Context {
    type Target = Handles;
    fn deref(&self) -> &Handles {
        &self.0
    }
}
