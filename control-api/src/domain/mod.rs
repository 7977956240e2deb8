//! Rules and transactions, where a resource has any. Plain reads go from route to db.

pub mod activity;
pub mod assignments;
pub mod attribution;
pub mod bulk;
pub mod clicks;
pub mod conversions;
pub mod csv;
pub mod data_keys;
pub mod erasure;
pub mod events;
pub mod explain;
pub mod follow_ons;
pub mod keys;
pub mod links;
pub mod partners;
pub mod programs;
pub mod qr;
pub mod records;
pub mod reports;
pub mod source_test;
pub mod sources;
