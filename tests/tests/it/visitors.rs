//! What visitors get: every kind of link, domain and request, from the real worker.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tests::{Stack, Team, eventually, text};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

async fn ask(stack: &Stack, method: Method, host: &str, path: &str) -> Response {
    let request = stack.http.request(method, format!("{}{path}", stack.edge_url));
    request.header("host", host).header("user-agent", PHONE).send().await.expect("the worker answers")
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// Where a response leads, the token taken out of it.
fn leads_to(response: &Response) -> String {
    let location = header(response, "location");
    match location.split_once("nim_ct=") {
        Some((before, after)) => format!("{before}nim_ct=…{}", &after[40..]),
        None => location,
    }
}

async fn make_link(team: &Team<'_>, host: &str, slug: &str, more: Value) -> String {
    let mut link = json!({"domain": host, "slug": slug, "destination": "https://shop.example.com/"});
    link.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    text(&team.make("/v1/links", link).await, "/id")
}

/// (bot reason, token reason) of the clicks on a slug.
async fn stored(stack: &Stack, slug: &str) -> Vec<(Option<String>, String)> {
    let found = eventually("the clicks to arrive", || async {
        let rows: Vec<(Option<String>, String)> =
            sqlx::query_as("select bot_reason, token_reason from clicks where slug = $1 order by click_id")
                .bind(slug)
                .fetch_all(&stack.db)
                .await
                .expect("rows");
        (!rows.is_empty()).then_some(rows)
    });
    found.await
}

#[tokio::test]
async fn a_redirect_carries_what_it_must_and_nothing_else() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    let answer = ask(&stack, Method::GET, &host, "/nomura").await;
    assert_eq!(answer.status(), 302);
    assert_eq!(leads_to(&answer), "https://shop.example.com/?a=1&nim_ct=…#top");
    assert_eq!(header(&answer, "cache-control"), "private, no-store");
    assert_eq!(header(&answer, "referrer-policy"), "strict-origin-when-cross-origin");
    assert_eq!(header(&answer, "set-cookie"), "");
    assert_eq!(answer.text().await.expect("a body"), "");
    assert_eq!(stored(&stack, "nomura").await, [(None, "appended".to_owned())]);

    // A look without a visit: the same way, no token, and a click of nobody.
    make_link(&team, &host, "head", json!({})).await;
    let answer = ask(&stack, Method::HEAD, &host, "/head").await;
    assert_eq!((answer.status().as_u16(), leads_to(&answer)), (302, "https://shop.example.com/".to_owned()));
    assert_eq!(stored(&stack, "head").await, [(Some("probe".to_owned()), "probe".to_owned())]);

    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let answer = ask(&stack, method.clone(), &host, "/nomura").await;
        assert_eq!((answer.status().as_u16(), header(&answer, "allow")), (405, "GET, HEAD".to_owned()), "{method}");
    }
    // A QR code's mark is ours, and not the destination's.
    make_link(&team, &host, "scan", json!({"forward_query": true})).await;
    let answer = ask(&stack, Method::GET, &host, "/scan?qr=1&x=2").await;
    assert_eq!(leads_to(&answer), "https://shop.example.com/?x=2&nim_ct=…");
    stored(&stack, "scan").await;
    let trigger: String =
        sqlx::query_scalar("select trigger from clicks where slug = 'scan'").fetch_one(&stack.db).await.expect("a row");
    assert_eq!(trigger, "qr");
}

#[tokio::test]
async fn every_kind_of_link_leads_where_it_should() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;
    let signed = "https://b.s3.amazonaws.com/x?X-Amz-Signature=abc&X-Amz-Date=1";
    let variants = json!([
        {"key": "a", "destination": "https://shop.example.com/a", "weight": 1},
        {"key": "b", "destination": "https://shop.example.com/b", "weight": 1},
    ]);
    for (slug, more) in [
        ("forward", json!({"destination": "https://shop.example.com/?own=1#f", "forward_query": true})),
        ("deaf", json!({"destination": "https://shop.example.com/?own=1"})),
        ("signed", json!({"destination": signed, "forward_query": true})),
        ("always", json!({"destination": signed, "click_token": "always", "forward_query": true})),
        ("never", json!({"click_token": "never"})),
        ("untracked", json!({"conversion_tracking": false})),
        ("letters", json!({"destination": "https://bücher.example/straße?q=日本#ünï"})),
        (
            "merged",
            json!({"destination": "https://shop.example.com/?utm_source=own", "utm": {"source": "s", "campaign": "a b"}, "custom_query": {"ref": "é"}}),
        ),
        ("Case/v1.2~x", json!({})),
    ] {
        make_link(&team, &host, slug, more).await;
    }
    let experiment =
        json!({"experiment_key": "e", "variants": variants, "destination": "https://shop.example.com/none"});
    make_link(&team, &host, "split", experiment).await;
    for (path, expected) in [
        (
            "/forward?x=1&own=2&nim_ct=forged&n%69m_ct=f&y=%C3%A9",
            "https://shop.example.com/?own=1&x=1&y=%C3%A9&nim_ct=…#f",
        ),
        ("/deaf?x=1", "https://shop.example.com/?own=1&nim_ct=…"),
        ("/signed?x=1", signed),
        ("/always?x=1", &format!("{signed}&nim_ct=…")),
        ("/never", "https://shop.example.com/"),
        ("/untracked", "https://shop.example.com/"),
        ("/letters", "https://bücher.example/straße?q=日本&nim_ct=…#ünï"),
        ("/Case/v1.2~x", "https://shop.example.com/?nim_ct=…"),
        ("/C%61se/v1%2E2%7Ex", "https://shop.example.com/?nim_ct=…"),
    ] {
        let answer = ask(&stack, Method::GET, &host, path).await;
        assert_eq!((answer.status().as_u16(), leads_to(&answer)), (302, expected.to_owned()), "{path}");
    }
    let merged = leads_to(&ask(&stack, Method::GET, &host, "/merged").await);
    assert!(
        merged.starts_with("https://shop.example.com/?utm_source=own&utm_campaign=a%20b&ref=%C3%A9&nim_ct="),
        "{merged}"
    );
    let mut seen = std::collections::BTreeSet::new();
    // By chance alone, one of two stays unseen in one run of 2^39.
    for _ in 0..40 {
        seen.insert(leads_to(&ask(&stack, Method::GET, &host, "/split").await));
    }
    let both = ["a", "b"].map(|key| format!("https://shop.example.com/{key}?nim_ct=…"));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), both);
    for path in ["/case/v1.2~x", "/Case", "/Case/v1.2~x/", "/Case%2Fv1.2~x", "//evil.example", "/nothing"] {
        let answer = ask(&stack, Method::GET, &host, path).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "location")), (404, String::new()), "{path}");
    }
}

/// What has ended or rests leads elsewhere, and is no click.
#[tokio::test]
async fn what_leads_nowhere_has_its_page() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (bare, _) = team.campaign().await;
    let kept = format!("kept-{bare}");
    let pages = json!({"hostname": kept, "root_redirect_url": "https://acme.example/", "not_found_url": "https://acme.example/lost"});
    team.make("/v1/domains", pages).await;
    for host in [&bare, &kept] {
        for (slug, status, more) in [
            ("rests", "paused", json!({})),
            ("ended", "archived", json!({})),
            ("late", "active", json!({"expires_at": "2020-01-01T00:00:00Z"})),
            (
                "late-elsewhere",
                "active",
                json!({"expires_at": "2020-01-01T00:00:00Z", "expired_url": "https://acme.example/over"}),
            ),
            ("rests-elsewhere", "paused", json!({"expired_url": "https://acme.example/over"})),
        ] {
            let id = make_link(&team, host, slug, more).await;
            if status != "active" {
                team.change(&format!("/v1/links/{id}"), json!({"status": status})).await;
            }
        }
    }
    let (lost, over) = ("https://acme.example/lost", "https://acme.example/over");
    for (host, path, status, location) in [
        (&bare, "/rests", 404, ""),
        (&bare, "/ended", 410, ""),
        (&bare, "/late", 410, ""),
        (&bare, "/late-elsewhere", 302, over),
        (&bare, "/rests-elsewhere", 302, over),
        (&bare, "/unknown", 404, ""),
        (&bare, "/", 404, ""),
        (&kept, "/rests", 302, lost),
        (&kept, "/ended", 302, lost),
        (&kept, "/late", 302, lost),
        (&kept, "/late-elsewhere", 302, over),
        (&kept, "/unknown", 302, lost),
        (&kept, "/not/a//link", 302, lost),
        (&kept, "/", 302, "https://acme.example/"),
        (&kept, "/?x=1", 302, "https://acme.example/"),
    ] {
        let answer = ask(&stack, Method::GET, host, path).await;
        assert_eq!((answer.status().as_u16(), &*header(&answer, "location")), (status, location), "{host}{path}");
        assert!(header(&answer, "cache-control").contains("no-store"), "{path}");
    }
    let nowhere = ask(&stack, Method::GET, "nobody.example.com", "/x").await;
    assert_eq!(nowhere.status(), 404);
    // The one real click comes behind all of these; none of them was one.
    assert_eq!(team.visit(&bare, "/nomura").await.status, 302);
    let report = team.traffic_of(1).await;
    assert_eq!(report["totals"]["total"], 1, "{report}");
}
