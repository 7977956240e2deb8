//! How well agents are told apart, measured on public lists that npm packages carry: `crawler-user-agents` (MIT) of
//! crawlers, `user-agents` (BSD-2-Clause) and `top-user-agents` (MIT) of browsers as seen on the web.
//!
//! The lists are development dependencies in `package.json`; `cargo xtask test` installs them. Without them the
//! test fails rather than being skipped: figures that nobody took are no figures.

#![allow(clippy::disallowed_methods)] // The lists are files; the crate itself does no I/O.
#![allow(clippy::unwrap_used)] // The helpers of tests are tests too.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path};

use serde_json::Value;
use shared::classify::{Browser, Device, classify};

/// A figure for whoever runs the tests: `println!` would be kept back from those that pass.
macro_rules! say {
    ($($text:tt)*) => { writeln!(std::io::stdout().lock(), $($text)*).unwrap() };
}

fn list(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node_modules").join(file);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `npm ci` in the root installs it", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().map(|value| value.as_str().unwrap())
}

fn browsers() -> BTreeSet<String> {
    let seen = list("user-agents/dist/user-agents.json");
    let mut agents: BTreeSet<_> = seen.iter().map(|entry| entry["userAgent"].as_str().unwrap().to_owned()).collect();
    for file in ["index", "desktop", "mobile"] {
        agents.extend(texts(&list(&format!("top-user-agents/src/{file}.json"))).map(str::to_owned));
    }
    agents
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "some thousands")]
fn crawlers_are_caught() {
    let list = list("crawler-user-agents/crawler-user-agents.json");
    let agents: Vec<_> = list.iter().flat_map(|entry| texts(entry["instances"].as_array().unwrap())).collect();
    assert!(agents.len() > 1_000, "{} is not the list that was meant", agents.len());
    let missed: Vec<_> = agents.iter().filter(|agent| classify(agent).bot.is_none()).collect();
    let caught = 100.0 * (agents.len() - missed.len()) as f64 / agents.len() as f64;
    say!("crawlers: {} agents, {} caught ({caught:.2} %)", agents.len(), agents.len() - missed.len());
    assert!(caught >= 97.0, "missed: {missed:#?}");
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "some thousands")]
fn browsers_are_not_flagged() {
    let agents = browsers();
    assert!(agents.len() > 500, "{} is not the list that was meant", agents.len());
    let flagged: Vec<_> = agents.iter().filter(|agent| classify(agent).bot.is_some()).collect();
    let share = 100.0 * flagged.len() as f64 / agents.len() as f64;
    say!("browsers: {} agents, {} flagged as bots ({share:.2} %)", agents.len(), flagged.len());
    assert!(share <= 0.1, "flagged: {flagged:#?}");
}

/// Beside what the authors of `user-agents` make of each visit they have seen.
#[test]
#[allow(clippy::cast_precision_loss, reason = "some thousands")]
fn devices_and_browsers_are_named() {
    let list = list("user-agents/dist/user-agents.json");
    let of = |entry: &Value| classify(entry["userAgent"].as_str().unwrap());
    let right = list
        .iter()
        .filter(|entry| of(entry).device.as_str() == entry["deviceCategory"].as_str().unwrap_or_default())
        .count();
    let nameless = list.iter().filter(|entry| of(entry).browser == Browser::Other).count();
    let placeless = list.iter().filter(|entry| of(entry).device == Device::Other).count();
    let share = 100.0 * right as f64 / list.len() as f64;
    say!("devices: {} visits, {share:.2} % as listed, {placeless} unknown; browsers: {nameless} unknown", list.len());
    assert!(share >= 97.0 && nameless * 100 <= list.len() && placeless * 100 <= list.len());
}
