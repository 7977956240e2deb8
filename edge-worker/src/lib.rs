//! The worker that answers short links at the edge: a thin shell around `shared`, compiled to wasm32 and run
//! by `workerd`.
//!
//! **Lives here:** the bindings, the cache tiers, the small responses, the hand-over of clicks.
//!
//! **Never here:** business rules. What a visitor gets, what a click is and when a token is appended is decided
//! in `shared`.
//!
//! A request comes in through `js/entry.mjs`, which packs its facts into one string, and takes one of two ways:
//! - [`hot`]: the link is in memory and fresh. One call in, one packed redirect out, nothing to wait for.
//! - [`visit`]: anything else. [`visit::answer`](visit) looks through the tiers ([`lookup`]), answers pages and
//!   other methods ([`respond`]), and opens the control plane's own doors ([`doors`]).
//!
//! The entry makes the response and gives the click to the queue, whose other end is [`consume`]. [`rescue`] takes
//! clicks that the queue refused, and [`spool`] what the centre didn't take either. [`deliver`] is how all three hand
//! clicks to the centre.

mod answer;
mod cache;
mod config;
mod consume;
mod control;
mod deliver;
mod doors;
mod facts;
mod gate;
mod isolate;
mod keep;
mod log;
mod lookup;
pub mod mailbox;
mod mint;
mod random;
mod replicate;
mod rescue;
mod respond;
mod route;
mod runtime;
mod spool;
mod visit;

use std::rc::Rc;

use shared::Millis;
use wasm_bindgen::prelude::*;

use crate::{
    config::Config,
    isolate::Isolate,
    runtime::{Env, Request},
};

/// Answers the facts in the [mailbox](mailbox), `length` bytes long, if memory alone can: leaves a packed redirect in
/// the mailbox and returns its length. 0 otherwise.
#[wasm_bindgen]
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit 53 bits")]
pub fn hot(length: usize, now: f64) -> usize {
    Isolate::with(|isolate| mailbox::answer(isolate, length, Millis(now as i64)))
}

/// Answers any request: a packed redirect as from [`hot`], or a packed response.
#[wasm_bindgen]
pub async fn visit(request: Request, facts: String, env: Env) -> String {
    let Some(config) = settings(&env) else { return respond::unavailable() };
    visit::answer(&request, &facts, &env, &config).await.unwrap_or_else(|error| {
        log::error("request_failed", &error.to_string());
        respond::unavailable()
    })
}

/// Takes a click that the queue refused, for the reason `why`. Answers whether any are kept in memory.
#[wasm_bindgen]
pub async fn rescue(click: String, why: String, env: Env) -> bool {
    rescue::click(click, &why, &env, settings(&env).as_deref()).await
}

/// Tries again to hand over what is kept in memory. Answers whether any is left.
#[wasm_bindgen]
pub async fn hand_over(env: Env) -> bool {
    match settings(&env) {
        Some(config) => rescue::hand_over(&env, &config).await,
        None => true,
    }
}

/// The minutely job: empties the spool. Answers whether any clicks are kept in memory.
#[wasm_bindgen]
pub async fn drain(env: Env) -> bool {
    match settings(&env) {
        Some(config) => spool::drain(&env, &config).await,
        None => true,
    }
}

/// Delivers a batch of a click queue.
#[wasm_bindgen]
pub async fn consume(messages: Vec<consume::Message>, queue: String, env: Env) {
    match settings(&env) {
        Some(config) => consume::batch(&messages, &queue, &config).await,
        None => consume::postpone(&messages.iter().collect::<Vec<_>>(), &queue, "the worker is misconfigured"),
    }
}

fn settings(env: &Env) -> Option<Rc<Config>> {
    Isolate::config(env).inspect_err(|error| log::error("misconfigured", &error.to_string())).ok()
}
