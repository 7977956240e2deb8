//! Why a number is what it is. Each chain of checks is a pure function over facts that were loaded before
//! ([`store::explain`]): it decides nothing anew, it tells what was decided, and what to do about it.
//!
//! [`conversion`] looks back, at an event that was stored; [`link`] looks ahead, at a link before anything went wrong.
//! Every check of a chain is always there, in the same order, under a name that never changes.

pub mod conversion;
pub mod link;

use serde::Serialize;
use shared::Millis;

shared::text_enum! {
    /// How a check ended.
    pub enum Outcome {
        /// As it should be.
        Pass = "pass",
        /// This is what stands in the way, or what somebody should look at.
        Fail = "fail",
        /// It has no say here; the detail tells why.
        Skipped = "skipped",
        /// What would tell isn't known, or not yet.
        Unknown = "unknown",
    }
}

/// One check of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Check {
    /// Its stable name.
    #[schema(example = "window")]
    pub check: &'static str,
    /// `pass`, `fail`, `skipped` or `unknown`.
    #[schema(value_type = String, example = "pass")]
    pub result: Outcome,
    /// What was found, in a sentence.
    pub detail: String,
    /// What to do; `null` where there is nothing to do.
    pub remedy: Option<String>,
}

/// What a check found, before it has its name.
struct Finding(Outcome, String, Option<String>);

impl Finding {
    fn pass(detail: impl Into<String>) -> Self {
        Self(Outcome::Pass, detail.into(), None)
    }

    fn fail(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(Outcome::Fail, detail.into(), Some(remedy.into()))
    }

    fn skipped(detail: impl Into<String>) -> Self {
        Self(Outcome::Skipped, detail.into(), None)
    }

    fn unknown(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(Outcome::Unknown, detail.into(), Some(remedy.into()))
    }

    fn named(self, check: &'static str) -> Check {
        Check { check, result: self.0, detail: self.1, remedy: self.2 }
    }
}

/// A span of time as people say it, by its two greatest units.
fn span(millis: i64) -> String {
    const UNITS: [(i64, &str); 4] =
        [(Millis::DAY, "d"), (Millis::HOUR, "h"), (Millis::MINUTE, "min"), (Millis::SECOND, "s")];
    let mut rest = millis.saturating_abs();
    let mut parts = vec![];
    for (unit, name) in UNITS {
        if rest >= unit && parts.len() < 2 {
            parts.push(format!("{} {name}", rest / unit));
        } else if !parts.is_empty() {
            break;
        }
        rest %= unit;
    }
    if parts.is_empty() { format!("{} ms", millis.saturating_abs()) } else { parts.join(" ") }
}

/// Days as people say them.
fn days(count: i32) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_time() {
        for (millis, text) in [
            (0, "0 ms"),
            (-250, "250 ms"),
            (61_000, "1 min 1 s"),
            (-90 * Millis::MINUTE, "1 h 30 min"),
            (31 * Millis::DAY + 5 * Millis::MINUTE, "31 d"),
            (Millis::DAY + Millis::HOUR + Millis::MINUTE, "1 d 1 h"),
        ] {
            assert_eq!(span(millis), text);
        }
    }
}
