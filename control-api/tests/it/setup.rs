//! The objects that a team sets up: their fields and rules, one by one.

use axum::http::{HeaderValue, Method, Request, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Answer, Service, Team, text};

fn codes(problem: &Answer) -> Vec<(String, String)> {
    let all = problem.json["errors"].as_array().unwrap_or_else(|| panic!("no faults: {}", problem.text));
    let mut codes: Vec<_> = all.iter().map(|fault| (text(fault, "/pointer"), text(fault, "/code"))).collect();
    codes.sort();
    codes
}

fn keys(list: &Value, name: &str) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|one| text(one, &format!("/{name}"))).collect()
}

impl Team {
    async fn send_with(&self, method: Method, path: &str, head: (&'static str, &str), body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .header(head.0, head.1);
        self.service.send(request.body(body.to_string().into()).unwrap()).await
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_program_keeps_every_field_and_versions_its_terms(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let whole = json!({
        "name": "Creators 2026", "key": "creators", "status": "active", "kind": "creator", "public_label": "Club",
        "default_destination_url": "https://shop.example.com/?a=%20#x", "support_email": "help@example.com",
        "terms_url": "https://example.com/terms", "help_url": "https://example.com/help",
        "application_url": "https://example.com/apply",
        "utm": {"source": "s", "medium": "m", "campaign": "c", "term": "t", "content": "n"},
        "custom_query": {"ref": "1"}, "attribution_window_days": 90,
        "reward_terms": {"basis": "percentage", "rate_bps": 1000, "applies_to": ["sale", "lead"], "hold_days": 30, "note": "n"},
    });
    let made = team.post("/v1/programs", whole.clone()).await.expect(201);
    for (name, value) in whole.as_object().unwrap() {
        if name != "reward_terms" {
            assert_eq!(&made[name], value, "{name}");
        }
    }
    assert_eq!(made["reward_terms"]["version"], 1);
    let read = team.get("/v1/programs/key:creators").await.expect(200);
    assert_eq!(read, made);

    // Absent leaves, null clears, nested objects merge, and the same terms begin no version.
    let patch = json!({"public_label": null, "utm": {"term": null, "source": "new"}, "custom_query": {"ref": null, "b": "2"},
        "reward_terms": whole["reward_terms"], "attribution_window_days": null});
    let changed = team.patch("/v1/programs/key:creators", patch).await.expect(200);
    assert_eq!(changed["public_label"], Value::Null);
    assert_eq!(changed["utm"], json!({"source": "new", "medium": "m", "campaign": "c", "content": "n"}));
    assert_eq!(changed["custom_query"], json!({"b": "2"}));
    assert_eq!((&changed["version"], &changed["attribution_window_days"]), (&json!(2), &Value::Null));
    assert_eq!(changed["reward_terms"], made["reward_terms"], "the same terms begin no version");
    let fixed = json!({"basis": "fixed", "amount_minor": 500, "currency": "JPY", "applies_to": ["lead"]});
    let changed = team.patch("/v1/programs/key:creators", json!({"reward_terms": fixed})).await.expect(200);
    let expected = json!({"version": 2, "basis": "fixed", "rate_bps": null, "amount_minor": 500, "currency": "JPY",
        "applies_to": ["lead"], "hold_days": 30, "note": "n", "started_at": changed["reward_terms"]["started_at"]});
    assert_eq!(changed["reward_terms"], expected, "what belongs to the other basis is gone");
    let patch = json!({"reward_terms": {"amount_minor": 600, "note": null, "applies_to": ["lead", "sale", "lead"]}});
    let changed = team.patch("/v1/programs/key:creators", patch).await.expect(200);
    assert_eq!((&changed["reward_terms"]["version"], &changed["reward_terms"]["note"]), (&json!(3), &Value::Null));
    assert_eq!(changed["reward_terms"]["applies_to"], json!(["lead", "sale"]));
    let half = team.patch("/v1/programs/key:creators", json!({"reward_terms": {"basis": "percentage"}})).await;
    half.expect_problem(422, "validation_failed");
    assert_eq!(codes(&half), [("/reward_terms/rate_bps".to_owned(), "required".to_owned())]);
    assert!(text(&changed, "/reward_terms/started_at") >= text(&made, "/reward_terms/started_at"));
    let none = team.patch("/v1/programs/key:creators", json!({"reward_terms": null})).await.expect(200);
    assert_eq!(none["reward_terms"], Value::Null);
    let versions: i64 = sqlx::query_scalar("select count(*) from program_reward_terms").fetch_one(&pool).await.unwrap();
    assert_eq!(versions, 4, "that there are none any more is a version too");

    team.patch("/v1/programs/key:creators", json!({"key": "other"})).await.expect_problem(422, "validation_failed");
    let bad = json!({"name": " ", "kind": "x", "support_email": "x", "utm": {"sauce": "x"}, "more": 1,
        "custom_query": {"nim_ct": "1", "n%69m_ct": "1"}, "attribution_window_days": 366, "default_destination_url": "https://a.com/?nim%5Fct=1",
        "reward_terms": {"basis": "fixed", "rate_bps": 1, "applies_to": [], "currency": "XYZ"}});
    let refused = team.post("/v1/programs", bad).await;
    refused.expect_problem(422, "validation_failed");
    let expected = [
        ("/attribution_window_days", "range"),
        ("/custom_query/n%69m_ct", "reserved_parameter"),
        ("/custom_query/nim_ct", "reserved_parameter"),
        ("/default_destination_url", "reserved_parameter"),
        ("/kind", "value"),
        ("/more", "unknown_field"),
        ("/name", "length"),
        ("/reward_terms/amount_minor", "required"),
        ("/reward_terms/applies_to", "length"),
        ("/reward_terms/currency", "value"),
        ("/reward_terms/rate_bps", "unexpected"),
        ("/support_email", "format"),
        ("/utm/sauce", "unknown_field"),
    ];
    assert_eq!(codes(&refused), expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    team.post("/v1/programs", json!({"name": "x", "key": "creators"})).await.expect_problem(409, "conflict");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_partner_keeps_every_field_and_is_named_in_three_ways(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    team.post("/v1/programs", json!({"name": "Creators"})).await.expect(201);
    let external = "crm/7 a+b%";
    let whole = json!({
        "display_name": "Nomura", "key": "nomura", "status": "active", "relationship": "invited",
        "contact_name": "Ada", "contact_email": "ada@example.com", "external_id": external,
        "invite": {"sent_at": "2026-01-01T00:00:00.000Z", "channel": "mail", "message": "Hi\nthere"},
        "tags": ["a", "b"], "metadata": {"tier": {"level": 1}},
    });
    let mut body = whole.clone();
    body["primary_program"] = json!("key:creators");
    let made = team.post("/v1/partners", body).await.expect(201);
    for (name, value) in whole.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    assert_eq!((&made["primary_program"]["key"], &made["active_links"]), (&json!("creators"), &json!(0)));
    let id = text(&made, "/id");
    let escaped = "ext:crm%2F7%20a%2Bb%25";
    for reference in [&id, "key:nomura", escaped] {
        assert_eq!(team.get(&format!("/v1/partners/{reference}")).await.expect(200)["id"], made["id"], "{reference}");
        assert_eq!(team.get(&format!("/v1/links?partner={reference}")).await.expect(200)["data"], json!([]));
    }
    for missing in ["key:nobody", "ext:none", "nonsense", "prt_01h455vb4pex5vsknk084sn02q"] {
        team.get(&format!("/v1/partners/{missing}")).await.expect_problem(404, "not_found");
    }
    let (host, link) = team.campaign_of("nomura").await;
    for reference in [id.clone(), "key:nomura".to_owned(), format!("ext:{external}")] {
        let path = format!("/v1/links/{}/assignment", text(&link, "/id"));
        team.put(&path, json!({"partner": reference, "program": "key:creators"})).await.expect(200);
        let body = json!({"domain": host, "destination": "https://a.example.com/", "partner": reference});
        assert_eq!(team.post("/v1/links", body).await.expect(201)["assignment"]["partner"]["id"], made["id"]);
    }
    assert_eq!(team.get(&format!("/v1/partners/{id}")).await.expect(200)["active_links"], 4);

    let patch = json!({"contact_name": null, "invite": {"message": null}, "metadata": {"tier": {"level": null, "x": 2}},
        "tags": ["c"], "relationship": "deactivated", "primary_program": null});
    let changed = team.patch(&format!("/v1/partners/{escaped}"), patch).await.expect(200);
    assert_eq!((&changed["contact_name"], &changed["primary_program"]), (&Value::Null, &Value::Null));
    assert_eq!(changed["invite"], json!({"sent_at": "2026-01-01T00:00:00.000Z", "channel": "mail", "message": null}));
    assert_eq!((&changed["metadata"], &changed["tags"]), (&json!({"tier": {"x": 2}}), &json!(["c"])));
    assert_eq!((&changed["contact_email"], &changed["version"]), (&json!("ada@example.com"), &json!(2)));
    let refused =
        team.patch("/v1/partners/key:nomura", json!({"key": "x", "status": null, "display_name": 1, "zz": 1})).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.json["errors"].as_array().unwrap().len(), 4, "{}", refused.text);
    team.patch("/v1/partners/key:nomura", json!({"primary_program": "key:no"})).await.expect_problem(404, "not_found");

    let note = team.post("/v1/partners/key:nomura/notes", json!({"text": "Called"})).await.expect(201);
    team.post("/v1/partners/key:nomura/notes", json!({"text": "Called again"})).await.expect(201);
    assert_eq!(keys(&team.get("/v1/partners/key:nomura/notes").await.expect(200), "text"), ["Called again", "Called"]);
    for method in [Method::PATCH, Method::DELETE, Method::PUT] {
        let path = format!("/v1/partners/key:nomura/notes/{}", text(&note, "/id"));
        assert!(team.send(method.clone(), &path, Some(&json!({}))).await.status.is_client_error());
        team.send(method, "/v1/partners/key:nomura/notes", Some(&json!({})))
            .await
            .expect_problem(405, "method_not_allowed");
    }
}

impl Team {
    /// A domain and a link of a partner on it.
    async fn campaign_of(&self, partner: &str) -> (String, Value) {
        let host = format!("go-{:x}.example.com", u64::from_be_bytes(super::service::random()));
        self.post("/v1/domains", json!({"hostname": host})).await.expect(201);
        let link =
            json!({"domain": host, "destination": "https://a.example.com/", "partner": format!("key:{partner}")});
        (host, self.post("/v1/links", link).await.expect(201))
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn slugs_and_domains_follow_their_rules(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let made = team.post("/v1/domains", json!({"hostname": "GO.Bücher.example"})).await.expect(201);
    assert_eq!((&made["hostname"], &made["status"]), (&json!("go.xn--bcher-kva.example"), &json!("active")));
    let host = "go.xn--bcher-kva.example";
    team.post("/v1/domains", json!({"hostname": host})).await.expect_problem(409, "conflict");
    service
        .team()
        .await
        .post("/v1/domains", json!({"hostname": "go.bücher.EXAMPLE"}))
        .await
        .expect_problem(409, "conflict");
    team.patch(&format!("/v1/domains/{host}"), json!({"hostname": "x.example"}))
        .await
        .expect_problem(422, "validation_failed");
    for bad in ["localhost", "a_b.example.com", "https://a.com", "10.0.0.1", "a.com:80", "a..b", ""] {
        team.post("/v1/domains", json!({"hostname": bad})).await.expect_problem(422, "validation_failed");
    }
    let link = |slug: &str| json!({"domain": host, "slug": slug, "destination": "https://a.example.com/"});
    for good in ["a", "A", "v1.2", "~x", "a/b.c/d~", "robots.txt/x", &"s".repeat(190)] {
        let made = team.post("/v1/links", link(good)).await.expect(201);
        assert_eq!(made["short_url"], format!("https://{host}/{good}"));
        assert_eq!(service.visit(host, good, service.now()).await.location[..22], *"https://a.example.com/");
    }
    team.post("/v1/links", link("a")).await.expect_problem(409, "conflict");
    for bad in [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/./b",
        "a/..",
        "a b",
        "a%20b",
        "é",
        "a?b",
        "_nim",
        "_nim/x",
        "_nimble",
        ".well-known/x",
        "robots.txt",
        "favicon.ico",
        &"s".repeat(191),
    ] {
        let refused = team.post("/v1/links", link(bad)).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(codes(&refused), [("/slug".to_owned(), "format".to_owned())], "{bad}");
    }
    let random =
        team.post("/v1/links", json!({"domain": "GO.bücher.example", "destination": "https://a.example.com/"})).await;
    let random = random.expect(201);
    team.patch(&format!("/v1/links/{}", text(&random, "/id")), json!({"slug": "x"}))
        .await
        .expect_problem(422, "validation_failed");
    let svg = team.get(&text(&random, "/qr_url")).await;
    assert_eq!(
        (svg.status.as_u16(), &svg.headers[header::CONTENT_TYPE]),
        (200, &HeaderValue::from_static("image/svg+xml"))
    );
    let png = team.get(&text(&random, "/qr_url").replace(".svg", ".png")).await;
    assert!(png.text.contains("PNG"));
}

#[sqlx::test(migrations = "../migrations")]
async fn destinations_are_kept_byte_for_byte_or_refused(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let fits = format!("https://a.com/{}", "x".repeat(2_000 - 14));
    for good in ["https://a.com/%20?flag&q=%2B+x;y#f?nim_ct=1", "HTTP://bücher.example:8080/ü", fits.as_str()] {
        let made = team.post("/v1/links", json!({"domain": host, "destination": good})).await.expect(201);
        assert_eq!(made["destination"], good);
    }
    let long = format!("{fits}x");
    for (bad, code) in [
        ("ftp://a.com", "scheme"),
        ("https://u:p@a.com/", "credentials"),
        ("https://a.com/?x=1&nim_ct=2", "reserved_parameter"),
        ("https://a.com/?n%69m_c%74", "reserved_parameter"),
        (long.as_str(), "length"),
    ] {
        let body = json!({"domain": host, "destination": bad, "expired_url": bad, "experiment_key": "e",
            "variants": [{"key": "a", "destination": bad, "weight": 1}], "custom_query": {"nim_ct": "x"}});
        let refused = team.post("/v1/links", body).await;
        refused.expect_problem(422, "validation_failed");
        let expected = [
            ("/custom_query/nim_ct", "reserved_parameter"),
            ("/destination", code),
            ("/expired_url", code),
            ("/variants/0/destination", code),
        ];
        assert_eq!(codes(&refused), expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())), "{bad}");
    }
    // Each place that a visitor may be sent to says whether it can carry the token.
    let signed = "https://b.s3.amazonaws.com/x?X-Amz-Signature=abc";
    let variants = json!([{"key": "plain", "destination": "https://a.com/", "weight": 1}, {"key": "signed", "destination": signed, "weight": 1}]);
    let body = json!({"domain": host, "destination": "https://a.com/", "experiment_key": "e", "variants": variants});
    let made = team.post("/v1/links", body).await.expect(201);
    assert_eq!(
        (&made["token_append"]["will_append"], &made["token_append"]["reason"]),
        (&json!(true), &json!("appended"))
    );
    assert_eq!(
        made["token_append"]["variants"],
        json!([
            {"key": "plain", "will_append": true, "reason": "appended", "rule": null},
            {"key": "signed", "will_append": false, "reason": "query_sensitive:aws_sigv4", "rule": "aws_sigv4"},
        ])
    );
    let path = format!("/v1/links/{}", text(&made, "/id"));
    let always = team.patch(&path, json!({"click_token": "always"})).await.expect(200);
    assert_eq!(always["token_append"]["variants"][1]["will_append"], true, "{always}");
    assert_eq!(always["token_append"]["variants"][1]["rule"], "aws_sigv4");
    team.patch(&path, json!({"experiment_key": null})).await.expect_problem(422, "validation_failed");
    let bare = team
        .patch(&path, json!({"experiment_key": null, "variants": null, "tags": null, "title": "t"}))
        .await
        .expect(200);
    assert_eq!((&bare["variants"], &bare["version"], &bare["title"]), (&json!([]), &json!(3), &json!("t")));
}

#[sqlx::test(migrations = "../migrations")]
async fn defaults_are_copied_once_and_inactive_objects_take_no_links(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    let path = format!("/v1/links/{}", text(&link, "/id"));
    let assignment = format!("{path}/assignment");
    team.patch("/v1/programs/key:creators", json!({"utm": {"source": "club"}, "custom_query": {"ref": "c"}}))
        .await
        .expect(200);
    team.put(&assignment, json!({"partner": "key:nomura", "apply_program_defaults": true})).await.expect(200);
    let copied = team.get(&path).await.expect(200);
    assert_eq!((&copied["utm"], &copied["custom_query"]), (&json!({"source": "club"}), &json!({"ref": "c"})));
    team.patch("/v1/programs/key:creators", json!({"utm": {"source": "later"}, "custom_query": {"ref": null}}))
        .await
        .expect(200);
    let after = team.get(&path).await.expect(200);
    assert_eq!((&after["utm"], &after["custom_query"]), (&copied["utm"], &copied["custom_query"]));
    let visited = service.visit(&host, "nomura", service.now()).await;
    assert!(
        visited.location.starts_with("https://shop.example.com/?a=1&utm_source=club&ref=c&nim_ct="),
        "{}",
        visited.location
    );

    team.post("/v1/partners", json!({"display_name": "Other", "primary_program": "key:creators"})).await.expect(201);
    let wish = |partner: &str| json!({"domain": host, "destination": "https://a.example.com/", "partner": partner});
    for status in ["paused", "archived"] {
        team.patch("/v1/partners/key:nomura", json!({"status": status})).await.expect(200);
        team.patch("/v1/programs/key:creators", json!({"status": status})).await.expect(200);
        team.put(&assignment, json!({"partner": "key:nomura"})).await.expect_problem(422, "partner_not_active");
        team.post("/v1/links", wish("key:nomura")).await.expect_problem(422, "partner_not_active");
        let named = json!({"partner": "key:other", "program": "key:creators"});
        team.put(&assignment, named).await.expect_problem(422, "program_not_active");
        let warned = team.post("/v1/links", wish("key:other")).await.expect(201);
        assert_eq!(warned["warnings"], json!(["primary_program_paused"]));
        assert_eq!(
            (&warned["assignment"]["partner"]["key"], &warned["assignment"]["program"]),
            (&json!("other"), &Value::Null)
        );
        assert_eq!(keys(&team.get("/v1/partners").await.expect(200), "key"), ["other"]);
        assert_eq!(keys(&team.get("/v1/programs").await.expect(200), "key"), Vec::<String>::new());
        assert_eq!(keys(&team.get("/v1/partners?status=all").await.expect(200), "key"), ["other", "nomura"]);
        assert_eq!(keys(&team.get("/v1/programs?status=all").await.expect(200), "key"), ["creators"]);
        assert_eq!(keys(&team.get(&format!("/v1/partners?status={status}")).await.expect(200), "key"), ["nomura"]);
    }
    let nothing = json!({"domain": host, "destination": "https://a.example.com/", "partner": "key:other", "program": null, "apply_program_defaults": true});
    let made = team.post("/v1/links", nothing).await.expect(201);
    assert_eq!(made["warnings"], json!(["no_program_defaults"]));
}

#[sqlx::test(migrations = "../migrations")]
async fn changes_are_guarded_by_version_and_repeatable_by_key(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, link) = team.campaign().await;
    for (path, change) in [
        ("/v1/partners/key:nomura".to_owned(), json!({"display_name": "N"})),
        ("/v1/programs/key:creators".to_owned(), json!({"name": "C"})),
        (format!("/v1/domains/{host}"), json!({"not_found_url": "https://a.example.com/"})),
        (format!("/v1/links/{}", text(&link, "/id")), json!({"title": "T"})),
    ] {
        let read = team.get(&path).await;
        assert_eq!(read.headers[header::ETAG], "\"1\"", "{path}");
        let changed = team.send_with(Method::PATCH, &path, ("if-match", "\"1\""), &change).await;
        assert_eq!(
            (changed.status.as_u16(), &changed.headers[header::ETAG], &changed.json["version"]),
            (200, &HeaderValue::from_static("\"2\""), &json!(2))
        );
        team.send_with(Method::PATCH, &path, ("if-match", "\"1\""), &change)
            .await
            .expect_problem(412, "version_mismatch");
        team.send_with(Method::PATCH, &path, ("if-match", "x"), &change).await.expect_problem(412, "version_mismatch");
        assert_eq!(team.patch(&path, change).await.expect(200)["version"], 3);
    }
    // Eight at once under one key have one effect and one answer.
    let body = json!({"display_name": "Once"});
    let send = || team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k"), &body);
    let answers = futures::future::join_all((0..8).map(|_| send())).await;
    let ids: std::collections::BTreeSet<_> =
        answers.into_iter().map(|answer| text(&answer.expect(201), "/id")).collect();
    assert_eq!(ids.len(), 1);
    let other = json!({"display_name": "Twice"});
    let reused = team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k"), &other).await;
    reused.expect_problem(422, "idempotency_key_reused");
    let long = "k".repeat(256);
    team.send_with(Method::POST, "/v1/partners", ("idempotency-key", &long), &other)
        .await
        .expect_problem(422, "validation_failed");
    // A refused request uses up no key, and a secret is shown once.
    let bad =
        team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k2"), &json!({"display_name": ""})).await;
    bad.expect_problem(422, "validation_failed");
    team.send_with(Method::POST, "/v1/partners", ("idempotency-key", "k2"), &other).await.expect(201);
    let source = json!({"name": "shop", "kind": "signed"});
    let made = team.send_with(Method::POST, "/v1/sources", ("idempotency-key", "k3"), &source).await.expect(201);
    let again = team.send_with(Method::POST, "/v1/sources", ("idempotency-key", "k3"), &source).await.expect(201);
    assert_eq!((&made["id"], &again["secret"]), (&again["id"], &Value::Null));
    assert!(made["secret"].is_string());
}

#[sqlx::test(migrations = "../migrations")]
async fn lists_are_filtered_sorted_and_cut_into_pages(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    team.post("/v1/programs", json!({"name": "Affiliates", "kind": "affiliate"})).await.expect(201);
    let names = ["zeta", "Alpha", "beta", "alpha", "Zeta", "Mid, dle"];
    let partners: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            json!({"display_name": name, "key": format!("k{at}"), "tags": [if at < 2 { "early" } else { "late" }],
                "relationship": if at == 3 { "banned" } else { "approved" }, "external_id": format!("e-{at}"),
                "primary_program": if at == 4 { json!("key:affiliates") } else { Value::Null }})
        })
        .collect();
    assert_eq!(team.post("/v1/partners/bulk", json!({"partners": partners})).await.expect(200)["created"], 6);
    let links: Vec<_> = ["b", "a/x", "C", "c"]
        .iter()
        .map(|slug| json!({"domain": host, "slug": slug, "destination": "https://a.example.com/", "partner": "key:k0", "program": "key:creators", "tags": [slug]}))
        .collect();
    assert_eq!(team.post("/v1/links/bulk", json!({"links": links})).await.expect(200)["created"], 4);

    let walk = async |path: &str, name: &str| {
        let (mut all, mut cursor) = (vec![], String::new());
        loop {
            let page = team.get(&format!("{path}&limit=2{cursor}")).await.expect(200);
            all.extend(keys(&page, name));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    };
    for (sort, order) in [
        ("", &["k5", "k4", "k3", "k2", "k1", "k0", "nomura"][..]),
        ("sort=-created_at", &["k5", "k4", "k3", "k2", "k1", "k0", "nomura"]),
        ("sort=created_at", &["nomura", "k0", "k1", "k2", "k3", "k4", "k5"]),
        ("sort=name", &["k1", "k3", "k2", "k5", "nomura", "k0", "k4"]),
        ("sort=-name", &["k4", "k0", "nomura", "k5", "k2", "k3", "k1"]),
        ("tag=early", &["k1", "k0"]),
        ("relationship=banned", &["k3"]),
        ("q=ALPHA", &["k3", "k1"]),
        ("q=e-2", &["k2"]),
        // Its own, and that of those who have a link in it.
        ("program=key:affiliates", &["k4"]),
        ("program=key:creators", &["k0", "nomura"]),
    ] {
        assert_eq!(walk(&format!("/v1/partners?{sort}"), "key").await, order, "{sort}");
    }
    for (sort, order) in [
        ("sort=slug", &["C", "a/x", "b", "c", "nomura"][..]),
        ("sort=-slug", &["nomura", "c", "b", "a/x", "C"]),
        ("sort=created_at", &["nomura", "b", "a/x", "C", "c"]),
        ("partner=ext:e-0", &["c", "C", "a/x", "b"]),
        ("program=key:creators", &["c", "C", "a/x", "b", "nomura"]),
        ("tag=b", &["b"]),
        ("q=a/X", &["a/x"]),
        ("status=archived", &[]),
    ] {
        assert_eq!(walk(&format!("/v1/links?{sort}"), "slug").await, order, "{sort}");
    }
    assert_eq!(walk(&format!("/v1/links?domain={host}&tag=c"), "slug").await, ["c"]);
    for sort in ["name", "-name", "created_at", "-created_at"] {
        assert_eq!(walk(&format!("/v1/programs?sort={sort}"), "key").await.len(), 2);
        assert_eq!(
            walk(&format!("/v1/domains?sort={}", sort.replace("name", "hostname")), "hostname").await,
            std::slice::from_ref(&host)
        );
    }
    assert_eq!(walk("/v1/programs?sort=name", "key").await, ["affiliates", "creators"]);
    assert_eq!(walk("/v1/programs?sort=-name", "key").await, ["creators", "affiliates"]);
    assert_eq!(walk("/v1/programs?kind=affiliate", "key").await, ["affiliates"]);

    // A page goes on where the one before ended, though the row it ended with has another name now.
    let first = team.get("/v1/partners?sort=name&limit=3").await.expect(200);
    assert_eq!(keys(&first, "key"), ["k1", "k3", "k2"]);
    team.patch("/v1/partners/key:k2", json!({"display_name": "zzz"})).await.expect(200);
    let cursor = text(&first, "/next_cursor");
    let second = team.get(&format!("/v1/partners?sort=name&limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!(keys(&second, "key"), ["k5", "nomura"]);
    for path in [
        format!("/v1/partners?cursor={cursor}"),
        format!("/v1/partners?sort=-name&cursor={cursor}"),
        format!("/v1/programs?sort=name&cursor={cursor}"),
        "/v1/partners?cursor=nonsense".to_owned(),
        "/v1/partners?sort=tags".to_owned(),
    ] {
        let refused = team.get(&path).await;
        refused.expect_problem(422, "validation_failed");
        assert!(codes(&refused)[0].0.starts_with('?'), "{}", refused.text);
    }
}
