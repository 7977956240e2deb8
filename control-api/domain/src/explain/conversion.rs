//! Why a conversion is attributed as it is: the chain from its signature to its place in the reports.

mod click;

use chrono_tz::Tz;
use serde::Serialize;
use shared::{
    Millis,
    id::{ClickId, ConversionId},
};

use super::{Check, Finding, days, span};
use crate::attribution::PATIENCE_DAYS;
use model::{
    conversion::{Method, Reason, Status},
    time::Timestamp,
};
use store::{explain::ConversionFacts, sources::SourceStatus};

/// Why a conversion is what it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The conversion.
    #[schema(value_type = String, example = "cnv_01h455vb4pex5vsknk084sn02q")]
    pub conversion_id: ConversionId,
    /// `attributed`, `pending_click`, `pending_original` or `unattributed`.
    #[schema(value_type = String, example = "attributed")]
    pub status: Status,
    /// `token`, `customer` or `original`.
    #[schema(value_type = Option<String>, example = "token")]
    pub method: Option<Method>,
    /// Why nobody is credited.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// The whole in a sentence.
    pub summary: String,
    /// Always all of these, in this order: `signature`, `token_captured`, `token_valid`, `click_received`,
    /// `token_appended`, `tracking_enabled`, `assignment_at_click`, `window`, `method_token`, `method_customer`,
    /// `method_original`, `reward_terms`, `human_click`, `report_range`.
    pub checks: Vec<Check>,
}

/// Explains a conversion.
#[must_use]
pub fn explain(facts: &ConversionFacts) -> Explanation {
    let view = View { facts, tried: facts.event.tried.or_else(|| deduced(facts)) };
    let checks = vec![
        view.signature().named("signature"),
        view.token_captured().named("token_captured"),
        view.token_valid().named("token_valid"),
        view.click_received().named("click_received"),
        view.of_click(View::token_appended).named("token_appended"),
        view.of_click(View::tracking_enabled).named("tracking_enabled"),
        view.of_click(View::assignment_at_click).named("assignment_at_click"),
        view.window().named("window"),
        view.method_token().named("method_token"),
        view.method_customer().named("method_customer"),
        view.method_original().named("method_original"),
        view.reward_terms().named("reward_terms"),
        view.human_click().named("human_click"),
        view.report_range().named("report_range"),
    ];
    let event = &facts.event;
    Explanation {
        conversion_id: event.id,
        status: event.status,
        method: event.method,
        reason: event.reason,
        summary: view.summary(),
        checks,
    }
}

/// What an event asked for, from what became of it. `None`: token and customer could both have ended like this.
fn deduced(facts: &ConversionFacts) -> Option<Method> {
    let event = &facts.event;
    if event.kind.is_follow_on() {
        return Some(Method::Original);
    }
    match (event.method, event.reason) {
        (Some(method), _) => Some(method),
        (None, Some(Reason::NoToken)) => Some(Method::Customer),
        (None, Some(Reason::OutsideWindow)) if facts.touch.is_some() => None,
        (None, _) => Some(Method::Token),
    }
}

struct View<'a> {
    facts: &'a ConversionFacts,
    /// What the event asked for.
    tried: Option<Method>,
}

impl View<'_> {
    fn clicked_at(&self) -> Option<Timestamp> {
        self.facts.event.click_id.map(|click| Timestamp::from_millis(click.time()))
    }

    fn click_name(&self) -> String {
        self.facts.event.click_id.map_or_else(|| "no click".to_owned(), |click: ClickId| format!("the click {click}"))
    }

    /// The end of waiting.
    fn patience(&self) -> Timestamp {
        Timestamp::from_millis(self.facts.event.recorded_at.millis().plus(i64::from(PATIENCE_DAYS) * Millis::DAY))
    }

    fn original_name(&self) -> String {
        self.facts.original.as_ref().map_or_else(|| "its original".to_owned(), |original| original.id.to_string())
    }

    fn signature(&self) -> Finding {
        let source = &self.facts.source;
        let state = match (source.status, source.valid_secrets) {
            (SourceStatus::Disabled, _) => "the source is disabled now, so new events are refused".to_owned(),
            (SourceStatus::Active, 0) => "it has no valid secret now, so new events are refused".to_owned(),
            (SourceStatus::Active, 1) => "it is active, with one valid secret".to_owned(),
            (SourceStatus::Active, n) => format!("it is active, with {n} valid secrets: one is being rotated"),
        };
        Finding::pass(format!(
            "The event was signed with a secret of the source {:?} and received at {}. Now {state}.",
            source.name, self.facts.event.recorded_at
        ))
    }

    fn window(&self) -> Finding {
        let (event, windows) = (&self.facts.event, &self.facts.windows);
        if event.kind.is_follow_on() {
            return Finding::skipped("It inherits; the window counted for what it reverses.");
        }
        let (Some(clicked_at), Some(length)) = (self.clicked_at(), event.window_days) else {
            return match event.status {
                Status::PendingClick | Status::PendingOriginal => {
                    Finding::unknown("The window counts from the click, which is not known yet.", "Wait for the click.")
                }
                _ => Finding::skipped("The window counts from the click, and there is none."),
            };
        };
        let origin = match windows.program {
            Some(now) if now == length => "the program's own",
            None if windows.workspace == length => "the workspace's",
            _ => "as it was when this was decided; the setting has changed since",
        };
        let age = event.occurred_at.millis().since(clicked_at.millis());
        let length = days(length);
        let when = if age < 0 { format!("{} before", span(age)) } else { format!("{} after", span(age)) };
        let detail = format!("The event occurred {when} its click; the window is {length} ({origin}).");
        match event.reason {
            Some(Reason::OutsideWindow) => Finding::fail(
                detail,
                "If such events should count, lengthen attribution_window_days of the program or workspace; it holds for \
                 events that are still to come.",
            ),
            Some(Reason::BeforeClick) => Finding::fail(
                detail,
                "Check the clock that occurred_at comes from, and that the token is not one of a later visit. Up to 5 \
                 minutes before the click are allowed.",
            ),
            _ => Finding::pass(detail),
        }
    }

    fn method_token(&self) -> Finding {
        match (self.tried, self.facts.event.status, self.facts.event.reason) {
            (Some(Method::Original), ..) => Finding::skipped("Not for events that reverse another one."),
            (Some(Method::Customer), ..) => Finding::skipped("Not tried: the event brought no token."),
            (Some(Method::Token), Status::Attributed, _) => Finding::pass("Taken: the event's own token decides."),
            (Some(Method::Token), Status::PendingClick, _) => Finding::unknown(
                "Tried first, and waiting for the click.",
                "Nothing; it is settled by itself when the click arrives.",
            ),
            (Some(Method::Token), _, reason) => Finding::fail(
                format!("Tried first, without a partner: {}.", word(reason)),
                "See the check above that failed.",
            ),
            (None, ..) => Finding::unknown("It isn't known whether the event brought a token.", "See token_captured."),
        }
    }

    fn method_customer(&self) -> Finding {
        let event = &self.facts.event;
        let customer = event.customer_id.as_deref();
        match (self.tried, event.status) {
            (Some(Method::Original), _) => Finding::skipped("Not for events that reverse another one."),
            (Some(Method::Token), _) => Finding::skipped("Not tried: an event with a token is judged by that alone."),
            (Some(Method::Customer), Status::Attributed) => {
                let touch = self.facts.touch.map(|touch| format!(", known from {touch}")).unwrap_or_default();
                Finding::pass(format!(
                    "Taken: the latest attributed click of the customer {:?}{touch}.",
                    customer.unwrap_or_default()
                ))
            }
            (Some(Method::Customer), Status::PendingClick) => Finding::unknown(
                format!(
                    "An earlier event of the customer {:?} still waits for its click.",
                    customer.unwrap_or_default()
                ),
                "Nothing; it is settled by itself when that click arrives.",
            ),
            (Some(Method::Customer), _) if customer.is_none() => Finding::fail(
                "Tried, but the event named no customer.",
                "Send customer_id with leads and sales: a sale without a token is then credited like the customer's lead.",
            ),
            (Some(Method::Customer), _) if event.reason == Some(Reason::NoToken) => Finding::fail(
                format!(
                    "Tried: the customer {:?} had no attributed conversion whose click came before this event.",
                    customer.unwrap_or_default()
                ),
                "Send the customer's first event (such as the lead) with its token and the same customer_id.",
            ),
            (Some(Method::Customer), _) => Finding::fail(
                format!("Tried, without a partner: {}.", word(event.reason)),
                "See the check above that failed.",
            ),
            (None, _) => Finding::unknown("It isn't known whether the event brought a token.", "See token_captured."),
        }
    }

    fn method_original(&self) -> Finding {
        let (facts, event) = (self.facts, &self.facts.event);
        if !event.kind.is_follow_on() {
            return Finding::skipped("Only refunds, cancellations and reversals inherit.");
        }
        let named = match (&event.original_event_id, &event.order_id) {
            (Some(original), _) => format!("original_event_id {original:?}"),
            (None, Some(order)) => format!("order_id {order:?}"),
            (None, None) => "nothing".to_owned(),
        };
        match (&facts.original, event.reason) {
            (Some(original), _) if original.status == Status::Attributed => {
                Finding::pass(format!("Taken: by {named} it reverses {} and inherits from it.", original.id))
            }
            (Some(original), _) => Finding::fail(
                format!(
                    "By {named} it reverses {}, which has no partner itself ({}).",
                    original.id,
                    original.reason.map_or(original.status.as_str(), Reason::as_str)
                ),
                format!("Explain {}.", original.id),
            ),
            (None, Some(Reason::OriginalAmbiguous)) => Finding::fail(
                format!(
                    "By {named} it may reverse {} leads or sales, of different partners or programs.",
                    facts.candidates
                ),
                "Name the one by original_event_id.",
            ),
            (None, Some(_)) => Finding::fail(
                format!("No lead or sale with {named} arrived within {}.", days(PATIENCE_DAYS)),
                "Send the original event first, under the id or order that its follow-ons name.",
            ),
            (None, None) => Finding::unknown(
                format!("It waits for a lead or sale with {named}; {} of that name are stored.", facts.candidates),
                format!("Send the original event if it was not sent; this one is given up at {}.", self.patience()),
            ),
        }
    }

    /// The type that terms are asked about.
    fn rewarded_kind(&self) -> &'static str {
        let kind = self.facts.event.kind;
        if kind.is_follow_on() { "such conversion" } else { kind.as_str() }
    }

    fn reward_terms(&self) -> Finding {
        let event = &self.facts.event;
        if event.status != Status::Attributed {
            return Finding::skipped("Nobody is to be rewarded.");
        }
        if let Some(version) = event.terms_version {
            let whose =
                if event.kind.is_follow_on() { "those of what it reverses" } else { "in force when it occurred" };
            if !event.rewarded {
                return Finding::skipped(format!(
                    "Version {version} of the program's terms, {whose}, rewards no {}.",
                    self.rewarded_kind()
                ));
            }
            return Finding::pass(format!("Version {version} of the program's terms, {whose}."));
        }
        if event.kind.is_follow_on() {
            return Finding::skipped(format!(
                "{} had no terms, so there is nothing to take back.",
                self.original_name()
            ));
        }
        let Some(program) = &event.program_name else {
            return Finding::fail(
                "The link had no program at the click, so no terms apply.",
                "Assign links within a program that has reward terms.",
            );
        };
        match &self.facts.terms {
            Some(terms) if terms.any => Finding::fail(
                format!(
                    "Version {} of the terms of {program:?} rewards {}, not a {}.",
                    terms.version,
                    terms.applies_to.join(" and "),
                    event.kind
                ),
                "Nothing, if that is meant; else change applies_to, which holds for events that occur from then on.",
            ),
            Some(terms) => Finding::fail(
                format!("The program {program:?} has had no terms since {}.", terms.started_at),
                "Give the program reward terms; they hold for events that occur from then on.",
            ),
            None => Finding::fail(
                format!("The program {program:?} had no terms yet when the event occurred."),
                "Give the program reward terms; they hold for events that occur from then on.",
            ),
        }
    }

    fn human_click(&self) -> Finding {
        let event = &self.facts.event;
        let reason = self.facts.click.as_ref().map_or(event.bot_reason.as_ref(), |click| click.bot_reason.as_ref());
        match (reason, event.click_id, &self.facts.click) {
            (Some(reason), ..) => Finding::fail(
                format!(
                    "The click counts as a bot's ({reason}). The row is credited and marked for review (bot_click)."
                ),
                "Look at the visit before anybody is paid.",
            ),
            (None, None, _) => Finding::skipped("There is no click."),
            (None, Some(_), None) if event.status != Status::Attributed => Finding::skipped("The click is not stored."),
            (None, ..) => Finding::pass("The click counts as a human's."),
        }
    }

    fn report_range(&self) -> Finding {
        let event = &self.facts.event;
        let tz: Tz = self.facts.tz.parse().unwrap_or(Tz::UTC);
        let day = event.occurred_at.0.with_timezone(&tz).format("%Y-%m-%d");
        let place = format!("{day} ({tz}), the day of occurred_at {}", event.occurred_at);
        // An `as_of` before this moment knows nothing of it.
        let known = event.attributed_at.map_or(event.recorded_at, |at| at.max(event.recorded_at));
        match event.status {
            Status::Attributed => Finding::pass(format!(
                "Reports and exports count it on {place}, where from is not later and to is later than that. With as_of, \
                 from {known} on."
            )),
            Status::Unattributed => Finding::fail(
                format!(
                    "Reports count it under `unattributed` on {place}, and in no group, sum of money or export: those hold \
                     partner-attributed rows. With as_of, from {known} on."
                ),
                "See the check that failed.",
            ),
            Status::PendingClick | Status::PendingOriginal => Finding::unknown(
                format!("Until it is settled, reports count it under `pending` on {place}, and exports leave it out."),
                format!("Wait; that ends at {} at the latest.", self.patience()),
            ),
        }
    }

    fn summary(&self) -> String {
        let event = &self.facts.event;
        let click = self.clicked_at().map_or_else(String::new, |at| {
            let url = self.facts.click.as_ref().map(|click| &click.short_url).or(event.short_url.as_ref());
            url.map_or_else(
                || format!(" through a click at {at}"),
                |url| format!(" through the click on {url} at {at}"),
            )
        });
        match (event.status, event.reason) {
            (Status::Attributed, _) => {
                let partner = event.partner_name.as_deref().unwrap_or_default();
                let program = event.program_name.as_ref().map(|name| format!(" in {name:?}")).unwrap_or_default();
                let method = event.method.map_or("?", Method::as_str);
                format!("Credited to {partner:?}{program} by the method {method},{click}.")
            }
            (Status::PendingClick, _) => format!("Waits for its click until {}.", self.patience()),
            (Status::PendingOriginal, _) => format!("Waits for the event that it reverses until {}.", self.patience()),
            (Status::Unattributed, reason) => format!("Credited to nobody: {}.", word(reason)),
        }
    }
}

/// A reason in words.
fn word(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::NoToken) => "it brought no click token, and its customer was not known",
        Some(Reason::TokenInvalid) => "its click token is none of this workspace",
        Some(Reason::ClickNotReceived) => "its click never arrived",
        Some(Reason::BeforeClick) => "it occurred before its click",
        Some(Reason::OutsideWindow) => "it occurred after the attribution window had closed",
        Some(Reason::TrackingDisabled) => "the link did not track conversions at the click",
        Some(Reason::NoPartnerAssignment) => "the link belonged to nobody at the click",
        Some(Reason::OriginalNotFound) => "the event that it reverses never arrived",
        Some(Reason::OriginalAmbiguous) => "it may reverse several events, of different partners or programs",
        None => "no reason was kept",
    }
}

#[cfg(test)]
mod tests;
