//! The words that every layer of the control plane speaks: times, pages, references, permissions, statuses.
//!
//! Never here: SQL (codecs of single values aside), HTTP, rules of one resource.

pub mod access;
pub mod conversion;
pub mod page;
pub mod reference;
pub mod status;
pub mod time;
