//! The part of the chain that ends at the click: the token that named it, and what held when it happened.

use super::{Finding, View, days, span};
use crate::attribution::PATIENCE_DAYS;
use model::conversion::{Method, Reason, Status};
use store::explain::ClickFacts;

impl View<'_> {
    pub(super) fn token_captured(&self) -> Finding {
        match self.tried {
            Some(Method::Original) => Finding::skipped(
                "Refunds, cancellations and reversals need no token: they inherit from what they reverse.",
            ),
            Some(Method::Token) => Finding::pass("The event brought a click token (nim_ct)."),
            Some(Method::Customer) if self.facts.event.method == Some(Method::Customer) => {
                Finding::skipped("The event brought no click token (nim_ct); its customer led to the click instead.")
            }
            Some(Method::Customer) => Finding::fail(
                "The event brought no click token (nim_ct).",
                "Keep nim_ct from the landing page's address (in a cookie, a form field or the checkout's own reference) \
                 and send it with the event.",
            ),
            None => Finding::unknown(
                "The event brought this click's token, or its customer led to the click; which of the two was not kept.",
                "Look at what was sent under this event_id.",
            ),
        }
    }

    pub(super) fn token_valid(&self) -> Finding {
        match (self.tried, self.facts.event.reason) {
            (Some(Method::Token), Some(Reason::TokenInvalid)) => Finding::fail(
                "The token that was sent is none of this workspace: it was cut, changed, made up, or belongs to another \
                 workspace. A present but invalid token is never passed over.",
                "Send nim_ct exactly as the landing page got it: 40 characters of A-Z, a-z, 0-9, - and _. If you have \
                 none, leave the field out.",
            ),
            (Some(Method::Token), _) => Finding::pass(format!("The token is genuine and names {}.", self.click_name())),
            _ => Finding::skipped("There was no token to check."),
        }
    }

    pub(super) fn click_received(&self) -> Finding {
        let (event, click) = (&self.facts.event, self.facts.click.as_ref());
        let name = self.click_name();
        match (event.click_id, click, &self.facts.rejected) {
            (None, ..) if event.status == Status::PendingOriginal => Finding::unknown(
                "The click is that of the original, which has not arrived.",
                "Send the original event.",
            ),
            (None, ..) => Finding::skipped("No click is known for this event."),
            (Some(id), Some(click), _) => {
                let lag = click.recorded_at.millis().since(id.time());
                let lag = if lag < 0 { "at once".to_owned() } else { format!("{} after it happened", span(lag)) };
                Finding::pass(format!("{name} on {} was stored {lag}.", click.short_url))
            }
            (Some(_), None, Some(reason)) => Finding::fail(
                format!("{name} arrived, and the store refused it for good: {reason}."),
                "Check the clock of the edge, and whether clicks were held back for more than 15 days.",
            ),
            (Some(_), None, None) if event.status == Status::PendingClick => Finding::unknown(
                format!("{name} has not arrived yet. Clicks travel by queue and may be behind their events."),
                format!(
                    "Nothing; it is settled by itself when the click arrives, and given up at {}.",
                    self.patience()
                ),
            ),
            (Some(_), None, None) if event.reason == Some(Reason::ClickNotReceived) => Finding::fail(
                format!("{name} did not arrive within {} of the event.", days(PATIENCE_DAYS)),
                "Ask whoever runs the service for clicks that were lost or still wait in a dead-letter queue.",
            ),
            (Some(_), None, None) => Finding::pass(format!(
                "{name} was stored; its own row is gone by now, what mattered of it was copied to the conversion."
            )),
        }
    }

    /// A check that only the click can answer.
    pub(super) fn of_click(&self, check: fn(&Self, &ClickFacts) -> Finding) -> Finding {
        match (&self.facts.click, self.facts.event.status) {
            (Some(click), _) => check(self, click),
            (None, Status::PendingClick | Status::PendingOriginal) => {
                Finding::unknown("That stands in the click, which is not known yet.", "Wait for the click.")
            }
            (None, _) => Finding::skipped("That stands in the click, which is not stored."),
        }
    }

    pub(super) fn token_appended(&self, click: &ClickFacts) -> Finding {
        let detail = |why: &str| format!("The edge appended no token at this click: {why}.");
        match click.token_reason.as_str() {
            "appended" => Finding::pass("The edge appended the token to the destination at this click."),
            "tracking_disabled" => Finding::fail(
                detail("the link did not track conversions"),
                "Set conversion_tracking on the link; it holds for future clicks.",
            ),
            "never" => Finding::fail(
                detail("the link says click_token never"),
                "Set click_token to auto on the link; it holds for future clicks.",
            ),
            "bot" | "probe" => {
                Finding::fail(detail("it was no human's"), "Find out who sends events for the visits of bots.")
            }
            other => Finding::fail(
                detail(&format!(
                    "the destination's query must not be touched ({})",
                    other.trim_start_matches("query_sensitive:")
                )),
                "Link to an address that isn't signed, or set click_token to always if the destination bears it.",
            ),
        }
    }

    pub(super) fn tracking_enabled(&self, click: &ClickFacts) -> Finding {
        if click.token_reason == "tracking_disabled" {
            Finding::fail(
                "The link did not track conversions when it was clicked.",
                "Set conversion_tracking on the link; it holds for future clicks, past ones are never changed.",
            )
        } else {
            Finding::pass("The link tracked conversions when it was clicked.")
        }
    }

    pub(super) fn assignment_at_click(&self, click: &ClickFacts) -> Finding {
        let served = format!("The edge served version {} of the link's record", click.record_version);
        let facts = self.facts;
        if click.partner_id.is_some() {
            let partner = click.partner_name.as_deref().unwrap_or_default();
            let program = click
                .program_name
                .as_ref()
                .map_or_else(|| "no program".to_owned(), |name| format!("the program {name:?}"));
            let behind = facts.holder.as_ref().filter(|holder| Some(holder.id) != click.assignment_id);
            let behind = behind.map(|holder| {
                format!(
                    " The link had been given to {:?} at {}; the edge had not heard yet.",
                    holder.partner_name, holder.started_at
                )
            });
            return Finding::pass(format!(
                "{served}, in which it belonged to {partner:?} in {program}.{}",
                behind.unwrap_or_default()
            ));
        }
        if click.assignment_id.is_some() {
            return Finding::fail(
                format!(
                    "{served} without the partner: it was not active, and the workspace discards the context of inactive partners."
                ),
                "Make the partner active, or set inactive_partner_clicks to keep; both hold for future clicks.",
            );
        }
        let remedy =
            "Assign the link before it is shared. Assignments hold for future clicks, past ones are never changed.";
        let why = match (&facts.holder, facts.assigned_next) {
            (Some(holder), _) => format!(
                "; it had been assigned to {:?} at {}, which had not reached the edge yet",
                holder.partner_name, holder.started_at
            ),
            (None, Some(next)) => format!("; it was assigned only at {next}, after the click"),
            (None, None) => String::new(),
        };
        Finding::fail(format!("{served}, in which it belonged to nobody{why}."), remedy)
    }
}
