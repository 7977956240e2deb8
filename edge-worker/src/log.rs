//! One line of JSON per event that an operator may want to count. Never a visitor's data, never a secret.

use shared::json::Object;

use crate::runtime;

fn line(event: &str, detail: &str) -> String {
    let mut line = String::new();
    let mut object = Object::open(&mut line);
    object.text("event", event);
    object.text("detail", detail);
    object.close();
    line
}

/// Logs a failure that lasts until an operator acts, or that has lost something.
pub(crate) fn error(event: &str, detail: &str) {
    runtime::log_error(&line(event, detail));
}

/// Logs a failure that was made good in another way.
pub(crate) fn warn(event: &str, detail: &str) {
    runtime::log_warning(&line(event, detail));
}
