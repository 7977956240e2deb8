//! Time and waiting, as the runtime has them.

use std::{future::Future, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use shared::Millis;
use worker::{Delay, js_sys};

/// The runtime's time. It stands still between two I/O operations.
#[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit 53 bits")]
pub(crate) fn now() -> Millis {
    Millis(js_sys::Date::now() as i64)
}

/// The result of `future`, or `None` if it takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(Delay::from(limit))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}
