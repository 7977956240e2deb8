//! What tells agents apart, compiled as it is in the worker but without the rest of it: for `cargo xtask bench edge agents`.

use shared::classify::classify;
use wasm_bindgen::prelude::*;

/// Classifies each line, so many times over. Answers how many lines are of bots.
#[wasm_bindgen]
#[must_use]
pub fn bots(agents: &str, rounds: u32) -> usize {
    let mut bots = 0;
    for _ in 0..rounds {
        bots = agents.lines().filter(|agent| classify(agent).bot.is_some()).count();
    }
    bots
}
