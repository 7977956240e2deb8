//! The decision as tables.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    KeyRing,
    click::Named,
    destination::{CustomQuery, Destination, Utm},
    id::{AssignmentId, LinkId, PartnerId, WorkspaceId},
    record::{Assigned, ClickTokenMode, TargetRules, Variant},
};

const NOW: Millis = Millis(1_790_000_000_000);
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

fn ring() -> KeyRing {
    "1:0123456789abcdef0123456789abcdef".parse().unwrap()
}

fn workspace() -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(1))
}

fn target(destination: &str, mode: ClickTokenMode) -> Target {
    let rules = TargetRules {
        conversion_tracking: true,
        click_token: mode,
        utm: &Utm::default(),
        custom_query: &CustomQuery::new(),
    };
    Target::prepare(&Destination::parse(destination).unwrap(), rules)
}

fn link(destination: &str) -> LinkRecord {
    LinkRecord {
        link: LinkId::from_uuid(Uuid::from_u128(2)),
        workspace: workspace(),
        status: LinkStatus::Active,
        target: target(destination, ClickTokenMode::Auto),
        variants: vec![],
        experiment: None,
        forward_query: false,
        expires_at: None,
        expired_url: None,
        assignment: Some(Assigned {
            id: AssignmentId::from_uuid(Uuid::from_u128(3)),
            partner: Some(Named {
                id: PartnerId::from_uuid(Uuid::from_u128(4)),
                key: "nomura".into(),
                name: "Nomura".into(),
            }),
            program: None,
        }),
        utm: Utm { source: Some("partners".into()), ..Utm::default() },
    }
}

fn visit() -> Visit<'static> {
    Visit { host: "go.acme.com", slug: "nomura", agent: SAFARI, country: "JP", ..Visit::default() }
}

fn redirected<'a>(link: &'a LinkRecord, visit: &Visit<'a>) -> (String, Box<Click<'a>>) {
    let key = TokenKey::signing(&ring(), workspace());
    match decide((link, 9), visit, NOW, [7; 10], &key) {
        Decision::Redirect { location, click } => (location, click),
        Decision::Unavailable(why) => panic!("no redirect: {why:?}"),
    }
}

/// A location with its token replaced by `T`, after checking that the token names the click.
fn masked(location: &str, click: &Click<'_>) -> String {
    let key = TokenKey::signing(&ring(), workspace());
    let token = key.token(click.id);
    assert_eq!(token::verify(&ring(), workspace(), &token), Ok(click.id));
    location.replace(&token, "T")
}

#[test]
fn a_click_carries_the_snapshot() {
    let link = link("https://acme.com/offer?x=1#top");
    let visit = Visit {
        query: "qr=1&utm_source=newsletter",
        referrer: "https://News.Example:8443/a?b",
        region: "Tokyo",
        colo: "NRT",
        ..visit()
    };
    let (location, click) = redirected(&link, &visit);
    assert_eq!(masked(&location, &click), "https://acme.com/offer?x=1&nim_ct=T#top");
    assert_eq!(click.id.time(), NOW);
    assert_eq!(click.destination, "https://acme.com/offer?x=1#top");
    assert_eq!((&*click.domain, &*click.slug), ("go.acme.com", "nomura"));
    assert_eq!(click.partner.as_ref().map(|p| &*p.name), Some("Nomura"));
    assert_eq!(click.trigger, Trigger::Qr);
    assert_eq!(click.source.as_deref(), Some("newsletter"), "the visitor's wins");
    assert_eq!(click.utm.source.as_deref(), Some("partners"), "the link's stays");
    assert_eq!(click.referrer_host.as_deref(), Some("news.example"));
    assert_eq!((click.country.as_deref(), click.city.as_deref()), (Some("JP"), None));
    assert_eq!(click.token, TokenReason::Appended);
    assert_eq!((click.bot_reason, click.record_version), (None, 9));
    // And it survives the wire.
    let text = serde_json::to_string(&click).unwrap();
    assert_eq!(serde_json::from_str::<Click<'_>>(&text).unwrap(), *click);
}

#[test]
fn tokens_go_only_where_they_may() {
    let signed = "https://acme.com/x?sig=1";
    let plain = "https://acme.com/x";
    use ClickTokenMode::{Always, Auto, Never};
    for (destination, mode, change, location, token, bot) in [
        (plain, Auto, Visit::default(), "https://acme.com/x?nim_ct=T", "appended", None),
        (plain, Never, Visit::default(), plain, "never", None),
        (signed, Auto, Visit::default(), signed, "query_sensitive:signature", None),
        (signed, Always, Visit::default(), "https://acme.com/x?sig=1&nim_ct=T", "appended", None),
        (plain, Auto, Visit { head: true, ..visit() }, plain, "probe", Some(BotReason::Probe)),
        (plain, Auto, Visit { agent: "curl/8", ..visit() }, plain, "bot", Some(BotReason::Library)),
        (plain, Always, Visit { agent: "curl/8", ..visit() }, plain, "bot", Some(BotReason::Library)),
        (plain, Auto, Visit { prefetch: true, ..visit() }, plain, "bot", Some(BotReason::Prefetch)),
        (plain, Auto, Visit { known_bot: true, ..visit() }, plain, "bot", Some(BotReason::BotManagement)),
        (plain, Never, Visit { agent: "curl/8", ..visit() }, plain, "never", Some(BotReason::Library)),
    ] {
        let mut link = link(destination);
        link.target = target(destination, mode);
        let visit = if change.agent.is_empty() { visit() } else { change };
        let (found, click) = redirected(&link, &visit);
        assert_eq!(masked(&found, &click), location);
        assert_eq!((click.token.to_string().as_str(), click.bot_reason), (token, bot), "{location}");
        assert_eq!(click.token.to_string().parse::<TokenReason>().unwrap(), click.token);
    }
}

#[test]
fn forwarded_queries_never_override() {
    for (destination, query, location) in [
        ("https://a.com/#f", "a=1&b", "https://a.com/?a=1&b&nim_ct=T#f"),
        ("https://a.com/?x=1", "a=%2B&x=2&%78=3", "https://a.com/?x=1&a=%2B&nim_ct=T"),
        ("https://a.com/?", "nim_ct=forged&n%69m_ct=forged&qr=1&a", "https://a.com/?a&nim_ct=T"),
        ("https://a.com/", "qr=1", "https://a.com/?nim_ct=T"),
        ("https://a.com/", "%71r=1&a=2&qr", "https://a.com/?a=2&nim_ct=T"),
        ("https://a.com/", "a=1#x&b=2", "https://a.com/?b=2&nim_ct=T"),
        ("https://a.com/", "a=1\r\nx&b=%0d%0a", "https://a.com/?b=%0d%0a&nim_ct=T"),
        ("https://a.com", "@evil.com&.evil.com&//evil.com", "https://a.com?@evil.com&.evil.com&//evil.com&nim_ct=T"),
        ("https://a.com/?token_sig=1", "a=1", "https://a.com/?token_sig=1"),
    ] {
        let mut link = link(destination);
        link.forward_query = true;
        let (found, click) = redirected(&link, &Visit { query, ..visit() });
        assert_eq!(masked(&found, &click), location, "{query}");
        assert_eq!(click.destination, location.replace("&nim_ct=T", "").replace("?nim_ct=T", ""));
    }
    let mut sealed = link("https://a.com/?sig=1");
    sealed.target = target("https://a.com/?sig=1", ClickTokenMode::Always);
    sealed.forward_query = true;
    let (found, click) = redirected(&sealed, &Visit { query: "a=1", ..visit() });
    assert_eq!(masked(&found, &click), "https://a.com/?sig=1&nim_ct=T", "not even with always");
    let mut long = link("https://a.com/");
    long.forward_query = true;
    let query = format!("a={}", "x".repeat(MAX_FORWARDED));
    let visit = Visit { query: &query, ..visit() };
    let (found, click) = redirected(&long, &visit);
    assert_eq!(masked(&found, &click), "https://a.com/?nim_ct=T", "too long stays behind");
}

#[test]
fn unavailable_links_fall_back() {
    let domain = Versioned {
        version: 1,
        record: Some(DomainRecord { root_redirect_url: None, not_found_url: Some("https://acme.com/404".into()) }),
    };
    let key = TokenKey::signing(&ring(), workspace());
    for (status, expires_at, expected, page) in [
        (LinkStatus::Paused, None, Unavailable::Paused, 404),
        (LinkStatus::Archived, None, Unavailable::Gone, 410),
        (LinkStatus::Active, Some(NOW), Unavailable::Gone, 410),
        (LinkStatus::Active, Some(NOW.plus(-1)), Unavailable::Gone, 410),
    ] {
        let mut link = LinkRecord { status, expires_at, ..link("https://a.com/") };
        assert_eq!(decide((&link, 1), &visit(), NOW, [0; 10], &key), Decision::Unavailable(expected));
        assert_eq!(fallback(expected, Some(&link), None), Fallback::Page(page));
        assert_eq!(fallback(expected, Some(&link), Some(&domain)), Fallback::To("https://acme.com/404"));
        link.expired_url = Some("https://acme.com/over".into());
        assert_eq!(fallback(expected, Some(&link), Some(&domain)), Fallback::To("https://acme.com/over"));
    }
    let open = LinkRecord { expires_at: Some(NOW.plus(1)), ..link("https://a.com/") };
    assert!(matches!(decide((&open, 1), &visit(), NOW, [0; 10], &key), Decision::Redirect { .. }));
    assert_eq!(fallback(Unavailable::Unknown, None, None), Fallback::Page(404));
    assert_eq!(root(None), Fallback::Page(404));
    assert_eq!(root(Some(&domain)), Fallback::To("https://acme.com/404"));
}

#[test]
fn referrers_keep_only_their_host() {
    for (referrer, host) in [
        ("https://a.com/x?y", Some("a.com")),
        ("https://user:pw@A.com:1/x", Some("a.com")),
        ("android-app://com.slack/", Some("com.slack")),
        ("https://[::1]:80/", Some("[::1]:80")),
        ("about:blank", None),
        ("https:///x", None),
        ("", None),
    ] {
        assert_eq!(referrer_host(referrer).as_deref(), host, "{referrer}");
    }
}

/// Every ticket is drawn by some id, so the shares are exact, not approximate.
#[test]
fn weights_are_exact() {
    let mut link = link("https://a.com/");
    link.variants = [("a", 1_u32), ("b", 0), ("c", 2), ("d", 7)]
        .map(|(key, weight)| Variant {
            key: key.into(),
            weight,
            target: target("https://a.com/", ClickTokenMode::Auto),
        })
        .into();
    let share =
        |ids: &mut dyn Iterator<Item = ClickId>, key: &str| ids.filter(|id| draw(&link, *id).1 == Some(key)).count();
    let start = ClickId::mint(NOW, [9; 10]).uuid().as_u128() & !0xffff;
    for (key, expected) in [("a", 1_000), ("b", 0), ("c", 2_000), ("d", 7_000)] {
        let mut neighbours = (0..10_000).map(|n| ClickId::from_uuid(Uuid::from_u128(start + n)));
        assert_eq!(share(&mut neighbours, key), expected, "{key}");
        // And ids as they are minted: random bits, here from a generator with full period.
        let mut state = 1_u128;
        let mut minted = (0..100_000).map(|_| {
            state = state
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(0x5851_f42d_4c95_7f2d_1405_7b7e_f767_814f);
            let mut random = [0; 10];
            random.copy_from_slice(&state.to_be_bytes()[..10]);
            ClickId::mint(NOW, random)
        });
        assert!(share(&mut minted, key).abs_diff(10 * expected) < 600, "{key}: more than four deviations off");
    }
}

proptest! {
    #[test]
    fn variants_are_drawn_by_weight_and_repeatably(seed: [u8; 10]) {
        let mut link = link("https://a.com/");
        link.experiment = Some("e".into());
        link.variants = [("a", 0_u32), ("b", 3), ("c", 1)].map(|(key, weight)| Variant {
            key: key.into(), weight, target: target(&format!("https://{key}.com/"), ClickTokenMode::Auto),
        }).into();
        let id = ClickId::mint(NOW, seed);
        let first = draw(&link, id).1;
        prop_assert_eq!(first, draw(&link, id).1);
        prop_assert!(matches!(first, Some("b" | "c")));
        let b = (0..4_u128).filter(|n| draw(&link, ClickId::from_uuid(Uuid::from_u128(id.uuid().as_u128() & !3 | n))).1 == Some("b")).count();
        prop_assert_eq!(b, 3, "of any four neighbours");
    }

    #[test]
    fn no_visit_panics(query in ".{0,80}", agent in ".{0,80}", referrer in ".{0,80}", forward: bool) {
        let mut link = link("https://a.com/?a=1#f");
        link.forward_query = forward;
        let visit = Visit { query: &query, agent: &agent, referrer: &referrer, ..visit() };
        let (location, _) = redirected(&link, &visit);
        prop_assert!(location.starts_with("https://a.com/?a=1") && location.ends_with("#f"));
        prop_assert!(!location.bytes().any(|byte| byte <= b' '), "a header of one line: {:?}", location);
        prop_assert_eq!(location.matches('#').count(), 1);
    }
}
