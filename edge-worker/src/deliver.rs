//! Clicks to the control plane, so that a bad one holds nobody up. Queue, rescue and spool all hand over by this.

use serde_json::value::RawValue;
use shared::{
    click::{Batch, Dropped, Rejected},
    id::ClickId,
    json,
};

use crate::{
    config::Config,
    control::{self, Failure},
    isolate::Isolate,
    log,
};

/// How often a click is tried that the centre refuses alone.
const PATIENCE: u32 = 5;
/// The most refused clicks whose tries are remembered.
const MOST_REFUSED: usize = 1_000;

/// What became of clicks.
pub(crate) struct Delivery {
    /// Of each click: stored, or counted as rejected.
    pub(crate) settled: Vec<bool>,
    /// Why the centre took no more, where it is away. What is left without this was refused alone.
    pub(crate) away: Option<Failure>,
}

/// Hands clicks over. A batch that the centre refuses as a whole is halved until what it refuses stands alone. Such a
/// click is given up when this isolate has seen it refused [`PATIENCE`] times, or where `is_late` says of its place that
/// there will be no other chance; the centre then counts it as `undeliverable`. Where the centre doesn't even take word of
/// that, nothing is given up. Tries while the centre is away count for nothing.
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
    // Parts that still have to be sent, the first one last.
    let all = 0..clicks.len();
    let mut left = vec![all];
    let mut knocked = false;
    while let Some(part) = left.pop() {
        let batch = Batch { clicks: clicks[part.clone()].iter().map(AsRef::as_ref).collect(), dropped: vec![] };
        match control::clicks(config, &batch, limit).await {
            Ok(()) => delivery.settled[part].fill(true),
            Err(Failure::Status(status)) if may_blame(status) => {
                // A door that refuses an empty batch too refuses everybody: taking the batch apart would tell no more.
                if !knocked && let Err(failure) = control::clicks(config, &EMPTY, limit).await {
                    delivery.away = Some(failure);
                    break;
                }
                knocked = true;
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
        match control::clicks(config, &Batch { clicks: vec![], dropped }, limit).await {
            Ok(()) => places.iter().for_each(|place| delivery.settled[*place] = true),
            Err(failure) => delivery.away = Some(failure),
        }
    }
    delivery
}

/// How often this isolate has seen the centre refuse this click alone, this time included.
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

/// Whether a refusal may be about what the request holds: a proxy or filter in front of the centre says 403 to one click
/// and not to another. Not about our signature, and not about the time or the rate.
const fn may_blame(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 401 | 408 | 425 | 429)
}

/// A click's text as JSON. What can't be read as JSON travels as a JSON string: the control plane then counts it as
/// malformed, instead of its being lost here without a trace.
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
