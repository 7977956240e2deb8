//! Reading of what callers send: JSON objects and rows of files become typed drafts, with all faults at once.

pub mod event;
mod fields;
pub mod json;
pub mod rows;

pub use fields::*;
