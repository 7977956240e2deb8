//! Batches of clicks to the control plane, sent so that a bad click does not hold up the others. Queue, fallback and spool
//! all deliver in this way.

use serde_json::value::RawValue;
use shared::{
    click::{Batch, Dropped, Rejected},
    id::ClickId,
    json,
};

use crate::{
    centre::{self, Failure},
    config::Config,
    isolate::Isolate,
    log,
};

/// How often a click is sent that the control plane refuses when it is alone.
const PATIENCE: u32 = 5;
/// The largest number of refused clicks whose tries are remembered.
const MOST_REFUSED: usize = 1_000;

/// The outcome of a delivery.
pub(crate) struct Delivery {
    /// For each click, whether it is stored or counted as rejected.
    pub(crate) settled: Vec<bool>,
    /// Why the control plane is unavailable, if it is. Without this, an unsettled click was refused when it was alone.
    pub(crate) away: Option<Failure>,
}

/// Delivers clicks. A batch that the control plane refuses is halved until the refused clicks are alone. Such a click is
/// given up when this isolate has seen it refused [`PATIENCE`] times, or where `is_late` says of its place that this is its
/// last try; the control plane then counts it as `undeliverable`. Where the control plane doesn't take that notice either,
/// the click is not given up. Tries while the control plane is unavailable don't count.
///
/// `limit` is the time for one request, in milliseconds.
pub(crate) async fn deliver(
    clicks: &[Box<RawValue>],
    is_late: &dyn Fn(usize) -> bool,
    limit: u32,
    config: &Config,
) -> Delivery {
    let mut delivery = Delivery { settled: vec![false; clicks.len()], away: None };
    let mut refused = Vec::new();
    // Parts that are not sent yet, the first one last.
    let all = 0..clicks.len();
    let mut left = vec![all];
    let mut takes_empty = false;
    while let Some(part) = left.pop() {
        let batch = Batch { clicks: clicks[part.clone()].iter().map(AsRef::as_ref).collect(), dropped: vec![] };
        match centre::clicks(config, &batch, limit).await {
            Ok(()) => delivery.settled[part].fill(true),
            Err(Failure::Status(status)) if may_blame(status) => {
                // A control plane that refuses an empty batch too refuses every batch: halving this one is useless.
                if !takes_empty && let Err(failure) = centre::clicks(config, &EMPTY, limit).await {
                    delivery.away = Some(failure);
                    break;
                }
                takes_empty = true;
                log::warn("batch_refused", &format!("status {status} for {} clicks", part.len()));
                if part.len() == 1 {
                    refused.push(part.start);
                } else {
                    let middle = part.start + part.len() / 2;
                    left.push(middle..part.end);
                    left.push(part.start..middle);
                }
            }
            Err(failure) => {
                delivery.away = Some(failure);
                break;
            }
        }
    }
    let given_up = |place: &usize| {
        let click = Dropped::of(clicks[*place].get(), Rejected::Undeliverable);
        (refused_again(click.id) >= PATIENCE || is_late(*place)).then_some(click)
    };
    let (places, dropped): (Vec<_>, Vec<_>) =
        refused.iter().filter_map(|place| Some((*place, given_up(place)?))).unzip();
    if !dropped.is_empty() {
        for click in &dropped {
            log::error("click_undeliverable", &click.id.to_string());
        }
        match centre::clicks(config, &Batch { clicks: vec![], dropped }, limit).await {
            Ok(()) => places.iter().for_each(|place| delivery.settled[*place] = true),
            Err(failure) => delivery.away = Some(failure),
        }
    }
    delivery
}

/// How often this isolate has seen the control plane refuse this click when it was alone, this time included.
fn refused_again(click: ClickId) -> u32 {
    Isolate::with(|isolate| {
        let mut refused = isolate.refused.borrow_mut();
        if let Some((_, count)) = refused.iter_mut().find(|(known, _)| *known == click) {
            *count += 1;
            return *count;
        }
        if refused.len() >= MOST_REFUSED {
            refused.clear();
        }
        refused.push((click, 1));
        1
    })
}

const EMPTY: Batch<'static> = Batch { clicks: vec![], dropped: vec![] };

/// Whether a refusal may be due to the content of the request: a proxy or filter in front of the control plane answers 403
/// to one click and not to another. A refused signature, a timeout and a rate limit are not due to the content.
const fn may_blame(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 401 | 408 | 425 | 429)
}

/// A click's text as JSON. A text that is not JSON is sent as a JSON string: the control plane then counts it as malformed,
/// and the click is not lost without a trace.
pub(crate) fn click(text: Option<String>) -> Box<RawValue> {
    let Some(text) = text else { return RawValue::NULL.to_owned() };
    match RawValue::from_string(text.clone()) {
        Ok(click) => click,
        Err(_) => {
            let mut quoted = String::new();
            json::escape(&text, &mut quoted);
            RawValue::from_string(quoted).unwrap_or_else(|_| RawValue::NULL.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blames_content_only_where_it_may_be_at_fault() {
        for (status, blamed) in [
            (400, true),
            (403, true),
            (413, true),
            (422, true),
            (401, false),
            (429, false),
            (408, false),
            (500, false),
            (503, false),
            (302, false),
        ] {
            assert_eq!(may_blame(status), blamed, "{status}");
        }
    }

    #[test]
    fn every_text_becomes_json_that_leaves_its_batch_whole() {
        for (text, sent) in [
            (Some(r#"{"id":"clk_1"}"#), r#"{"id":"clk_1"}"#),
            (Some(r#"{"id":"#), r#""{\"id\":""#),
            (Some(r#"1],"clicks":[2"#), r#""1],\"clicks\":[2""#),
            (Some(""), r#""""#),
            (None, "null"),
        ] {
            assert_eq!(click(text.map(str::to_owned)).get(), sent);
        }
    }
}
