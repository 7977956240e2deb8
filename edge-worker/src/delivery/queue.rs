//! The consumer of the click queues: each batch becomes one signed request to the control plane.
//!
//! The queue retries a batch that fails, with growing delays, for as long as the control plane is unavailable. A bad message
//! does not hold up its batch ([`deliver`]).

use wasm_bindgen::prelude::*;

use crate::{
    config::Config,
    delivery::batch::{self, deliver},
    log,
};

/// The longest delay before a retry, in seconds. The queue's limit of 100 retries then spans 15 hours.
const MAX_DELAY: u32 = 600;
/// The delay of a message from a dead-letter queue, in seconds: for a day by the hour, then every four hours. Its 100
/// retries span the 14 days that a queue keeps a message at most; a click is too late a day after that anyway.
const LAST_DELAYS: [u32; 2] = [3_600, 14_400];
/// From this try on, a dead letter that the control plane refuses when it is alone is given up: its 100 tries are nearly
/// used up.
const LAST_TRIES: u32 = 95;
/// How long one request may take, in milliseconds. No visitor waits for it.
const LIMIT: u32 = 15_000;

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

/// Delivers a batch of a queue and settles each of its messages.
pub(crate) async fn batch(messages: &[Message], queue: &str, config: &Config) {
    let clicks: Vec<_> = messages.iter().map(|message| batch::click(message.body().as_string())).collect();
    let is_late = |place: usize| is_dead_letters(queue) && messages[place].attempts() >= LAST_TRIES;
    let delivery = deliver(&clicks, &is_late, LIMIT, config).await;
    let mut left = Vec::new();
    for (message, settled) in messages.iter().zip(delivery.settled) {
        if settled {
            message.ack();
        } else {
            left.push(message);
        }
    }
    if !left.is_empty() {
        postpone(&left, queue, &delivery.away.map_or_else(|| "refused".to_owned(), |failure| failure.to_string()));
    }
}

/// Leaves messages in their queue for later.
pub(crate) fn postpone(messages: &[&Message], queue: &str, why: &str) {
    let attempts = messages.iter().map(|message| message.attempts()).max().unwrap_or_default();
    log::warn("clicks_delayed", &format!("{queue}: {} clicks, attempt {attempts}: {why}", messages.len()));
    for message in messages {
        let options = js_sys::Object::new().unchecked_into::<RetryOptions>();
        options.set_delay_seconds(delay(queue, message.attempts()));
        message.retry(&options);
    }
}

fn is_dead_letters(queue: &str) -> bool {
    queue.ends_with("-dlq")
}

/// The seconds to wait after this many attempts: 1, 2, 4, and so on.
fn delay(queue: &str, attempts: u32) -> u32 {
    if is_dead_letters(queue) {
        return LAST_DELAYS[usize::from(attempts > 24)];
    }
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
            assert_eq!(delay("nimriz-clicks-1", attempts), seconds, "{attempts}");
        }
        let last: Vec<u32> = (1..=100).map(|attempts| delay("nimriz-clicks-dlq", attempts)).collect();
        assert_eq!((last[0], last[23], last[24]), (3_600, 3_600, 14_400));
        let days = last.iter().sum::<u32>() / 86_400;
        assert_eq!(days, 13, "less than a queue keeps them, or they would go unseen");
    }
}
