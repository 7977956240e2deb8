//! The last resort for a click: a KV namespace that a minutely job empties ([`drain`](crate::delivery::drain)). The key of
//! an entry is the time it was made and some random digits. An entry is removed only when the control plane has taken it.
//!
//! An entry is text: its first line is a batch that reports dropped clicks to the control plane, empty where there are none;
//! each further line is a click.

use serde_json::value::RawValue;
use shared::{
    Millis,
    click::{Batch, Dropped},
};

use crate::{
    isolate::Isolate,
    log,
    runtime::{self, Env, Thrown},
};

/// How long an entry is kept, in seconds: 15 days, which is the age up to which the control plane takes a click.
pub(crate) const KEPT_SECONDS: u32 = 15 * 86_400;

/// Puts clicks into the spool, and the notices of dropped ones.
pub(crate) async fn put(clicks: Vec<&RawValue>, dropped: &[Dropped], env: &Env) -> Result<(), Thrown> {
    let mut text = String::new();
    if !dropped.is_empty() {
        text = Batch { clicks: vec![], dropped: dropped.to_vec() }.to_json();
    }
    for click in &clicks {
        text.push('\n');
        text.push_str(click.get());
    }
    let digits = Isolate::with(|isolate| isolate.random.borrow_mut().number());
    env.spool(&format!("{:013}-{digits:016x}", runtime::now().0), &text, KEPT_SECONDS).await?;
    log::warn("spooled", &format!("{} clicks", clicks.len()));
    Ok(())
}

/// How long ago the entry of a key was made, in milliseconds.
pub(crate) fn age(key: &str) -> i64 {
    let made_at = key.split('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default();
    runtime::now().since(Millis(made_at))
}
