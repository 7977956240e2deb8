//! The arithmetic of reports: how rollups are folded, packed and added up, and how time is cut into spans.
//!
//! Never here: reading and writing. What is added up comes as arguments; time zones are data.

pub mod calendar;
pub mod clicks;
pub mod conversions;
pub mod counts;
pub mod fold;
pub mod grain;
pub mod group;
pub mod group_key;
mod keyed_sums;
pub mod pack;
pub mod scope;
pub mod spans;
pub mod sums;
pub mod tags;
