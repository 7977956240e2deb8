//! The table of cases: what each way to end looks like, check by check.

use shared::id::{ClickId, Id};
use uuid::Uuid;

use super::*;
use crate::explain::Outcome;
use model::conversion::EventType;
use store::explain::{ClickFacts, Event, Holder, Original, SourceFacts, Terms, Windows};

const CLICKED: Millis = Millis(1_790_000_000_000);

fn id<K>(n: u128) -> Id<K> {
    Id::from_uuid(Uuid::from_u128(n))
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(CLICKED.plus(millis))
}

/// A sale, credited by its token an hour after the click.
fn good() -> ConversionFacts {
    ConversionFacts {
        event: Event {
            id: id(1),
            kind: EventType::Sale,
            customer_id: None,
            order_id: Some("o-1".into()),
            original_event_id: None,
            occurred_at: at(Millis::HOUR),
            recorded_at: at(Millis::HOUR + 1),
            attributed_at: Some(at(Millis::HOUR + 1)),
            status: Status::Attributed,
            method: Some(Method::Token),
            tried: None,
            reason: None,
            click_id: Some(ClickId::mint(CLICKED, [1; 10])),
            original_id: None,
            window_days: Some(30),
            link_id: Some(id(2)),
            short_url: Some("https://go.acme.com/nomura".into()),
            partner_id: Some(id(3)),
            partner_name: Some("Nomura".into()),
            program_id: Some(id(4)),
            program_name: Some("Creators".into()),
            bot_reason: None,
            terms_version: Some(2),
            rewarded: true,
        },
        source: SourceFacts { name: "shop".into(), status: SourceStatus::Active, valid_secrets: 1 },
        click: Some(ClickFacts {
            recorded_at: at(2_000),
            link_id: id(2),
            short_url: "https://go.acme.com/nomura".into(),
            assignment_id: Some(id(5)),
            partner_id: Some(id(3)),
            partner_name: Some("Nomura".into()),
            program_id: Some(id(4)),
            program_name: Some("Creators".into()),
            bot_reason: None,
            token_reason: "appended".into(),
            record_version: 3,
        }),
        rejected: None,
        windows: Windows { program: None, workspace: 30 },
        tz: "Asia/Tokyo".into(),
        holder: Some(Holder { id: id(5), partner_name: "Nomura".into(), started_at: at(-Millis::DAY) }),
        assigned_next: None,
        touch: None,
        original: None,
        candidates: 0,
        terms: Some(Terms { version: 2, any: true, applies_to: vec!["sale".into()], started_at: at(-Millis::DAY) }),
    }
}

/// The same sale, credited to nobody.
fn refused(reason: Reason) -> ConversionFacts {
    let mut facts = good();
    let event = &mut facts.event;
    (event.status, event.method, event.reason) = (Status::Unattributed, None, Some(reason));
    (event.partner_id, event.partner_name, event.program_id, event.program_name) = (None, None, None, None);
    event.terms_version = None;
    facts
}

/// A sale that no click is known for.
fn clickless(reason: Reason) -> ConversionFacts {
    let mut facts = refused(reason);
    (facts.click, facts.holder, facts.terms) = (None, None, None);
    (facts.event.click_id, facts.event.window_days, facts.event.link_id) = (None, None, None);
    facts
}

fn with(mut facts: ConversionFacts, change: impl FnOnce(&mut ConversionFacts)) -> ConversionFacts {
    change(&mut facts);
    facts
}

fn click(facts: &mut ConversionFacts) -> &mut ClickFacts {
    facts.click.as_mut().unwrap()
}

fn follow_on(facts: &mut ConversionFacts) {
    facts.event.kind = EventType::Refund;
    facts.event.original_event_id = Some("e-1".into());
    facts.event.occurred_at = at(60 * Millis::DAY);
}

/// A refund that its original's attribution went over to.
fn inherits(facts: &mut ConversionFacts) {
    follow_on(facts);
    facts.event.original_id = Some(id(9));
    facts.event.method = (facts.event.status == Status::Attributed).then_some(Method::Original);
    let (status, reason) = (facts.event.status, facts.event.reason);
    facts.original = Some(Original { id: id(9), status, reason });
}

/// One letter per check: what passes, fails, is skipped, and is unknown.
fn letters(facts: &ConversionFacts) -> String {
    let letter = |check: &Check| match check.result {
        Outcome::Pass => 'p',
        Outcome::Fail => 'F',
        Outcome::Skipped => '-',
        Outcome::Unknown => '?',
    };
    explain(facts).checks.iter().map(letter).collect()
}

#[test]
fn each_way_to_end() {
    use Reason::*;
    let untracked = |facts: &mut ConversionFacts| click(facts).token_reason = "tracking_disabled".into();
    let unassigned = |facts: &mut ConversionFacts| {
        let click = click(facts);
        (click.assignment_id, click.partner_id, click.program_id) = (None, None, None);
        facts.terms = None;
    };
    let waiting = |facts: &mut ConversionFacts| {
        facts.click = None;
        (facts.event.status, facts.event.reason, facts.event.attributed_at) = (Status::PendingClick, None, None);
        facts.event.window_days = None;
    };
    let by_customer = |facts: &mut ConversionFacts| {
        facts.event.customer_id = Some("c-1".into());
        facts.event.method = Some(Method::Customer);
        facts.touch = Some(id(8));
    };
    // In the order of the chain: signature, token_captured, token_valid, click_received, token_appended,
    // tracking_enabled, assignment_at_click, window, method_token, _customer, _original, reward_terms, human_click,
    // report_range.
    for (name, facts, expected) in [
        ("credited by token", good(), "pppppppp".to_owned() + "p--" + "ppp"),
        ("credited by customer", with(good(), by_customer), "p--ppppp".to_owned() + "-p-" + "ppp"),
        ("no token, no customer", clickless(NoToken), "pF------".to_owned() + "-F-" + "--F"),
        (
            "no token, unknown customer",
            with(clickless(NoToken), |f| f.event.customer_id = Some("c-1".into())),
            "pF------".to_owned() + "-F-" + "--F",
        ),
        ("token invalid", clickless(TokenInvalid), "ppF-----".to_owned() + "F--" + "--F"),
        ("waits for its click", with(refused(NoToken), waiting), "ppp?????".to_owned() + "?--" + "--?"),
        (
            "its click was refused",
            with(with(refused(NoToken), waiting), |f| f.rejected = Some("too_late".into())),
            "pppF????".to_owned() + "?--" + "--?",
        ),
        (
            "its click never came",
            with(refused(ClickNotReceived), |f| (f.click, f.event.window_days) = (None, None)),
            "pppF----".to_owned() + "F--" + "--F",
        ),
        (
            "before its click",
            with(refused(BeforeClick), |f| f.event.occurred_at = at(-Millis::HOUR)),
            "pppppppF".to_owned() + "F--" + "-pF",
        ),
        (
            "outside the window",
            with(refused(OutsideWindow), |f| f.event.occurred_at = at(31 * Millis::DAY)),
            "pppppppF".to_owned() + "F--" + "-pF",
        ),
        (
            "outside the window, by token or customer",
            with(refused(OutsideWindow), |f| (f.event.customer_id, f.touch) = (Some("c-1".into()), Some(id(8)))),
            "p?-ppppF".to_owned() + "??-" + "-pF",
        ),
        ("not tracked", with(refused(TrackingDisabled), untracked), "ppppFFpp".to_owned() + "F--" + "-pF"),
        ("unassigned", with(refused(NoPartnerAssignment), unassigned), "ppppppFp".to_owned() + "F--" + "-pF"),
        (
            "a bot's click",
            with(good(), |f| click(f).bot_reason = Some("preview".into())),
            "pppppppp".to_owned() + "p--" + "pFp",
        ),
        (
            "a type without reward",
            with(good(), |f| (f.event.kind, f.event.rewarded) = (EventType::Lead, false)),
            "pppppppp".to_owned() + "p--" + "-pp",
        ),
        ("a refund", with(good(), inherits), "p--pppp-".to_owned() + "--p" + "ppp"),
        ("a refund of what is nobody's", with(refused(OutsideWindow), inherits), "p--pppp-".to_owned() + "--F" + "-pF"),
        (
            "a refund before its original",
            with(clickless(NoToken), |f| {
                follow_on(f);
                (f.event.status, f.event.reason) = (Status::PendingOriginal, None);
            }),
            "p--?????".replace("?????", "????-") + "--?" + "--?",
        ),
        ("a refund of nothing", with(clickless(OriginalNotFound), follow_on), "p-------".to_owned() + "--F" + "--F"),
        ("a refund of several", with(clickless(OriginalAmbiguous), follow_on), "p-------".to_owned() + "--F" + "--F"),
    ] {
        assert_eq!(letters(&facts), expected, "{name}: {:#?}", explain(&facts));
    }
}

/// The sentence of a check.
fn detail(facts: &ConversionFacts, name: &str) -> String {
    let explained = explain(facts);
    let check = explained.checks.iter().find(|check| check.check == name).unwrap();
    format!("{} | {}", check.detail, check.remedy.as_deref().unwrap_or_default())
}

#[test]
fn the_sentences_name_what_was_found() {
    let own = |f: &mut ConversionFacts| (f.windows.program, f.event.window_days) = (Some(7), Some(7));
    let changed = |f: &mut ConversionFacts| f.windows.workspace = 14;
    let unassigned = |f: &mut ConversionFacts| (click(f).assignment_id, click(f).partner_id) = (None, None);
    for (facts, check, part) in [
        (good(), "window", "1 h after its click; the window is 30 days (the workspace's)"),
        (with(good(), own), "window", "7 days (the program's own)"),
        (with(good(), changed), "window", "the setting has changed since"),
        (good(), "click_received", "was stored 2 s after it happened"),
        (good(), "assignment_at_click", "version 3 of the link's record, in which it belonged to \"Nomura\""),
        (with(good(), unassigned), "assignment_at_click", "which had not reached the edge yet"),
        (
            with(with(good(), unassigned), |f| (f.holder, f.assigned_next) = (None, Some(at(Millis::MINUTE)))),
            "assignment_at_click",
            "it was assigned only at 2026-09-21T14:14:20.000Z, after the click",
        ),
        (
            with(good(), |f| click(f).partner_id = None),
            "assignment_at_click",
            "the workspace discards the context of inactive partners",
        ),
        (with(good(), |f| f.source.status = SourceStatus::Disabled), "signature", "the source is disabled now"),
        (with(good(), |f| f.source.valid_secrets = 2), "signature", "one is being rotated"),
        (
            with(good(), |f| click(f).token_reason = "query_sensitive:aws_sigv4".into()),
            "token_appended",
            "must not be touched (aws_sigv4)",
        ),
        // 15:13 UTC is the next day in Tokyo.
        (with(good(), |f| f.event.occurred_at = at(2 * Millis::HOUR)), "report_range", "on 2026-09-22 (Asia/Tokyo)"),
        (with(good(), inherits), "reward_terms", "those of what it reverses"),
        (
            with(good(), |f| (f.event.kind, f.event.rewarded) = (EventType::Lead, false)),
            "reward_terms",
            "Version 2 of the program's terms, in force when it occurred, rewards no lead",
        ),
        (
            with(good(), |f| (f.event.kind, f.event.terms_version) = (EventType::Lead, None)),
            "reward_terms",
            "rewards sale, not a lead",
        ),
        (with(good(), |f| (f.event.terms_version, f.terms) = (None, None)), "reward_terms", "had no terms yet"),
    ] {
        let detail = detail(&facts, check);
        assert!(detail.contains(part), "{check}: {detail}\nlacks {part}");
    }
}

#[test]
fn what_fails_or_is_open_says_what_to_do() {
    for reason in Reason::ALL {
        for facts in [refused(*reason), clickless(*reason)] {
            for check in explain(&facts).checks {
                let needs = matches!(check.result, Outcome::Fail | Outcome::Unknown);
                assert_eq!(check.remedy.is_some(), needs, "{reason} {check:?}");
            }
        }
    }
}
