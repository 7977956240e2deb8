//! Conversions as attribution writes and reads them. Rows are inserted once; only what was left pending is
//! ever updated, guarded by that status.

mod conversion;
mod copy;
mod insert;
mod queries;
mod rows;
mod waiting;

pub use conversion::{Conversion, Snapshot};
pub use insert::{begin, insert};
pub use queries::*;
pub use waiting::*;
