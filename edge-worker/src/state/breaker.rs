//! A circuit breaker with a cap on requests in flight, so that a slow or failing control plane is not overloaded and visitors
//! don't wait for it. Pure; the clock is passed in.

use shared::Millis;

/// The largest number of requests in flight, per isolate.
const IN_FLIGHT: usize = 32;
/// The number of failures in a row that opens the breaker.
const FAILURES: u32 = 5;
/// How long an open breaker refuses, in milliseconds.
const PAUSE: i64 = 5 * Millis::SECOND;
/// The age from which a request no longer counts as in flight, in milliseconds. The runtime may drop a request without a
/// trace when the visitor disconnects.
const ABANDONED: i64 = 10 * Millis::SECOND;

/// Admits requests to the control plane.
#[derive(Default)]
pub(crate) struct Breaker {
    in_flight: Vec<(u64, Millis)>,
    next: u64,
    failures: u32,
    open_until: Option<Millis>,
}

/// The right to make one request, to be given back to [`Breaker::finish`].
#[must_use]
pub(crate) struct Permit(u64);

/// Why a request is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many requests are in flight.
    #[error("too many requests to the control plane in flight")]
    Busy,
    /// The breaker is open.
    #[error("the control plane failed repeatedly; no request is sent for a moment")]
    Open,
}

impl Breaker {
    /// Asks for the right to make a request now.
    pub(crate) fn admit(&mut self, now: Millis) -> Result<Permit, Refused> {
        if self.open_until.is_some_and(|until| now < until) {
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
                self.open_until = None;
            }
            Outcome::Failed => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    self.open_until = Some(now.plus(PAUSE));
                }
            }
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a response.
    Answered,
    /// Without a response, or with an error of the control plane.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_requests_in_flight_and_forgets_abandoned_ones() {
        let mut breaker = Breaker::default();
        let permits: Vec<_> = (0..IN_FLIGHT).map(|_| breaker.admit(Millis(0)).ok().unwrap()).collect();
        assert_eq!(breaker.admit(Millis(0)).err(), Some(Refused::Busy));
        for permit in permits.into_iter().take(1) {
            breaker.finish(permit, Outcome::Answered, Millis(0));
        }
        assert!(breaker.admit(Millis(0)).is_ok());
        assert_eq!(breaker.admit(Millis(ABANDONED - 1)).err(), Some(Refused::Busy));
        assert!(breaker.admit(Millis(ABANDONED)).is_ok());
    }

    #[test]
    fn opens_after_failures_in_a_row_and_tries_again() {
        let mut breaker = Breaker::default();
        let end = |breaker: &mut Breaker, outcome, now| {
            let permit = breaker.admit(Millis(now)).ok().unwrap();
            breaker.finish(permit, outcome, Millis(now));
        };
        for _ in 0..FAILURES - 1 {
            end(&mut breaker, Outcome::Failed, 0);
        }
        end(&mut breaker, Outcome::Answered, 0);
        for _ in 0..FAILURES {
            end(&mut breaker, Outcome::Failed, 0);
        }
        assert_eq!(breaker.admit(Millis(PAUSE - 1)).err(), Some(Refused::Open));
        end(&mut breaker, Outcome::Failed, PAUSE);
        assert_eq!(breaker.admit(Millis(2 * PAUSE - 1)).err(), Some(Refused::Open), "one failure is enough now");
        end(&mut breaker, Outcome::Answered, 2 * PAUSE);
        assert!(breaker.admit(Millis(2 * PAUSE)).is_ok());
    }
}
