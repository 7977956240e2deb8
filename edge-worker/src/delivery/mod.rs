//! Clicks on their way to the control plane: by queue, directly where the queue refuses them, by the spool where the
//! control plane is away too.

pub(crate) mod batch;
pub(crate) mod drain;
pub(crate) mod fallback;
pub(crate) mod queue;
pub(crate) mod spool;
