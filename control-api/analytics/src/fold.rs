//! Counting of what was stored into rollups, in Rust; SQL says the same and proves it.

pub mod clicks;
pub mod conversions;
