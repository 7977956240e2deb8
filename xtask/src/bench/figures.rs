//! Figures as they are printed.

use std::time::Duration;

/// The middle one, or the upper of the middle two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// So many things in so much time, by the second.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Prints a line: what, its figure, and what it means.
pub(super) fn say(what: &str, figure: impl std::fmt::Display, remark: &str) {
    println!("{what:<44} {figure:>14}  {remark}");
}

/// Prints a ratio beside what it is to be.
pub(super) fn say_ratio(what: &str, ratio: f64, remark: &str) {
    say(what, format_args!("{ratio:.2}"), remark);
}
