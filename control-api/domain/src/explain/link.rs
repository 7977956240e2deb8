//! Whether what comes through a link would be credited: asked before anything went wrong.

use serde::Serialize;
use shared::{
    Millis,
    id::LinkId,
    record::{ClickTokenMode, LinkStatus},
    sensitive,
};

use super::{Check, Finding, Outcome, days, span};
use crate::links::short_url;
use model::{conversion::Status as Attribution, status::Status, time::Timestamp};
use store::{
    domains::DomainStatus,
    explain::{LOOK_BACK_DAYS, LinkFacts},
    partners::Relationship,
    workspaces::InactivePartnerClicks,
};

/// Whether what comes through a link would be credited.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AttributionCheck {
    /// The link.
    #[schema(value_type = String, example = "lnk_01h455vb4pex5vsknk084sn02q")]
    pub link_id: LinkId,
    /// What visitors open.
    #[schema(example = "https://go.acme.com/nomura")]
    pub short_url: String,
    /// Whether no check failed.
    pub ready: bool,
    /// The whole in a sentence.
    pub summary: String,
    /// Always all of these, in this order: `link_active`, `link_not_expired`, `domain_active`, `assigned`,
    /// `partner_active`, `program_active`, `tracking_enabled`, `token_mode`, `destination_bears_token`,
    /// `variants_bear_token`, `edge_in_sync`, `sources_ready`, `window`, `reward_terms`, `last_click`,
    /// `last_click_with_token`, `last_event_with_token`.
    pub checks: Vec<Check>,
}

/// What the asker may see beside the setup.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// Clicks.
    pub traffic: bool,
    /// Conversions.
    pub conversions: bool,
}

/// Checks a link.
#[must_use]
pub fn check(facts: &LinkFacts, sight: Sight, now: Millis) -> AttributionCheck {
    let checks = vec![
        link_active(facts).named("link_active"),
        link_not_expired(facts, now).named("link_not_expired"),
        domain_active(facts).named("domain_active"),
        assigned(facts).named("assigned"),
        partner_active(facts).named("partner_active"),
        program_active(facts).named("program_active"),
        tracking_enabled(facts).named("tracking_enabled"),
        token_mode(facts).named("token_mode"),
        destination_bears_token(facts).named("destination_bears_token"),
        variants_bear_token(facts).named("variants_bear_token"),
        edge_in_sync(facts, sight).named("edge_in_sync"),
        sources_ready(facts).named("sources_ready"),
        window(facts).named("window"),
        reward_terms(facts).named("reward_terms"),
        last_click(facts, sight, now).named("last_click"),
        last_click_with_token(facts, sight, now).named("last_click_with_token"),
        last_event_with_token(facts, sight, now).named("last_event_with_token"),
    ];
    let failed: Vec<&str> = checks.iter().filter(|c| c.result == Outcome::Fail).map(|c| c.check).collect();
    let summary = if failed.is_empty() {
        "Nothing stands in the way: a sale that brings the token of a click on this link is credited.".to_owned()
    } else {
        format!("See what to do about: {}.", failed.join(", "))
    };
    AttributionCheck {
        link_id: facts.link.id,
        short_url: short_url(&facts.link),
        ready: failed.is_empty(),
        summary,
        checks,
    }
}

fn link_active(facts: &LinkFacts) -> Finding {
    match facts.link.status {
        LinkStatus::Active => Finding::pass("The link is active."),
        status => Finding::fail(
            format!(
                "The link is {status}: visitors are not redirected to its destination, and their visits are no clicks."
            ),
            "Set the link's status to active.",
        ),
    }
}

fn link_not_expired(facts: &LinkFacts, now: Millis) -> Finding {
    match facts.link.expires_at {
        None => Finding::pass("The link never expires."),
        Some(at) if at.millis() > now => Finding::pass(format!("The link expires at {at}.")),
        Some(at) => Finding::fail(
            format!("The link expired at {at}: visits are no clicks since."),
            "Clear expires_at or set it to a later time.",
        ),
    }
}

fn domain_active(facts: &LinkFacts) -> Finding {
    match facts.domain_status {
        DomainStatus::Active => Finding::pass(format!("The domain {} is active.", facts.link.domain)),
        DomainStatus::Archived => Finding::fail(
            format!("The domain {} is archived: none of its links redirects.", facts.link.domain),
            "Set the domain's status to active.",
        ),
    }
}

fn assigned(facts: &LinkFacts) -> Finding {
    match &facts.link.assignment {
        Some(now) => {
            let program = now.program.as_ref().map_or("no program".to_owned(), |p| format!("the program {:?}", p.name));
            Finding::pass(format!("It belongs to {:?} in {program}, since {}.", now.partner.name, now.started_at))
        }
        None => Finding::fail(
            "The link belongs to nobody: its clicks are counted, its conversions are unattributed.",
            "Assign the link to a partner. That holds for future clicks only.",
        ),
    }
}

fn partner_active(facts: &LinkFacts) -> Finding {
    match (facts.partner, facts.inactive_partner_clicks) {
        (None, _) => Finding::skipped("There is no partner."),
        (Some((Status::Active, Relationship::Approved)), _) => Finding::pass("The partner is active and approved."),
        (Some((Status::Active, relationship)), _) => Finding::fail(
            format!("The partner is {relationship}: its conversions are credited and marked for review."),
            "Approve the partner, or give the link to another.",
        ),
        (Some((status, _)), InactivePartnerClicks::Keep) => Finding::fail(
            format!("The partner is {status}: its conversions are credited and marked for review."),
            "Make the partner active, or give the link to another.",
        ),
        (Some((status, _)), InactivePartnerClicks::DiscardContext) => Finding::fail(
            format!(
                "The partner is {status}, and the workspace discards the context of inactive partners: clicks are nobody's."
            ),
            "Make the partner active, give the link to another, or set inactive_partner_clicks to keep.",
        ),
    }
}

fn program_active(facts: &LinkFacts) -> Finding {
    match &facts.program {
        None => Finding::skipped("There is no program."),
        Some(program) if program.status == Status::Active => {
            Finding::pass(format!("The program {:?} is active.", program.name))
        }
        Some(program) => Finding::fail(
            format!(
                "The program {:?} is {}; this link keeps it until it is assigned anew.",
                program.name, program.status
            ),
            "Make the program active, or assign the link within another.",
        ),
    }
}

fn tracking_enabled(facts: &LinkFacts) -> Finding {
    if facts.link.conversion_tracking {
        Finding::pass("The link tracks conversions.")
    } else {
        Finding::fail("The link does not track conversions: no click gets a token.", "Set conversion_tracking to true.")
    }
}

fn token_mode(facts: &LinkFacts) -> Finding {
    match facts.link.click_token {
        ClickTokenMode::Auto => {
            Finding::pass("Human visitors carry a token wherever the destination bears one (auto).")
        }
        ClickTokenMode::Always => Finding::pass("Human visitors always carry a token (always)."),
        ClickTokenMode::Never => {
            Finding::fail("The link says click_token never: no click gets a token.", "Set click_token to auto.")
        }
    }
}

/// What a query-sensitive destination means under the link's mode.
fn sensitive_finding(mode: ClickTokenMode, which: &str) -> Finding {
    match mode {
        ClickTokenMode::Always => Finding::unknown(
            format!("{which}. The token is appended all the same (always)."),
            "Open the link in a browser and see that the page accepts the added parameter.",
        ),
        _ => Finding::fail(
            format!("{which}: no token is appended there, because an added parameter may break it."),
            "Link to an address that isn't signed, or set click_token to always if it bears the parameter.",
        ),
    }
}

fn destination_bears_token(facts: &LinkFacts) -> Finding {
    let link = &facts.link;
    if !link.variants.is_empty() {
        return Finding::skipped("The link has variants, so nobody is sent to its main destination.");
    }
    if link.click_token == ClickTokenMode::Never {
        return Finding::skipped("No token is to be appended.");
    }
    match sensitive::rule(&link.destination) {
        None => Finding::pass("The destination's query may be added to."),
        Some(rule) => sensitive_finding(link.click_token, &format!("The destination is query-sensitive (rule {rule})")),
    }
}

fn variants_bear_token(facts: &LinkFacts) -> Finding {
    let link = &facts.link;
    if link.variants.is_empty() {
        return Finding::skipped("The link has no variants.");
    }
    if link.click_token == ClickTokenMode::Never {
        return Finding::skipped("No token is to be appended.");
    }
    let hit: Vec<String> = link
        .variants
        .iter()
        .filter_map(|variant| {
            sensitive::rule(&variant.destination).map(|rule| format!("{:?} (rule {rule})", variant.key))
        })
        .collect();
    if hit.is_empty() {
        return Finding::pass(format!("All {} variants' queries may be added to.", link.variants.len()));
    }
    let which = format!("Of {} variants these are query-sensitive: {}", link.variants.len(), hit.join(", "));
    sensitive_finding(link.click_token, &which)
}

fn edge_in_sync(facts: &LinkFacts, sight: Sight) -> Finding {
    let edge = &facts.replication;
    let served = match facts.last_click.as_ref().filter(|_| sight.traffic) {
        Some(click) => format!(" The last click was served version {}.", click.record_version),
        None => String::new(),
    };
    match (edge.waiting_since, &edge.last_error) {
        (None, _) => Finding::pass(format!("Version {} of the record is published.{served}", edge.version)),
        (Some(since), None) => Finding::unknown(
            format!("Version {} of the record is on its way to the edge since {since}.{served}", edge.version),
            "Ask again in some seconds.",
        ),
        // The error names addresses of the operator's, so it is the operator's to read.
        (Some(since), Some(_)) => Finding::fail(
            format!(
                "Version {} of the record waits since {since}; publishing failed, {} tries so far.{served}",
                edge.version, edge.attempts
            ),
            "It is tried again by itself. If that lasts, ask whoever runs the service for the replicator's errors.",
        ),
    }
}

fn sources_ready(facts: &LinkFacts) -> Finding {
    let sources = &facts.sources;
    match (sources.active, sources.last_used_at) {
        (0, _) if sources.disabled == 0 => Finding::fail(
            "The workspace has no source of events, so no conversion can arrive.",
            "Make a source (POST /v1/sources) and sign events with its secret.",
        ),
        (0, _) => Finding::fail(
            format!("All {} sources are disabled, so no conversion can arrive.", sources.disabled),
            "Set a source's status to active, or make a new one.",
        ),
        (active, None) => Finding::unknown(
            format!("{active} active sources, none of which ever sent a genuine event."),
            "Try one with POST /v1/sources/{id}/test: it tells why a signature fails.",
        ),
        (active, Some(at)) => {
            Finding::pass(format!("{active} active sources; the last genuine event came about {at}."))
        }
    }
}

fn window(facts: &LinkFacts) -> Finding {
    match facts.program.as_ref().and_then(|program| program.attribution_window_days) {
        Some(own) => Finding::pass(format!("A click counts for {}, as the program says.", days(own))),
        None => Finding::pass(format!("A click counts for {}, as the workspace says.", days(facts.workspace_window))),
    }
}

fn reward_terms(facts: &LinkFacts) -> Finding {
    match &facts.program {
        None if facts.link.assignment.is_none() => Finding::skipped("The link belongs to nobody."),
        None => Finding::fail(
            "The link has no program, so no reward terms apply: its conversions are marked for review.",
            "Assign the link within a program that has reward terms.",
        ),
        Some(program) => match &program.reward_terms {
            Some(terms) => {
                let types: Vec<&str> = terms.applies_to.iter().map(|one| one.as_str()).collect();
                Finding::pass(format!(
                    "Version {} of the terms of {:?} rewards {}.",
                    terms.version,
                    program.name,
                    types.join(" and ")
                ))
            }
            None => Finding::fail(
                format!("The program {:?} has no reward terms: conversions are marked for review.", program.name),
                "Give the program reward terms; they hold for events that occur from then on.",
            ),
        },
    }
}

fn ago(at: Timestamp, now: Millis) -> String {
    format!("{at}, {} ago", span(now.since(at.millis()).max(0)))
}

fn last_click(facts: &LinkFacts, sight: Sight, now: Millis) -> Finding {
    if !sight.traffic {
        return Finding::skipped("You may not read traffic.");
    }
    match &facts.last_click {
        Some(click) => {
            let token = if click.token_reason == "appended" {
                "with a token".to_owned()
            } else {
                format!("without a token: {}", click.token_reason)
            };
            Finding::pass(format!("{} at {}, {token}.", click.id, ago(Timestamp::from_millis(click.id.time()), now)))
        }
        None => Finding::unknown(
            format!("No click was stored in the last {LOOK_BACK_DAYS} days."),
            "Open the short URL in a browser; its click should be here within seconds.",
        ),
    }
}

fn last_click_with_token(facts: &LinkFacts, sight: Sight, now: Millis) -> Finding {
    if !sight.traffic {
        return Finding::skipped("You may not read traffic.");
    }
    match (&facts.last_token, &facts.last_click) {
        (Some(click), _) => {
            Finding::pass(format!("{} at {}.", click.id, ago(Timestamp::from_millis(click.id.time()), now)))
        }
        (None, None) => Finding::skipped("There was no click."),
        (None, Some(_)) => Finding::unknown(
            "None of the latest clicks carried a token.",
            "If the checks above pass, open the short URL in a browser: bots and HEAD requests get no token.",
        ),
    }
}

fn last_event_with_token(facts: &LinkFacts, sight: Sight, now: Millis) -> Finding {
    if !sight.conversions {
        return Finding::skipped("You may not read conversions.");
    }
    match &facts.last_event {
        Some(used) => {
            let became = match used.status {
                Attribution::Attributed => "It was credited",
                _ => "It was not credited",
            };
            Finding::pass(format!("{} at {}. {became}.", used.id, ago(used.recorded_at, now)))
        }
        None => Finding::unknown(
            "No lead or sale has come with a token of this link yet.",
            "Click, buy, and send the event with the nim_ct that the landing page got; then explain the conversion.",
        ),
    }
}

#[cfg(test)]
mod tests;
