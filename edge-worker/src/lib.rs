//! The worker that answers short links at the edge: a thin shell around `shared`, compiled to wasm32 and run by `workerd`.
//!
//! **Lives here:** the bindings, the cache tiers, the small responses, the delivery of clicks.
//!
//! **Never here:** business rules. The crate `shared` decides where a visitor is sent, what a click holds and when a token
//! is appended.
//!
//! A request comes in through `js/entry.mjs`, which packs its facts into one string, and takes one of two paths:
//! - [`hot`]: the link is in memory and fresh. One call in, one packed redirect out, without waiting ([`redirect`]).
//! - [`visit`](fn@visit): anything else. It looks through the tiers ([`lookup`]), answers pages and other methods
//!   ([`wire::respond`]), and opens the endpoints of the control plane ([`control`]).
//!
//! The entry makes the response and gives the click to the queue, whose consumer is [`delivery::queue`]. Clicks that the
//! queue refuses take [`delivery::fallback`]. [`delivery::batch`] is how every click gets to the control plane.

mod centre;
mod config;
mod control;
mod delivery;
mod isolate;
mod log;
mod lookup;
mod redirect;
mod route;
mod runtime;
mod state;
mod visit;
mod wire;

use std::rc::Rc;

use shared::Millis;
use wasm_bindgen::prelude::*;

use crate::{
    config::Config,
    delivery::{fallback, queue},
    isolate::Isolate,
    runtime::{Env, Request},
    state::buffers::Buffers,
    wire::respond,
};

/// Answers the facts in the first `length` bytes of the [`inbox`] if memory alone can: leaves a packed redirect in the
/// [`outbox`] and returns its length. 0 otherwise.
#[wasm_bindgen]
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit 53 bits")]
pub fn hot(length: usize, now: f64) -> usize {
    let now = Millis(now as i64);
    Isolate::with(|isolate| {
        isolate.buffers.exchange(length, |facts, out| redirect::from_memory(isolate, facts, now, out))
    })
}

/// The module's memory, with the buffers in it.
#[wasm_bindgen]
#[must_use]
pub fn linear_memory() -> JsValue {
    wasm_bindgen::memory()
}

/// The address to which the entry writes facts. It stays valid for as long as the instance lives.
#[wasm_bindgen]
#[must_use]
pub fn inbox() -> *const u8 {
    Isolate::with(|isolate| isolate.buffers.inbox())
}

/// The length of the inbox in bytes.
#[wasm_bindgen]
#[must_use]
pub fn inbox_length() -> usize {
    Buffers::inbox_length()
}

/// The address of the last answer. It stays valid until the next call.
#[wasm_bindgen]
#[must_use]
pub fn outbox() -> *const u8 {
    Isolate::with(|isolate| isolate.buffers.outbox())
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

/// Takes a click that the queue refused, for the reason `why`. True if any clicks are left in memory.
#[wasm_bindgen]
pub async fn rescue(click: String, why: String, env: Env) -> bool {
    fallback::click(click, &why, &env, settings(&env).as_deref()).await
}

/// Tries again to hand over the clicks in memory. True if any are left.
#[wasm_bindgen]
pub async fn hand_over(env: Env) -> bool {
    match settings(&env) {
        Some(config) => fallback::hand_over(&env, &config).await,
        None => true,
    }
}

/// The minutely job: empties the spool. True if any clicks are left.
#[wasm_bindgen]
pub async fn drain(env: Env) -> bool {
    match settings(&env) {
        Some(config) => delivery::drain::drain(&env, &config).await,
        None => true,
    }
}

/// Delivers a batch of a click queue.
#[wasm_bindgen]
pub async fn consume(messages: Vec<queue::Message>, queue: String, env: Env) {
    match settings(&env) {
        Some(config) => queue::batch(&messages, &queue, &config).await,
        None => queue::postpone(&messages.iter().collect::<Vec<_>>(), &queue, "the worker is misconfigured"),
    }
}

fn settings(env: &Env) -> Option<Rc<Config>> {
    Isolate::config(env).inspect_err(|error| log::error("misconfigured", &error.to_string())).ok()
}
