//! The table of cases: one thing is wrong in each.

use shared::{
    click::Named,
    id::{ClickId, Id},
    reward::{AppliesTo, Basis},
};
use uuid::Uuid;

use super::*;
use crate::{links, programs};
use store::{
    explain::{Clicked, Replication, Sources, Used},
    links::{CurrentAssignment, Variant},
    programs::RewardTerms,
};

const NOW: Millis = Millis(1_790_000_000_000);
const ALL: Sight = Sight { traffic: true, conversions: true };

fn id<K>(n: u128) -> Id<K> {
    Id::from_uuid(Uuid::from_u128(n))
}

fn good() -> LinkFacts {
    let at = Timestamp::from_millis(NOW.plus(-Millis::DAY));
    let mut link = links::draft(id(1), at);
    (link.domain, link.slug) = ("go.acme.com".into(), "nomura".into());
    link.destination = "https://acme.com/?a=1".into();
    link.assignment = Some(CurrentAssignment {
        id: id(2),
        partner: Named { id: id(3), key: "nomura".into(), name: "Nomura".into() },
        program: Some(Named { id: id(4), key: "creators".into(), name: "Creators".into() }),
        started_at: at,
    });
    let mut program = programs::draft(id(4), at);
    program.name = "Creators".into();
    program.reward_terms = Some(RewardTerms {
        version: 1,
        basis: Basis::Percentage,
        rate_bps: Some(1_000),
        amount_minor: None,
        currency: None,
        applies_to: vec![AppliesTo::Sale],
        hold_days: 0,
        note: None,
        started_at: at,
    });
    let click = ClickId::mint(NOW.plus(-Millis::HOUR), [1; 10]);
    let clicked = Clicked { id: click, token_reason: "appended".into(), record_version: 3 };
    LinkFacts {
        link,
        domain_status: DomainStatus::Active,
        partner: Some((Status::Active, Relationship::Approved)),
        program: Some(program),
        inactive_partner_clicks: InactivePartnerClicks::Keep,
        workspace_window: 30,
        replication: Replication { version: 3, waiting_since: None, attempts: 0, last_error: None },
        sources: Sources { active: 1, disabled: 0, last_used_at: Some(at) },
        last_click: Some(clicked.clone()),
        last_token: Some(clicked),
        last_event: Some(Used { id: id(5), recorded_at: at, status: Attribution::Attributed }),
    }
}

fn with(change: impl FnOnce(&mut LinkFacts)) -> LinkFacts {
    let mut facts = good();
    change(&mut facts);
    facts
}

/// What doesn't pass, as `name:result`.
fn amiss(facts: &LinkFacts, sight: Sight) -> Vec<String> {
    let found = check(facts, sight, NOW);
    assert_eq!(found.ready, found.checks.iter().all(|check| check.result != Outcome::Fail), "{found:?}");
    let amiss = found.checks.iter().filter(|check| check.result != Outcome::Pass);
    amiss.map(|check| format!("{}:{}", check.check, check.result)).collect()
}

#[test]
fn each_thing_that_stands_in_the_way() {
    let signed = "https://b.s3.amazonaws.com/?X-Amz-Signature=ab";
    let variants = |link: &mut store::links::Link| {
        link.variants = vec![
            Variant { key: "A".into(), destination: "https://acme.com/a".into(), weight: 1 },
            Variant { key: "B".into(), destination: signed.into(), weight: 1 },
        ];
    };
    let none = "variants_bear_token:skipped";
    for (name, facts, expected) in [
        ("nothing", good(), vec![none]),
        ("paused", with(|f| f.link.status = LinkStatus::Paused), vec!["link_active:fail", none]),
        (
            "expired",
            with(|f| f.link.expires_at = Some(Timestamp::from_millis(NOW))),
            vec!["link_not_expired:fail", none],
        ),
        ("domain", with(|f| f.domain_status = DomainStatus::Archived), vec!["domain_active:fail", none]),
        (
            "unassigned",
            with(|f| (f.link.assignment, f.partner, f.program) = (None, None, None)),
            vec!["assigned:fail", "partner_active:skipped", "program_active:skipped", none, "reward_terms:skipped"],
        ),
        (
            "banned",
            with(|f| f.partner = Some((Status::Active, Relationship::Banned))),
            vec!["partner_active:fail", none],
        ),
        (
            "program paused",
            with(|f| f.program.as_mut().unwrap().status = Status::Paused),
            vec!["program_active:fail", none],
        ),
        ("no program", with(|f| f.program = None), vec!["program_active:skipped", none, "reward_terms:fail"]),
        ("untracked", with(|f| f.link.conversion_tracking = false), vec!["tracking_enabled:fail", none]),
        (
            "never",
            with(|f| f.link.click_token = ClickTokenMode::Never),
            vec!["token_mode:fail", "destination_bears_token:skipped", none],
        ),
        ("signed", with(|f| f.link.destination = signed.into()), vec!["destination_bears_token:fail", none]),
        (
            "signed, always",
            with(|f| (f.link.destination, f.link.click_token) = (signed.into(), ClickTokenMode::Always)),
            vec!["destination_bears_token:unknown", none],
        ),
        (
            "a signed variant",
            with(|f| variants(&mut f.link)),
            vec!["destination_bears_token:skipped", "variants_bear_token:fail"],
        ),
        (
            "on its way",
            with(|f| f.replication.waiting_since = Some(Timestamp::from_millis(NOW))),
            vec![none, "edge_in_sync:unknown"],
        ),
        (
            "publishing fails",
            with(|f| {
                f.replication.waiting_since = Some(Timestamp::from_millis(NOW));
                f.replication.last_error = Some("http://10.0.0.1 refused".into());
            }),
            vec![none, "edge_in_sync:fail"],
        ),
        ("no source", with(|f| f.sources.active = 0), vec![none, "sources_ready:fail"]),
        ("no event yet", with(|f| f.sources.last_used_at = None), vec![none, "sources_ready:unknown"]),
        ("no terms", with(|f| f.program.as_mut().unwrap().reward_terms = None), vec![none, "reward_terms:fail"]),
        (
            "never clicked",
            with(|f| (f.last_click, f.last_token, f.last_event) = (None, None, None)),
            vec![none, "last_click:unknown", "last_click_with_token:skipped", "last_event_with_token:unknown"],
        ),
        ("bots only", with(|f| f.last_token = None), vec![none, "last_click_with_token:unknown"]),
    ] {
        assert_eq!(amiss(&facts, ALL), expected, "{name}");
    }
    let hidden = Sight { traffic: false, conversions: false };
    let expected = [none, "last_click:skipped", "last_click_with_token:skipped", "last_event_with_token:skipped"];
    assert_eq!(amiss(&good(), hidden), expected);
}

#[test]
fn sentences_name_variants_and_keep_the_operators_addresses() {
    let mut facts = good();
    facts.link.variants = vec![
        Variant { key: "A".into(), destination: "https://acme.com/a".into(), weight: 1 },
        Variant { key: "B".into(), destination: "https://acme.com/?sig=1".into(), weight: 1 },
    ];
    facts.replication.waiting_since = Some(Timestamp::from_millis(NOW));
    facts.replication.last_error = Some("http://10.0.0.1 refused".into());
    let found = check(&facts, Sight { traffic: true, conversions: true }, NOW);
    let text = serde_json::to_string(&found).unwrap();
    assert!(text.contains(r#"Of 2 variants these are query-sensitive: \"B\" (rule signature)"#), "{text}");
    assert!(!text.contains("10.0.0.1"), "{text}");
    assert!(found.summary.contains("variants_bear_token, edge_in_sync"), "{}", found.summary);
}
