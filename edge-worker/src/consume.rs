//! The consumer of the click queue: each batch becomes one signed request to the control plane.
//!
//! A batch that fails is retried by the queue, with growing delays, for as long as the centre is away. One
//! that the centre refuses for good is taken apart, so that a bad message does not hold its neighbours.

use serde_json::value::{RawValue, to_raw_value};
use shared::click::Batch;
use wasm_bindgen::prelude::*;

use crate::{
    config::Config,
    control::{self, Failure},
    log,
};

/// The longest delay before a retry, in seconds. The queue's limit of 100 retries then spans 16 hours.
const MAX_DELAY: u32 = 600;

// The attempts of a message are not among what the `worker` crate shows of it.
#[wasm_bindgen]
extern "C" {
    /// One message of a queue's batch.
    pub type Message;

    #[wasm_bindgen(method, getter)]
    fn body(this: &Message) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn attempts(this: &Message) -> u32;
    #[wasm_bindgen(method)]
    fn ack(this: &Message);
    #[wasm_bindgen(method)]
    fn retry(this: &Message, options: &RetryOptions);

    /// How to retry.
    pub(crate) type RetryOptions;
    #[wasm_bindgen(method, setter, js_name = delaySeconds)]
    fn set_delay_seconds(this: &RetryOptions, seconds: u32);
}

/// Delivers a batch and settles each of its messages.
pub(crate) async fn batch(messages: &[Message], config: &Config) {
    let clicks: Vec<_> = messages.iter().map(|message| click(message.body().as_string())).collect();
    match deliver(&clicks, config).await {
        Ok(()) => messages.iter().for_each(Message::ack),
        Err(Failure::Status(status)) if is_final(status) => {
            log::warn("batch_refused", &format!("status {status}; its {} clicks go one by one", clicks.len()));
            for (message, click) in messages.iter().zip(&clicks) {
                match deliver(std::slice::from_ref(click), config).await {
                    Ok(()) => message.ack(),
                    Err(failure) => postpone(std::slice::from_ref(message), &failure.to_string()),
                }
            }
        }
        Err(failure) => postpone(messages, &failure.to_string()),
    }
}

/// Leaves messages in the queue for later.
pub(crate) fn postpone(messages: &[Message], why: &str) {
    let attempts = messages.iter().map(Message::attempts).max().unwrap_or_default();
    log::warn("clicks_delayed", &format!("{} clicks, attempt {attempts}: {why}", messages.len()));
    for message in messages {
        let options = js_sys::Object::new().unchecked_into::<RetryOptions>();
        options.set_delay_seconds(delay(message.attempts()));
        message.retry(&options);
    }
}

/// What can't be read as JSON travels as a JSON string: the control plane then counts it as malformed, instead
/// of its being lost here without a trace.
fn click(body: Option<String>) -> Box<RawValue> {
    let Some(body) = body else { return RawValue::NULL.to_owned() };
    serde_json::from_str::<&RawValue>(&body)
        .map(RawValue::to_owned)
        .or_else(|_| to_raw_value(&body))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

async fn deliver(clicks: &[Box<RawValue>], config: &Config) -> Result<(), Failure> {
    control::clicks(config, &Batch { clicks: clicks.iter().map(AsRef::as_ref).collect() }).await
}

/// Whether the same request would be refused again: not JSON, too large, not a batch.
const fn is_final(status: u16) -> bool {
    matches!(status, 400 | 413 | 422)
}

/// The seconds to wait after this many attempts: 1, 2, 4, and so on.
fn delay(attempts: u32) -> u32 {
    1_u32.checked_shl(attempts.saturating_sub(1)).filter(|delay| *delay < MAX_DELAY).unwrap_or(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit() {
        for (attempts, seconds) in
            [(0, 1), (1, 1), (2, 2), (5, 16), (10, 512), (11, 600), (32, 600), (33, 600), (100, 600)]
        {
            assert_eq!(delay(attempts), seconds, "{attempts}");
        }
    }

    #[test]
    fn every_body_becomes_json_that_leaves_its_batch_whole() {
        for (body, sent) in [
            (Some(r#"{"id":"clk_1"}"#), r#"{"id":"clk_1"}"#),
            (Some(r#"{"id":"#), r#""{\"id\":""#),
            (Some(r#"1],"clicks":[2"#), r#""1],\"clicks\":[2""#),
            (Some(""), r#""""#),
            (None, "null"),
        ] {
            assert_eq!(click(body.map(str::to_owned)).get(), sent);
        }
    }
}
