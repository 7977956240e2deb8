//! The objects that a team sets up: their fields and rules, one by one.

use axum::http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Service, Team, codes, keys, text};

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
    for (name, key) in
        [("Café Ünal & Söhne", "cafe-unal-sohne"), ("Café Ünal & Söhne", "cafe-unal-sohne-2"), ("…", "program")]
    {
        assert_eq!(team.post("/v1/programs", json!({"name": name})).await.expect(201)["key"], key);
    }
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
        let before = team.get(&path).await.expect(200);
        let same = json!({"partner": "key:nomura", "program": "key:creators"});
        let kept = team.put(&assignment, same).await.expect(200);
        assert_eq!(kept["id"], before["assignment"]["id"], "what is in force already stays");
        assert_eq!(team.get(&path).await.expect(200), before);
        let other = json!({"partner": "key:nomura", "program": null});
        team.put(&assignment, other).await.expect_problem(422, "partner_not_active");
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
    // The link's own values stay beside the program's; of the same name, the program's hold.
    team.patch(
        "/v1/programs/key:creators",
        json!({"status": "active", "utm": {"source": "p", "term": "p"}, "custom_query": {"a": "p"}}),
    )
    .await
    .expect(200);
    let own = json!({"domain": host, "destination": "https://a.example.com/", "partner": "key:other", "apply_program_defaults": true,
        "utm": {"source": "own", "medium": "own"}, "custom_query": {"a": "own", "b": "own"}});
    let merged = team.post("/v1/links", own).await.expect(201);
    assert_eq!(merged["utm"], json!({"source": "p", "medium": "own", "term": "p"}));
    assert_eq!(merged["custom_query"], json!({"a": "p", "b": "own"}));
    let nothing = json!({"domain": host, "destination": "https://a.example.com/", "partner": "key:other", "program": null, "apply_program_defaults": true});
    let made = team.post("/v1/links", nothing).await.expect(201);
    assert_eq!(made["warnings"], json!(["no_program_defaults"]));
}
