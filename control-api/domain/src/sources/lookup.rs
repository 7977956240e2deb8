//! What verifies the requests of a source, and the lookups of it.

use std::sync::Arc;

use model::access::{Access, Plan};
use shared::{
    id::{SourceId, WorkspaceId},
    webhook::Secret,
};

use crate::{Error, coalesce::Coalescer};

/// What verifies the requests of a source.
pub struct Verification {
    /// Whose source it is.
    pub workspace: WorkspaceId,
    /// The workspace's plan.
    pub plan: Plan,
    /// The workspace's surfaces.
    pub access: Access,
    /// The secrets that are valid now, newest first; never empty.
    pub secrets: Vec<Secret>,
    /// Whether its last use was noted a moment ago.
    pub noted: bool,
}

/// Requests that want to know what verifies a source, and how each is told.
pub type SourceLookups = Coalescer<SourceId, (), Result<Option<Arc<Verification>>, Error>>;
