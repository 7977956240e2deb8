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
//!   other methods ([`respond`]), and takes pushed records ([`replicate`]).
//!
//! The entry makes the response and gives the click to the queue; [`rescue`] takes clicks that the queue refused.
//! Its other end is [`consume`].

mod answer;
mod cache;
mod clock;
mod config;
mod consume;
mod control;
mod facts;
mod gate;
mod isolate;
mod log;
mod lookup;
mod random;
mod replicate;
mod rescue;
mod respond;
mod visit;

use std::rc::Rc;

use shared::Millis;
use wasm_bindgen::prelude::*;
use worker::{Env, Request, web_sys};

use crate::{config::Config, isolate::Isolate, respond::Answer};

/// The redirect for packed facts, if memory alone can tell: location, newline, click. Empty otherwise.
#[wasm_bindgen]
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit 53 bits")]
pub fn hot(facts: &str, now: f64) -> String {
    Isolate::with(|isolate| answer::from_memory(isolate, facts, Millis(now as i64))).unwrap_or_default()
}

/// Answers any request: a packed redirect as from [`hot`], or a whole `Response`.
#[wasm_bindgen]
#[allow(clippy::missing_errors_doc, reason = "every failure is answered; the signature is that of a promise")]
pub async fn visit(request: web_sys::Request, facts: String, env: Env) -> Result<JsValue, JsValue> {
    let answer = match settings(&env) {
        Some(config) => visit::answer(Request::from(request), &facts, &env, &config).await,
        None => respond::unavailable().map(Answer::from),
    };
    let answer = answer.or_else(|error| {
        log::error("request_failed", &error.to_string());
        respond::unavailable().map(Answer::from)
    });
    Ok(answer?.into_js())
}

/// Takes a click that the queue refused, for the reason `why`.
#[wasm_bindgen]
pub async fn rescue(click: String, why: String, env: Env) {
    rescue::click(&click, &why, settings(&env).as_deref()).await;
}

/// Delivers a batch of the click queue.
#[wasm_bindgen]
pub async fn consume(messages: Vec<consume::Message>, env: Env) {
    match settings(&env) {
        Some(config) => consume::batch(&messages, &config).await,
        None => consume::postpone(&messages, "the worker is misconfigured"),
    }
}

fn settings(env: &Env) -> Option<Rc<Config>> {
    Isolate::config(env).inspect_err(|error| log::error("misconfigured", &error.to_string())).ok()
}
