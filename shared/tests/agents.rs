//! How well agents are told apart, measured on public lists that npm packages carry: `crawler-user-agents` (MIT) and the
//! fixtures of `isbot` (MIT) of crawlers, `user-agents` (BSD-2-Clause) and `top-user-agents` (MIT) of browsers as seen on
//! the web. 2.0.0 is the last `isbot` that ships its fixtures. Nothing was tuned to it. Its other list is no list of
//! browsers as they are used: most of what is flagged there is programs, much of the rest Netscape before 2000.
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

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node_modules").join(name);
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `npm ci` in the root installs it", path.display()))
}

fn list(name: &str) -> Vec<Value> {
    serde_json::from_str(&file(name)).unwrap()
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().map(|value| value.as_str().unwrap())
}

fn browsers() -> BTreeSet<String> {
    let seen = list("user-agents/dist/user-agents.json");
    let mut agents: BTreeSet<_> = seen.iter().map(|entry| entry["userAgent"].as_str().unwrap().to_owned()).collect();
    for name in ["index", "desktop", "mobile"] {
        agents.extend(texts(&list(&format!("top-user-agents/src/{name}.json"))).map(str::to_owned));
    }
    agents
}

#[test]
fn crawlers_are_caught() {
    let listed = list("crawler-user-agents/crawler-user-agents.json");
    let agents = listed.iter().flat_map(|entry| texts(entry["instances"].as_array().unwrap()));
    crawlers("crawler-user-agents", agents);
    let listed = file("isbot/crawlers.txt");
    crawlers("isbot's fixtures", listed.lines().filter(|line| !line.is_empty()));
}

#[allow(clippy::cast_precision_loss, reason = "some thousands")]
fn crawlers<'a>(list: &str, agents: impl Iterator<Item = &'a str>) {
    let agents: Vec<_> = agents.collect();
    assert!(agents.len() > 1_000, "{} in {list} is not the list that was meant", agents.len());
    let missed: Vec<_> = agents.iter().filter(|agent| classify(agent).bot.is_none()).collect();
    let caught = 100.0 * (agents.len() - missed.len()) as f64 / agents.len() as f64;
    say!("crawlers: {} agents of {list}, {} caught ({caught:.2} %)", agents.len(), agents.len() - missed.len());
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
