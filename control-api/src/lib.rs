//! The central service: setup, ingest, attribution, reports, exports, replication. One Postgres, no other
//! state, any number of instances.
//!
//! Three steps per request, and a reader finds a resource by its name in each:
//! - [`routes`] parses and answers; its handlers' signatures tell who may call.
//! - [`domain`] holds rules and transactions, where a resource has any.
//! - [`db`] holds SQL, and always takes the workspace.
//!
//! Beside them: [`http`] (what stands between the wire and a handler), [`work`] (what runs without a
//! request: replication, its sweep, folding of rollups, exports, late attribution, upkeep), [`publish`] (the ways
//! into the edge's store), [`together`] (work done for several requests at once), [`error`] (every failure and its answer).

pub mod app;
pub mod config;
pub mod jobs;
pub mod openapi;
pub mod publish;
pub mod router;
pub mod routes;
pub mod serve;
pub mod telemetry;
