//! What keeps a slow or failing centre from being asked too much, and visitors from waiting for it: a cap on
//! requests in flight and a circuit breaker. Pure; the clock is passed in.

use shared::Millis;

/// The most requests in flight at once, per isolate.
const IN_FLIGHT: usize = 32;
/// This many failures in a row open the breaker.
const FAILURES: u32 = 5;
/// For this long an open breaker refuses, in milliseconds.
const PAUSE: i64 = 5 * Millis::SECOND;
/// After this long a request no longer counts as in flight. The runtime may drop a request, and all that
/// would have told us of its end, when the visitor goes away.
const ABANDONED: i64 = 10 * Millis::SECOND;

/// Admits requests to the centre.
#[derive(Default)]
pub(crate) struct Gate {
    in_flight: Vec<(u64, Millis)>,
    next: u64,
    failures: u32,
    closed_until: Option<Millis>,
}

/// The right to make one request, to be given back to [`Gate::finish`].
#[must_use]
pub(crate) struct Permit(u64);

/// Why a request is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many in flight.
    #[error("too many requests to the control plane in flight")]
    Busy,
    /// It has failed repeatedly and is left alone for a moment.
    #[error("the control plane failed repeatedly and is left alone for a moment")]
    Open,
}

impl Gate {
    /// Asks for the right to make a request now.
    pub(crate) fn admit(&mut self, now: Millis) -> Result<Permit, Refused> {
        if self.closed_until.is_some_and(|until| now < until) {
            return Err(Refused::Open);
        }
        self.in_flight.retain(|(_, since)| now.since(*since) < ABANDONED);
        if self.in_flight.len() >= IN_FLIGHT {
            return Err(Refused::Busy);
        }
        let permit = self.next;
        self.next += 1;
        self.in_flight.push((permit, now));
        Ok(Permit(permit))
    }

    /// Reports how a request ended. After a pause one more failure is enough to open the breaker again.
    #[allow(clippy::needless_pass_by_value, reason = "a permit is used up")]
    pub(crate) fn finish(&mut self, permit: Permit, outcome: Outcome, now: Millis) {
        self.in_flight.retain(|(other, _)| *other != permit.0);
        match outcome {
            Outcome::Answered => {
                self.failures = 0;
                self.closed_until = None;
            }
            Outcome::Failed => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    self.closed_until = Some(now.plus(PAUSE));
                }
            }
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer.
    Answered,
    /// Without one, or with an error of the centre.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_what_is_in_flight_and_forgets_the_abandoned() {
        let mut gate = Gate::default();
        let permits: Vec<_> = (0..IN_FLIGHT).map(|_| gate.admit(Millis(0)).ok().unwrap()).collect();
        assert_eq!(gate.admit(Millis(0)).err(), Some(Refused::Busy));
        for permit in permits.into_iter().take(1) {
            gate.finish(permit, Outcome::Answered, Millis(0));
        }
        assert!(gate.admit(Millis(0)).is_ok());
        assert_eq!(gate.admit(Millis(ABANDONED - 1)).err(), Some(Refused::Busy));
        assert!(gate.admit(Millis(ABANDONED)).is_ok());
    }

    #[test]
    fn opens_after_failures_in_a_row_and_tries_again() {
        let mut gate = Gate::default();
        let end = |gate: &mut Gate, outcome, now| {
            let permit = gate.admit(Millis(now)).ok().unwrap();
            gate.finish(permit, outcome, Millis(now));
        };
        for _ in 0..FAILURES - 1 {
            end(&mut gate, Outcome::Failed, 0);
        }
        end(&mut gate, Outcome::Answered, 0);
        for _ in 0..FAILURES {
            end(&mut gate, Outcome::Failed, 0);
        }
        assert_eq!(gate.admit(Millis(PAUSE - 1)).err(), Some(Refused::Open));
        end(&mut gate, Outcome::Failed, PAUSE);
        assert_eq!(gate.admit(Millis(2 * PAUSE - 1)).err(), Some(Refused::Open), "one failure is enough now");
        end(&mut gate, Outcome::Answered, 2 * PAUSE);
        assert!(gate.admit(Millis(2 * PAUSE)).is_ok());
    }
}
