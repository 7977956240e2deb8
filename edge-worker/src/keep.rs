//! The clicks that the queue would not take, in this isolate's memory until somebody does. Pure; the clock is passed in.
//!
//! They lie here for a moment even when all goes well: what comes in while a request is under way goes along with the
//! next one, so that a queue at its limit doesn't become as many requests to the centre.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use shared::{
    Millis,
    click::{Dropped, Rejected},
};

/// The most clicks kept: at some 700 bytes each, a twentieth of an isolate's 128 MB.
const MOST: usize = 10_000;
/// Beyond these, a click that there was no room for is no longer reported, only missing in the hour's count.
const MOST_DROPPED: usize = 50_000;
/// The most clicks handed over at once.
const AT_ONCE: usize = 500;
/// A claim ends by itself: the runtime may end the request that holds it.
const CLAIM: i64 = 25 * Millis::SECOND;

/// See the module.
#[derive(Default)]
pub(crate) struct Keep {
    waiting: VecDeque<Box<RawValue>>,
    dropped: Vec<Dropped>,
    claim: Option<(u64, Millis)>,
    claims: u64,
    rest_until: Option<Millis>,
}

/// The right to hand these clicks over, to be given back to [`Keep::settle`]. They stay in memory until then.
#[must_use]
pub(crate) struct Claim {
    id: u64,
    pub(crate) clicks: Vec<Box<RawValue>>,
    pub(crate) dropped: Vec<Dropped>,
}

impl Keep {
    /// Keeps a click. False: there is no room, and only its loss is remembered.
    pub(crate) fn push(&mut self, click: Box<RawValue>) -> bool {
        let has_room = self.waiting.len() < MOST;
        if has_room {
            self.waiting.push_back(click);
        } else if self.dropped.len() < MOST_DROPPED {
            self.dropped.push(Dropped::of(click.get(), Rejected::Overflow));
        }
        has_room
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped.is_empty()
    }

    /// Claims the oldest clicks, unless there are none, somebody else is at it, or it is too early.
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

    /// Ends a claim: forgets what somebody took, and lets nobody try before `rest` milliseconds.
    #[allow(clippy::needless_pass_by_value, reason = "a claim is used up")]
    pub(crate) fn settle(&mut self, claim: Claim, taken: &[bool], told: bool, rest: i64, now: Millis) {
        // After its time the same clicks may be in other hands.
        if self.claim.is_none_or(|(id, _)| id != claim.id) {
            return;
        }
        self.claim = None;
        self.rest_until = Some(now.plus(rest));
        let mut taken = taken.iter();
        self.waiting.retain(|_| !taken.next().copied().unwrap_or(false));
        if told {
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
    fn keeps_what_nobody_took() {
        let mut keep = Keep::default();
        let now = Millis(0);
        assert!(keep.claim(now).is_none());
        (1..=3).for_each(|n| assert!(keep.push(click(n))));
        let claim = keep.claim(now).unwrap();
        assert!(keep.push(click(4)) && keep.claim(now).is_none(), "one at a time");
        keep.settle(claim, &[true, false, true], true, 100, now);
        assert!(keep.claim(Millis(99)).is_none(), "it rests");
        let claim = keep.claim(Millis(100)).unwrap();
        assert_eq!(numbers(&claim), [r#"{"n":2}"#, r#"{"n":4}"#]);

        // Whoever held it is gone; when it comes back after all, it settles nothing.
        assert!(keep.claim(Millis(100 + CLAIM - 1)).is_none());
        let again = keep.claim(Millis(100 + CLAIM)).unwrap();
        keep.settle(claim, &[true, true], true, 0, Millis(100 + CLAIM));
        keep.settle(again, &[true, true], true, 0, Millis(100 + CLAIM));
        assert!(keep.is_empty());
    }

    #[test]
    fn reports_what_it_has_no_room_for() {
        let mut keep = Keep::default();
        (0..MOST).for_each(|n| assert!(keep.push(click(n))));
        assert!(!keep.push(click(MOST)));
        let claim = keep.claim(Millis(0)).unwrap();
        assert_eq!((claim.clicks.len(), claim.dropped.len()), (AT_ONCE, 1));
        keep.settle(claim, &[true; AT_ONCE], false, 0, Millis(0));
        assert!(keep.push(click(0)), "there is room again");
        let claim = keep.claim(Millis(0)).unwrap();
        assert_eq!(claim.dropped[0].reason, Rejected::Overflow, "nobody was told yet");
        keep.settle(claim, &[true; AT_ONCE], true, 0, Millis(0));
        assert!(keep.claim(Millis(0)).unwrap().dropped.is_empty());
    }
}
