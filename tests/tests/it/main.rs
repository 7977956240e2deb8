//! The stories, one binary: it is linked once and runs them side by side.

mod delivery;
mod documents;
mod doors;
mod faults;
mod history;
mod main_job;
mod self_hosted;
mod visitors;
mod wrangler;
