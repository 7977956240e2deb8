//! One line of JSON per event that an operator may want to count. Never a visitor's data, never a secret.

use serde::Serialize;

use crate::runtime;

#[derive(Serialize)]
struct Line<'a> {
    event: &'a str,
    detail: &'a str,
}

fn line(event: &str, detail: &str) -> String {
    serde_json::to_string(&Line { event, detail }).unwrap_or_default()
}

/// Something is lost or wrong until somebody acts.
pub(crate) fn error(event: &str, detail: &str) {
    runtime::log_error(&line(event, detail));
}

/// Something failed that another way made good.
pub(crate) fn warn(event: &str, detail: &str) {
    runtime::log_warning(&line(event, detail));
}
