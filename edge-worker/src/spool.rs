//! The third way of a click: a KV namespace, emptied by a minutely job. Each entry stands under the time it was made and
//! some random digits, and is removed only when the centre has taken it.
//!
//! An entry is lines: first a batch for the centre that names the clicks which are lost, empty where none are; then a
//! click per line, which is how this worker writes them.

use serde_json::value::RawValue;
use shared::{
    Millis,
    click::{Batch, Dropped},
};

use crate::{
    config::Config,
    control,
    deliver::{self, deliver},
    isolate::Isolate,
    log, rescue,
    runtime::{self, Env, Thrown},
};

/// Entries are kept for as long as the centre takes clicks of that age, in seconds: 15 days.
const KEPT_SECONDS: u32 = 15 * 86_400;
/// Entries in one look.
const PAGE: u32 = 100;
/// A run ends after this long, in milliseconds; the next one goes on.
const LONG_ENOUGH: i64 = 25 * Millis::SECOND;
/// A click that the centre refuses alone is given up a day before its entry would vanish, in milliseconds.
const LATE: i64 = (KEPT_SECONDS as i64 - 86_400) * Millis::SECOND;
/// How long one request may take, in milliseconds.
const LIMIT: u32 = 15_000;

/// Puts clicks into the spool, and word of those that are lost.
pub(crate) async fn put(clicks: Vec<&RawValue>, dropped: &[Dropped], env: &Env) -> Result<(), Thrown> {
    let mut text = String::new();
    if !dropped.is_empty() {
        text = Batch { clicks: vec![], dropped: dropped.to_vec() }.to_json();
    }
    for click in &clicks {
        text.push('\n');
        text.push_str(click.get());
    }
    let digits = Isolate::with(|isolate| isolate.random.borrow_mut().number());
    env.spool(&format!("{:013}-{digits:016x}", runtime::now().0), &text, KEPT_SECONDS).await?;
    log::warn("spooled", &format!("{} clicks", clicks.len()));
    Ok(())
}

/// Empties the spool as far as the centre takes what is in it, and hands over what this isolate keeps. Answers whether
/// anything is left.
pub(crate) async fn drain(env: &Env, config: &Config) -> bool {
    let is_left = match empty(env, config).await {
        Ok(is_left) => is_left,
        Err(why) => {
            log::error("spool_stuck", &why);
            true
        }
    };
    rescue::hand_over(env, config).await || is_left
}

async fn empty(env: &Env, config: &Config) -> Result<bool, String> {
    let started = runtime::now();
    let mut after = String::new();
    let (mut done, mut kept) = (0_u32, 0_u32);
    loop {
        let (keys, cursor) = env.spooled(PAGE, &after).await.map_err(|thrown| thrown.to_string())?;
        for key in &keys {
            // A list may still name what is gone, and two runs may overlap.
            let Some(text) = env.unspool(key).await.map_err(|thrown| thrown.to_string())? else { continue };
            let left = take(key, &text, config).await?;
            if left.is_empty() {
                env.unspooled(key).await.map_err(|thrown| thrown.to_string())?;
                done += 1;
            } else {
                // What was taken must not be sent again with what was not.
                if left != text {
                    let seconds =
                        KEPT_SECONDS - u32::try_from(age(key) / Millis::SECOND).unwrap_or(0).min(KEPT_SECONDS - 60);
                    env.spool(key, &left, seconds).await.map_err(|thrown| thrown.to_string())?;
                }
                kept += 1;
            }
            if runtime::now().since(started) > LONG_ENOUGH {
                log::warn("spool_backlog", &format!("{done} entries taken, more are left"));
                return Ok(true);
            }
        }
        match cursor {
            Some(cursor) => after = cursor,
            None => break,
        }
    }
    if done + kept > 0 {
        log::warn("spool_drained", &format!("{done} entries taken, {kept} left"));
    }
    Ok(kept > 0)
}

/// What the centre has not settled of an entry, itself an entry; empty where that is nothing. An error is a centre that is
/// away, for every entry.
async fn take(key: &str, text: &str, config: &Config) -> Result<String, String> {
    let mut lines = text.lines();
    let dropped = lines.next().unwrap_or_default();
    if !dropped.is_empty() {
        control::clicks_as_text(config, dropped, LIMIT).await.map_err(|failure| failure.to_string())?;
    }
    let clicks: Vec<_> = lines.map(|line| deliver::click(Some(line.to_owned()))).collect();
    let is_late = age(key) > LATE;
    let delivery = deliver(&clicks, &|_| is_late, LIMIT, config).await;
    if let Some(failure) = delivery.away {
        return Err(failure.to_string());
    }
    let left = clicks.iter().zip(&delivery.settled).filter(|(_, settled)| !**settled);
    Ok(left.flat_map(|(click, _)| ["\n", click.get()]).collect())
}

/// How long ago an entry was made, in milliseconds.
fn age(key: &str) -> i64 {
    let made_at = key.split('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default();
    runtime::now().since(Millis(made_at))
}
