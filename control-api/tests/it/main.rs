//! The service as its callers meet it: the real router on a database of its own per test, without sockets.
//!
//! One file per subject. [`service`] sets the stage: a service, teams with their keys, signed sources, and clicks
//! that are decided by the very code of the edge.

#![allow(clippy::unwrap_used)] // The helpers of tests are tests too.
#![allow(unreachable_pub)] // One binary: what its files share is `pub`.

mod architecture;
mod attribution;
mod audit;
mod bulk;
mod changes;
mod concurrency;
mod conversion_rollups;
mod delivery;
mod dice;
mod erasure;
mod events;
mod everything;
mod examples;
mod explain;
mod export_columns;
mod export_http;
mod export_runs;
mod export_s3;
mod exports;
mod isolation;
mod limits;
mod lists;
mod model;
mod money;
mod openapi;
mod operator;
mod packs;
mod permissions;
mod plans;
mod publish;
mod replica;
mod report_answers;
mod report_http;
mod reports;
mod retention;
mod rollups;
mod routes;
mod secrets;
mod service;
mod setup;
mod source_test;
mod story;
mod tenancy;
mod wire;
mod world;
