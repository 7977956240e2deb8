//! What one isolate keeps in memory. Nothing here does I/O; the clock is passed in.

pub(crate) mod breaker;
pub(crate) mod buffers;
pub(crate) mod cache;
pub(crate) mod pending;
pub(crate) mod random;
pub(crate) mod sequence;
