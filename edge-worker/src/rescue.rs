//! The second way of a click, when the queue refuses it: straight to the control plane.

use serde_json::value::RawValue;
use shared::click::Batch;

use crate::{config::Config, control, isolate::Isolate, log};

/// Posts one click; if that fails too, it is lost, counted and named.
pub(crate) async fn click(click: &str, why: &str, config: Option<&Config>) {
    log::warn("queue_refused", why);
    if let Err(failure) = post(click, config).await {
        let total = Isolate::with(|isolate| {
            isolate.lost.set(isolate.lost.get() + 1);
            isolate.lost.get()
        });
        log::error("click_lost", &format!("queue: {why}; direct: {failure}; {total} in this isolate"));
    }
}

async fn post(click: &str, config: Option<&Config>) -> Result<(), String> {
    let config = config.ok_or("the worker is misconfigured")?;
    let click: &RawValue = serde_json::from_str(click).map_err(|error| error.to_string())?;
    control::clicks(config, &Batch { clicks: vec![click] }).await.map_err(|failure| failure.to_string())
}
