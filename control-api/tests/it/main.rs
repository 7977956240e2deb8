//! The service as its callers meet it: the real router on a database of its own per test, without sockets.
//!
//! One file per subject. [`service`] sets the stage: a service, teams with their keys, signed sources, and clicks
//! that are decided by the very code of the edge.

#![allow(clippy::unwrap_used)] // The helpers of tests are tests too.
#![allow(unreachable_pub)] // One binary: what its files share is `pub`.

mod exports;
mod openapi;
mod reports;
mod rollups;
#[allow(dead_code)] // A stage has more than the first stories ask for.
mod service;
mod story;
