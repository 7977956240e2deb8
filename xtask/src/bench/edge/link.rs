//! The link that is visited, the visit, and what both workers know of agents.

use serde_json::json;
use shared::{
    KeyRing, Millis, classify,
    click::Named,
    destination::{CustomQuery, Destination, Utm},
    id::{self, Id},
    record::{Assigned, ClickTokenMode, LinkRecord, LinkStatus, Target, TargetRules, Versioned},
    redirect::{self, Decision, Visit},
    token::TokenKey,
};

/// Both rings of secrets of the worker.
pub(super) const SECRETS: &str = "1:a-secret-for-measurements-and-nothing-else";
pub(super) const HOST: &str = "go.example.com";
const AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const REFERRER: &str = "https://www.example.org/articles/42?page=2";

/// The start of every answer that is expected.
pub(super) const REDIRECT: &[u8] = b"HTTP/1.1 302 ";

/// A browser's visit of a slug.
pub(super) fn request(slug: &str) -> Vec<u8> {
    let head = format!("host: {HOST}\r\nuser-agent: {AGENT}\r\nreferer: {REFERRER}\r\naccept: text/html");
    format!("GET /{slug} HTTP/1.1\r\n{head}\r\n\r\n").into_bytes()
}

/// An ordinary link: assigned, tracked, with a query. As it stands in the store.
pub(super) fn record() -> anyhow::Result<String> {
    Ok(serde_json::to_string(&Versioned { version: 7, record: Some(link()?) })?)
}

/// The message that B sends: what C would send for the same visit.
pub(super) fn click() -> anyhow::Result<String> {
    let link = link()?;
    let ring: KeyRing = SECRETS.parse()?;
    let key = TokenKey::signing(&ring, link.workspace);
    let visit = Visit { host: HOST, slug: "hot", agent: AGENT, referrer: REFERRER, ..Visit::default() };
    match redirect::decide((&link, 7), &visit, Millis(1_790_000_000_000), [7; 10], &key) {
        Decision::Redirect { click, .. } => {
            let mut text = String::new();
            click.write_json(&mut text);
            Ok(text)
        }
        Decision::Unavailable(why) => anyhow::bail!("the link of the measurement does not redirect: {why:?}"),
    }
}

/// The product's tables of agents, for the worker in plain JavaScript.
pub(super) fn tables() -> String {
    let words: serde_json::Map<_, _> = classify::words::all()
        .map(|(word, meaning)| (word.to_owned(), json!([meaning.traits.bits(), meaning.bot])))
        .collect();
    let stems: Vec<_> = classify::words::all_stems().collect();
    json!({ "words": words, "stems": stems }).to_string()
}

pub(super) fn workspace() -> id::WorkspaceId {
    mint(2)
}

fn link() -> anyhow::Result<LinkRecord> {
    let utm = Utm { source: Some("nomura".into()), medium: Some("partner".into()), ..Utm::default() };
    let rules = TargetRules {
        conversion_tracking: true,
        click_token: ClickTokenMode::Auto,
        utm: &utm,
        custom_query: &CustomQuery::new(),
    };
    let destination =
        Destination::parse("https://acme.com/pricing?plan=team").map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let target = Target::prepare(&destination, rules);
    Ok(LinkRecord {
        link: mint(1),
        workspace: workspace(),
        status: LinkStatus::Active,
        target,
        variants: vec![],
        experiment: None,
        forward_query: false,
        expires_at: None,
        expired_url: None,
        assignment: Some(Assigned {
            id: mint(3),
            partner: Some(Named { id: mint(4), key: "nomura".into(), name: "Nomura Securities".into() }),
            program: Some(Named { id: mint(5), key: "affiliates".into(), name: "Affiliates".into() }),
        }),
        utm,
    })
}

fn mint<K: id::Kind>(seed: u8) -> Id<K> {
    Id::mint(Millis(1_790_000_000_000), [seed; 10])
}
