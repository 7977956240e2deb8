//! What stands between the wire and a handler: bodies, keys, pages, transactions with audit.
//!
//! Never here: a rule of one resource.

pub mod auth;
pub mod body;
pub mod fields;
pub mod internal;
pub mod limits;
pub mod mutation;
pub mod page;
pub mod params;
pub mod path;
pub mod reference;
pub mod request_id;
pub mod table;
