//! Rules and transactions, where a resource has any. Plain reads go from a route to the store.
//!
//! Never here: HTTP, statements.

pub mod activity;
pub mod api_keys;
pub mod assignments;
pub mod attribution;
pub mod bulk;
pub mod clicks;
pub mod coalesce;
pub mod context;
pub mod conversions;
pub mod csv;
pub mod data_keys;
pub mod erasure;
pub mod error;
pub mod events;
pub mod explain;
pub mod follow_ons;
pub mod input;
pub mod keys;
pub mod links;
pub mod partners;
pub mod programs;
pub mod qr;
pub mod records;
pub mod reports;
pub mod seal;
pub mod settle;
pub mod signature_check;
pub mod sources;
mod transaction;

pub use context::Context;
pub use error::{Error, FieldFault};
