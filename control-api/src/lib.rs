//! The central service: setup, ingest, attribution, reports, exports, replication. One Postgres, no other
//! state, any number of instances.
//!
//! [`routes`] parse and answer, and their handlers' signatures tell who may call; rules are in the crate `domain`,
//! statements in `store`, what every HTTP surface shares in `web`. Beside the routes: [`jobs`] (what runs without a
//! request), [`publish`] (the ways into the edge's store), [`openapi`] (what the document says of all routes alike).

pub mod app;
pub mod config;
pub mod jobs;
pub mod openapi;
pub mod publish;
pub mod router;
pub mod routes;
pub mod serve;
pub mod telemetry;
