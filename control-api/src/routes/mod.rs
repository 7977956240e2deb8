//! One module per resource: parse, call, answer. Each offers a `router()` that names its paths once, for
//! serving and for the OpenAPI document.

pub mod activity;
pub mod api_keys;
pub mod assignments;
pub mod audit;
pub mod bulk;
pub mod conversions;
pub mod delivery;
pub mod docs;
pub mod domains;
pub mod events;
pub mod explain;
pub mod exports;
pub mod internal;
pub mod links;
pub mod partners;
pub mod programs;
pub mod reports;
pub mod signature_check;
pub mod sources;
pub mod system;
pub mod workspaces;
