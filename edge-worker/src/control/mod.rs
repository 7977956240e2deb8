//! The signed endpoints that this worker opens for the control plane.

pub(crate) mod endpoints;
pub(crate) mod replicate;
