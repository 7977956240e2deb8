//! The minutely job that empties the spool.

use shared::Millis;

use crate::{
    centre,
    config::Config,
    delivery::{
        batch::{self, deliver},
        fallback,
        spool::{KEPT_SECONDS, age},
    },
    log,
    runtime::{self, Env},
};

/// Keys in one page of the spool's list.
const PAGE: u32 = 100;
/// How long a run may take, in milliseconds; the next run goes on.
const LONG_ENOUGH: i64 = 25 * Millis::SECOND;
/// The age at which a click is given up that the control plane refuses when it is alone, in milliseconds: a day before its
/// entry would expire.
const LATE: i64 = (KEPT_SECONDS as i64 - 86_400) * Millis::SECOND;
/// How long one request may take, in milliseconds.
const LIMIT: u32 = 15_000;

/// Empties the spool as far as the control plane takes its entries, and hands over the clicks in memory. True if any are
/// left.
pub(crate) async fn drain(env: &Env, config: &Config) -> bool {
    let is_left = match empty(env, config).await {
        Ok(is_left) => is_left,
        Err(why) => {
            log::error("spool_stuck", &why);
            true
        }
    };
    fallback::hand_over(env, config).await || is_left
}

async fn empty(env: &Env, config: &Config) -> Result<bool, String> {
    let started = runtime::now();
    let mut after = String::new();
    let (mut done, mut kept) = (0_u32, 0_u32);
    loop {
        let (keys, cursor) = env.spooled(PAGE, &after).await.map_err(|thrown| thrown.to_string())?;
        for key in &keys {
            // A list may still name a removed key, and two runs may overlap.
            let Some(text) = env.unspool(key).await.map_err(|thrown| thrown.to_string())? else { continue };
            let left = take(key, &text, config).await?;
            if left.is_empty() {
                env.unspooled(key).await.map_err(|thrown| thrown.to_string())?;
                done += 1;
            } else {
                // Clicks that were taken must not be sent again with the others.
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

/// Sends an entry and returns the rest that the control plane has not settled, itself an entry; empty if all is settled. Fails
/// if the control plane is unavailable, which then holds for every entry.
async fn take(key: &str, text: &str, config: &Config) -> Result<String, String> {
    let mut lines = text.lines();
    let dropped = lines.next().unwrap_or_default();
    if !dropped.is_empty() {
        centre::clicks_as_text(config, dropped, LIMIT).await.map_err(|failure| failure.to_string())?;
    }
    let clicks: Vec<_> = lines.map(|line| batch::click(Some(line.to_owned()))).collect();
    let is_late = age(key) > LATE;
    let delivery = deliver(&clicks, &|_| is_late, LIMIT, config).await;
    if let Some(failure) = delivery.away {
        return Err(failure.to_string());
    }
    let left = clicks.iter().zip(&delivery.settled).filter(|(_, settled)| !**settled);
    Ok(left.flat_map(|(click, _)| ["\n", click.get()]).collect())
}
