//! The way of a click that the queue refuses: directly to the control plane, and where that is unavailable too, into the
//! spool. Until one of them takes it, the click is [pending](crate::state::pending) in memory.

use shared::{Millis, click::Batch};

use crate::{
    centre,
    config::Config,
    delivery::{
        batch::{self, deliver},
        spool,
    },
    isolate::Isolate,
    log,
    runtime::{self, Env},
};

/// How long one direct request may take, in milliseconds: this runs after a visitor's response, where the runtime allows
/// 30 s for everything.
const DIRECT_LIMIT: u32 = 5_000;
/// How long clicks gather for one spool entry while the control plane is unavailable, in milliseconds.
const GATHER: i64 = Millis::SECOND;
/// How long no click is sent directly after the control plane has failed, in milliseconds.
const AWAY: i64 = 5 * Millis::SECOND;
/// The pauses between tries while control plane and spool both fail, in milliseconds.
const PAUSES: [i64; 4] = [500, 1_000, 2_000, 4_000];
/// How long one run may take, in milliseconds; the next request goes on.
const LONG_ENOUGH: i64 = 15 * Millis::SECOND;

/// Takes a click that the queue refused; `why` is empty where there is no queue. True if any clicks are left in memory.
pub(crate) async fn click(click: String, why: &str, env: &Env, config: Option<&Config>) -> bool {
    let click = batch::click(Some(click));
    let (is_first, has_room) = Isolate::with(|isolate| {
        let mut pending = isolate.pending.borrow_mut();
        (pending.is_empty(), pending.push(click))
    });
    if is_first && !why.is_empty() {
        log::warn("queue_refused", why);
    }
    if !has_room {
        log::error("click_dropped", "queue, control plane and spool all failed, and memory is full");
    }
    match config {
        Some(config) => hand_over(env, config).await,
        None => true,
    }
}

/// Hands over the clicks in memory, and keeps trying for a while where all ways fail. True if any are left.
pub(crate) async fn hand_over(env: &Env, config: &Config) -> bool {
    let started = runtime::now();
    let mut failures = 0;
    loop {
        let now = runtime::now();
        let Some(claim) = Isolate::with(|isolate| isolate.pending.borrow_mut().claim(now)) else { break };
        let is_paused = Isolate::with(|isolate| isolate.direct_paused_until.get().is_some_and(|until| now < until));
        let (mut taken, mut reported) = (vec![false; claim.clicks.len()], false);
        if !is_paused {
            let delivery = deliver(&claim.clicks, &|_| false, DIRECT_LIMIT, config).await;
            taken = delivery.settled;
            if let Some(failure) = delivery.away {
                log::warn("direct_failed", &failure.to_string());
                let until = runtime::now().plus(AWAY);
                Isolate::with(|isolate| isolate.direct_paused_until.set(Some(until)));
            } else if !claim.dropped.is_empty() {
                let batch = Batch { clicks: vec![], dropped: claim.dropped.clone() };
                reported = centre::clicks(config, &batch, DIRECT_LIMIT).await.is_ok();
            }
        }
        let mut rest = 0;
        if taken.contains(&false) {
            let left = claim.clicks.iter().zip(&taken).filter(|(_, taken)| !**taken);
            let clicks = left.map(|(click, _)| &**click).collect();
            match spool::put(clicks, &claim.dropped, env).await {
                Ok(()) => {
                    taken.fill(true);
                    (reported, rest, failures) = (true, GATHER, 0);
                }
                Err(error) => {
                    log::warn("spool_failed", &error.to_string());
                    rest = PAUSES[failures.min(PAUSES.len() - 1)];
                    failures += 1;
                }
            }
        } else if !claim.dropped.is_empty() && !reported {
            // Only notices of dropped clicks are left, and the control plane does not take them. Without a pause this loop
            // would never end: the clock advances only while something is awaited.
            rest = PAUSES[failures.min(PAUSES.len() - 1)];
            failures += 1;
        }
        Isolate::with(|isolate| isolate.pending.borrow_mut().settle(claim, &taken, reported, rest, runtime::now()));
        if is_empty() || runtime::now().since(started) > LONG_ENOUGH {
            break;
        }
        if rest > 0 {
            runtime::sleep(rest).await;
        }
    }
    !is_empty()
}

fn is_empty() -> bool {
    Isolate::with(|isolate| isolate.pending.borrow().is_empty())
}
