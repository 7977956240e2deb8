//! What is put into a destination: every byte of it survives, and programs that read URLs find the token. Asked are the
//! `url` crate and Node's `URL`, each its own implementation of the WHATWG standard, and Python's `urllib`.

#![allow(clippy::unwrap_used)] // The helpers of tests are tests too.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Child, Command, Stdio},
};

use shared::{
    KeyRing, Millis,
    destination::{CustomQuery, Destination, MAX_BYTES, Splice, Utm},
    id::{ClickId, WorkspaceId},
    record::{ClickTokenMode, LinkRecord, Target, TargetRules},
    redirect::{self, Decision, Visit},
    token::{self, TokenKey},
};

const AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

const BASES: [&str; 9] = [
    "https://acme.com",
    "https://acme.com/",
    "HTTP://acme.com:8080/a/b",
    "https://acme.com/a%20b/%2F/%zz",
    "https://acme.com/a;v=1/b",
    "https://bücher.example/straße/日本",
    "https://acme.com/a'b(c)*!$,:@",
    "https://[2001:db8::1]:443/x",
    "https://acme.com//a/../b/./",
];
const QUERIES: [&str; 16] = [
    "",
    "?",
    "?&",
    "?a",
    "?a=",
    "?=",
    "?a=1",
    "?a=1&",
    "?a=1&&",
    "?flag&b=%2B+x",
    "?a=1;b=2",
    "?q=a?b=c",
    "?ü=ß&%C3%BC=%zz",
    "?a[]=1&a[]=2",
    "?u=https://b.com/?x=1%26y=2",
    "?nim_ctx=1&xnim_ct=2",
];
const FRAGMENTS: [&str; 7] = ["", "#", "#top", "#/route?x=1&y=2", "#nim_ct=forged", "#a#b", "#ünï%20"];

fn destinations() -> Vec<String> {
    let mut all = Vec::new();
    for base in BASES {
        for query in QUERIES {
            all.extend(FRAGMENTS.iter().map(|fragment| [base, query, fragment].concat()));
        }
    }
    let start = "https://acme.com/?a=1&long=";
    all.push(format!("{start}{}#f", "x".repeat(MAX_BYTES - start.len() - 2)));
    all
}

fn workspace() -> WorkspaceId {
    "ws_01h455vb4pex5vsknk084sn02q".parse().unwrap()
}

fn link(destination: &str, utm: &Utm) -> LinkRecord {
    let rules = TargetRules {
        conversion_tracking: true,
        click_token: ClickTokenMode::Auto,
        utm,
        custom_query: &CustomQuery::new(),
    };
    let target = Target::prepare(&Destination::parse(destination).unwrap(), rules);
    let record = serde_json::json!({
        "link": "lnk_01h455vb4pex5vsknk084sn02q", "workspace": workspace(), "status": "active", "target": target,
        "forward_query": true,
    });
    serde_json::from_value(record).unwrap()
}

/// Where a visitor is sent, and the token in it.
fn location(link: &LinkRecord, query: &str) -> (String, String) {
    let ring: KeyRing = "1:0123456789abcdef0123456789abcdef".parse().unwrap();
    let key = TokenKey::signing(&ring, workspace());
    let visit = Visit { host: "go.acme.com", slug: "x", agent: AGENT, query, ..Visit::default() };
    let now = Millis(1_790_000_000_000);
    match redirect::decide((link, 1), &visit, now, [7; 10], &key) {
        Decision::Redirect { location, .. } => (location, key.token(ClickId::mint(now, [7; 10]))),
        Decision::Unavailable(why) => panic!("no redirect: {why:?}"),
    }
}

fn url_crate_finds(location: &str) -> Vec<String> {
    let parsed = url::Url::parse(location).unwrap();
    parsed.query_pairs().filter(|(name, _)| name == token::PARAM).map(|(_, value)| value.into_owned()).collect()
}

#[test]
fn all_other_bytes_survive_and_the_token_is_found() {
    let added = Utm { source: Some("a b&c#d=ü".into()), ..Utm::default() };
    for destination in destinations() {
        for utm in [&Utm::default(), &added] {
            // Merged UTM values may take a destination over its bound; that is of no matter to the edge.
            let link = link(&destination, utm);
            let (location, token) = location(&link, "");
            let parameter = format!("{}={token}", token::PARAM);
            let at = location.find(&parameter).unwrap_or_else(|| panic!("{location}"));
            assert_eq!(location.matches(&parameter).count(), 1);
            // The token, and a joiner of one byte or none before it, is all that was put in.
            let (before, after) = (&location[..at], &location[at + parameter.len()..]);
            let url = &link.target.url;
            let joiner = &before[url.len() - after.len()..];
            assert!(matches!(joiner, "?" | "&" | ""), "{location}");
            assert_eq!([&before[..before.len() - joiner.len()], after].concat(), *url);
            if utm.is_unset() {
                assert_eq!(*url, destination);
            }
            assert_eq!(url_crate_finds(&location), [token], "{location}");
            let (theirs, ours) = (url::Url::parse(&destination).unwrap(), url::Url::parse(&location).unwrap());
            assert_eq!((theirs.host(), theirs.port(), theirs.path()), (ours.host(), ours.port(), ours.path()));
            assert_eq!(theirs.fragment(), ours.fragment(), "{location}");
        }
    }
}

/// Longer than any destination may be: the splice itself knows no bound.
#[test]
fn urls_of_16_kb() {
    for fragment in ["", "#f"] {
        let url = format!("https://acme.com/?a={}{fragment}", "é".repeat(8 << 10));
        let Splice { at, joiner } = Splice::of(&url);
        assert_eq!((&url[at..], joiner.as_str()), (fragment, "&"));
    }
}

#[test]
fn no_query_of_a_visitor_changes_where_it_leads_or_which_token_counts() {
    let forged = "A".repeat(token::LENGTH);
    for destination in ["https://acme.com", "https://acme.com/?a=1#f", "https://acme.com/?", "https://acme.com#f"] {
        for query in [
            format!("nim_ct={forged}"),
            format!("n%69m_ct={forged}&%6E%69%6D%5F%63%74={forged}"),
            format!("x=1&&nim_ct={forged}&nim_ct"),
            format!("#nim_ct={forged}"),
            format!("x#&nim_ct={forged}"),
            "@evil.com/&//evil.com&.evil.com&:80@evil.com&\\evil.com".to_owned(),
            "url=https://evil.com&next=//evil.com&u=%0d%0aLocation:%20https://evil.com".to_owned(),
            "x\r\nset-cookie: a=b&y\nz&\t&a b".to_owned(),
        ] {
            let (location, token) = location(&link(destination, &Utm::default()), &query);
            let (theirs, ours) = (url::Url::parse(destination).unwrap(), url::Url::parse(&location).unwrap());
            assert_eq!(theirs.origin(), ours.origin(), "{location}");
            assert_eq!((theirs.path(), theirs.fragment()), (ours.path(), ours.fragment()), "{location}");
            assert_eq!(url_crate_finds(&location), [token], "{location}");
            assert!(!location.bytes().any(|byte| byte <= b' '), "{location}");
        }
    }
}

/// Needs Node, like everything that runs the worker; `cargo xtask test` says where it is.
#[test]
fn node_finds_the_token() {
    let script = "for (const line of require('fs').readFileSync(0, 'utf8').trimEnd().split('\\n')) \
                  console.log(new URL(line).searchParams.getAll('nim_ct').join())";
    let node = std::env::var_os("NIM_NODE").unwrap_or_else(|| "node".into());
    let child = reader(Command::new(&node).args(["-e", script]));
    finds_the_token(child.unwrap_or_else(|error| panic!("{}: {error}", node.display())));
}

/// Where it is installed: its parser is older than the standard that the others follow.
#[test]
fn python_finds_the_token() {
    let script = "import sys\n\
                  from urllib.parse import urlsplit, parse_qsl\n\
                  sys.stdin.reconfigure(encoding='utf-8')\n\
                  for line in sys.stdin.read().rstrip('\\n').split('\\n'):\n    \
                      pairs = parse_qsl(urlsplit(line).query, keep_blank_values=True)\n    \
                      print(','.join(value for name, value in pairs if name == 'nim_ct'))";
    match reader(Command::new("python3").args(["-c", script])) {
        Ok(child) => finds_the_token(child),
        Err(error) => eprintln!("skipped: python3: {error}"),
    }
}

/// A program that reads URLs, a line each, and prints the values of `nim_ct` in each.
fn reader(command: &mut Command) -> std::io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

fn finds_the_token(mut reader: Child) {
    let mut asked = String::new();
    let mut expected = String::new();
    for destination in destinations() {
        let (location, token) = location(&link(&destination, &Utm::default()), "");
        writeln!(asked, "{location}").unwrap();
        writeln!(expected, "{token}").unwrap();
    }
    // All of it is read before anything is written, so neither side waits for the other.
    reader.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
