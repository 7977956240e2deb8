//! Clicks that the queue refused, in this isolate's memory until they are handed over. Pure; the clock is passed in.
//!
//! A click waits here for a moment even when all goes well: clicks that come in while a request is under way share the next
//! one, so that a queue at its limit does not cause one request per click.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use shared::{
    Millis,
    click::{Dropped, Rejected},
};

/// The largest number of clicks: at some 700 bytes each, a twentieth of an isolate's 128 MB.
const MOST: usize = 10_000;
/// The largest number of notices of dropped clicks. A click beyond them is not reported, but missing in the hour's count.
const MOST_DROPPED: usize = 50_000;
/// The largest number of clicks in one claim.
const AT_ONCE: usize = 500;
/// How long a claim is valid, in milliseconds. The runtime may end the request that holds it.
const CLAIM: i64 = 25 * Millis::SECOND;

/// The clicks and the notices of dropped ones.
#[derive(Default)]
pub(crate) struct Pending {
    waiting: VecDeque<Box<RawValue>>,
    dropped: Vec<Dropped>,
    claim: Option<(u64, Millis)>,
    claims: u64,
    rest_until: Option<Millis>,
}

/// The right to hand over these clicks, which ends with [`Pending::settle`]. They stay in memory until then.
#[must_use]
pub(crate) struct Claim {
    id: u64,
    pub(crate) clicks: Vec<Box<RawValue>>,
    pub(crate) dropped: Vec<Dropped>,
}

impl Pending {
    /// Adds a click. False if there is no room, and only its loss is remembered.
    pub(crate) fn push(&mut self, click: Box<RawValue>) -> bool {
        let has_room = self.waiting.len() < MOST;
        if has_room {
            self.waiting.push_back(click);
        } else if self.dropped.len() < MOST_DROPPED {
            self.dropped.push(Dropped::of(click.get(), Rejected::Overflow));
        }
        has_room
    }

    /// Whether there are neither clicks nor notices.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped.is_empty()
    }

    /// Claims the oldest clicks. `None` if there are none, if another request holds a claim, or during a rest.
    pub(crate) fn claim(&mut self, now: Millis) -> Option<Claim> {
        let taken = self.claim.is_some_and(|(_, until)| now < until);
        if self.is_empty() || taken || self.rest_until.is_some_and(|until| now < until) {
            return None;
        }
        self.claims += 1;
        self.claim = Some((self.claims, now.plus(CLAIM)));
        let clicks = self.waiting.iter().take(AT_ONCE).cloned().collect();
        let dropped = self.dropped.iter().take(AT_ONCE).copied().collect();
        Some(Claim { id: self.claims, clicks, dropped })
    }

    /// Ends a claim: forgets the clicks that were taken, and the notices if they were `reported`. Allows no claim for `rest`
    /// milliseconds.
    #[allow(clippy::needless_pass_by_value, reason = "a claim is used up")]
    pub(crate) fn settle(&mut self, claim: Claim, taken: &[bool], reported: bool, rest: i64, now: Millis) {
        // After its time another request may hold the same clicks.
        if self.claim.is_none_or(|(id, _)| id != claim.id) {
            return;
        }
        self.claim = None;
        self.rest_until = Some(now.plus(rest));
        let mut taken = taken.iter();
        self.waiting.retain(|_| !taken.next().copied().unwrap_or(false));
        if reported {
            self.dropped.drain(..claim.dropped.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(n: usize) -> Box<RawValue> {
        RawValue::from_string(format!("{{\"n\":{n}}}")).unwrap()
    }

    fn numbers(claim: &Claim) -> Vec<&str> {
        claim.clicks.iter().map(|click| click.get()).collect()
    }

    #[test]
    fn keeps_clicks_that_were_not_taken() {
        let mut pending = Pending::default();
        let now = Millis(0);
        assert!(pending.claim(now).is_none());
        (1..=3).for_each(|n| assert!(pending.push(click(n))));
        let claim = pending.claim(now).unwrap();
        assert!(pending.push(click(4)) && pending.claim(now).is_none(), "one at a time");
        pending.settle(claim, &[true, false, true], true, 100, now);
        assert!(pending.claim(Millis(99)).is_none(), "it rests");
        let claim = pending.claim(Millis(100)).unwrap();
        assert_eq!(numbers(&claim), [r#"{"n":2}"#, r#"{"n":4}"#]);

        // A claim that has expired settles nothing.
        assert!(pending.claim(Millis(100 + CLAIM - 1)).is_none());
        let again = pending.claim(Millis(100 + CLAIM)).unwrap();
        pending.settle(claim, &[true, true], true, 0, Millis(100 + CLAIM));
        pending.settle(again, &[true, true], true, 0, Millis(100 + CLAIM));
        assert!(pending.is_empty());
    }

    #[test]
    fn reports_clicks_without_room() {
        let mut pending = Pending::default();
        (0..MOST).for_each(|n| assert!(pending.push(click(n))));
        assert!(!pending.push(click(MOST)));
        let claim = pending.claim(Millis(0)).unwrap();
        assert_eq!((claim.clicks.len(), claim.dropped.len()), (AT_ONCE, 1));
        pending.settle(claim, &[true; AT_ONCE], false, 0, Millis(0));
        assert!(pending.push(click(0)), "there is room again");
        let claim = pending.claim(Millis(0)).unwrap();
        assert_eq!(claim.dropped[0].reason, Rejected::Overflow, "not reported yet");
        pending.settle(claim, &[true; AT_ONCE], true, 0, Millis(0));
        assert!(pending.claim(Millis(0)).unwrap().dropped.is_empty());
    }
}
