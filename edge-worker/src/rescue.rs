//! The second way of a click, when the queue refuses it: straight to the control plane; and the third, when that is away
//! too: into the spool. Until one of them takes it, it is [kept](crate::keep) in memory.

use shared::{Millis, click::Batch};

use crate::{
    config::Config,
    control,
    deliver::{self, deliver},
    isolate::Isolate,
    log,
    runtime::{self, Env},
    spool,
};

/// How long one direct request may take, in milliseconds: this runs after a visitor's response, where the runtime allows
/// 30 s for everything.
const DIRECT_LIMIT: u32 = 5_000;
/// While the centre is away, clicks gather for this long before they go to the spool together.
const GATHER: i64 = Millis::SECOND;
/// For this long after it failed, the centre is not asked.
const AWAY: i64 = 5 * Millis::SECOND;
/// Pauses before trying again where nobody takes anything, in milliseconds.
const PAUSES: [i64; 4] = [500, 1_000, 2_000, 4_000];
/// After this long the next request goes on, in milliseconds.
const LONG_ENOUGH: i64 = 15 * Millis::SECOND;

/// Takes a click that the queue refused; `why` is empty where there is no queue. Answers whether any are still kept here.
pub(crate) async fn click(click: String, why: &str, env: &Env, config: Option<&Config>) -> bool {
    let click = deliver::click(Some(click));
    let (is_first, has_room) = Isolate::with(|isolate| {
        let mut keep = isolate.keep.borrow_mut();
        (keep.is_empty(), keep.push(click))
    });
    if is_first && !why.is_empty() {
        log::warn("queue_refused", why);
    }
    if !has_room {
        log::error("click_dropped", "queue, centre and spool are away, and memory is full");
    }
    match config {
        Some(config) => hand_over(env, config).await,
        None => true,
    }
}

/// Hands over what is kept, for as long as somebody takes it and for a while longer. Answers whether any is left.
pub(crate) async fn hand_over(env: &Env, config: &Config) -> bool {
    let started = runtime::now();
    let mut failures = 0;
    loop {
        let now = runtime::now();
        let Some(claim) = Isolate::with(|isolate| isolate.keep.borrow_mut().claim(now)) else { break };
        let is_away = Isolate::with(|isolate| isolate.centre_away_until.get().is_some_and(|until| now < until));
        let (mut taken, mut told) = (vec![false; claim.clicks.len()], false);
        if !is_away {
            let delivery = deliver(&claim.clicks, &|_| false, DIRECT_LIMIT, config).await;
            taken = delivery.settled;
            if let Some(failure) = delivery.away {
                log::warn("direct_failed", &failure.to_string());
                let until = runtime::now().plus(AWAY);
                Isolate::with(|isolate| isolate.centre_away_until.set(Some(until)));
            } else if !claim.dropped.is_empty() {
                let batch = Batch { clicks: vec![], dropped: claim.dropped.clone() };
                told = control::clicks(config, &batch, DIRECT_LIMIT).await.is_ok();
            }
        }
        let mut rest = 0;
        if taken.contains(&false) {
            let left = claim.clicks.iter().zip(&taken).filter(|(_, taken)| !**taken);
            let clicks = left.map(|(click, _)| &**click).collect();
            match spool::put(clicks, &claim.dropped, env).await {
                Ok(()) => {
                    taken.fill(true);
                    (told, rest, failures) = (true, GATHER, 0);
                }
                Err(error) => {
                    log::warn("spool_failed", &error.to_string());
                    rest = PAUSES[failures.min(PAUSES.len() - 1)];
                    failures += 1;
                }
            }
        } else if !claim.dropped.is_empty() && !told {
            // Only notices of dropped clicks are left, and nobody listens. Without a pause this would never end: the
            // clock stands still until something is waited for.
            rest = PAUSES[failures.min(PAUSES.len() - 1)];
            failures += 1;
        }
        Isolate::with(|isolate| isolate.keep.borrow_mut().settle(claim, &taken, told, rest, runtime::now()));
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
    Isolate::with(|isolate| isolate.keep.borrow().is_empty())
}
