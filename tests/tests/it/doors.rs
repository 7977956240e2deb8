//! The doors: who is let in, what is refused, and how it is said.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{Millis, webhook::Secret};
use tests::{Edge, Options, Stack, Team, now, random, text};

/// (g) Forged, stale or strangers' signatures and tokens.
#[tokio::test]
async fn forgeries_are_refused_by_name() {
    let stack = Stack::start().await;
    let team = stack.team().await;
    let (host, link) = team.campaign().await;
    let source = team.source().await;
    let event = json!({"event_id": "e1", "type": "lead"});

    let forged = Secret::from_random(random());
    source.send_signed(&event, &forged, now()).await.expect_problem(401, "signature_invalid");
    source
        .send_signed(&event, &source.secret, now().plus(-6 * Millis::MINUTE))
        .await
        .expect_problem(401, "signature_expired");
    source
        .send_signed(&event, &source.secret, now().plus(6 * Millis::MINUTE))
        .await
        .expect_problem(401, "signature_expired");
    let unsigned = stack.http.post(format!("{}/v1/sources/{}/events", stack.api_url, source.id)).json(&event);
    tests::Answer::of(unsigned.send().await.expect("an answer")).await.expect_problem(401, "signature_missing");
    let nowhere = tests::Source { stack: &stack, id: "src_01h455vb4pex5vsknk084sn02q".into(), secret: forged };
    nowhere.send(&event).await.expect_problem(401, "signature_invalid");
    let stored: i64 =
        sqlx::query_scalar("select count(*) from conversions").fetch_one(&stack.db).await.expect("a count");
    assert_eq!(stored, 0, "nothing of it was stored");

    // A token that is forged, or a stranger's: the event is kept, and nothing of the click is told.
    let token = team.visit(&host, "/nomura").await.token;
    team.traffic_of(1).await;
    let stranger = stack.team().await;
    let theirs = stranger.source().await;
    let mut bent = token.clone().into_bytes();
    bent[30] = if bent[30] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).expect("still letters");
    for (source, token) in [(&source, bent.as_str()), (&source, "x"), (&theirs, token.as_str())] {
        let id = format!("t{}", u32::from_be_bytes(random()));
        let result = source.accepted(json!({"event_id": id, "type": "lead", "nim_ct": token})).await;
        let expected = json!({"status": "unattributed", "method": null, "reason": "token_invalid", "partner": null, "program": null, "link": null});
        assert_eq!(result["attribution"], expected);
    }

    // Another workspace's ids are not there at all.
    let link = text(&link, "/id");
    for path in [
        format!("/v1/links/{link}"),
        format!("/v1/links/{link}/assignments"),
        "/v1/partners/key:nomura".to_owned(),
        "/v1/programs/key:creators".to_owned(),
        format!("/v1/sources/{}", source.id),
    ] {
        stranger.send(Method::GET, &path, None).await.expect_problem(404, "not_found");
    }
    stranger
        .send(Method::PATCH, &format!("/v1/links/{link}"), Some(&json!({"title": "x"})))
        .await
        .expect_problem(404, "not_found");
    for key in ["", "nim_wrong"] {
        let nobody = Team { key: key.to_owned(), stack: &stack, workspace: team.workspace.clone() };
        nobody.send(Method::GET, "/v1/workspace", None).await.expect_problem(401, "unauthorized");
    }
    let seven =
        stack.http.post(format!("{}/internal/v1/clicks", stack.api_url)).body("{}").send().await.expect("an answer");
    assert_eq!(seven.status(), 401, "the worker's door is shut to others");
    let push =
        stack.http.post(format!("{}/_nim/replicate", stack.edge_url)).body("{}").send().await.expect("an answer");
    assert_eq!(push.status(), 401, "and so is the worker's own");
}

/// Every create endpoint: what is missing, mistyped, over-long or unknown is named, all at once.
#[tokio::test]
async fn bad_input_is_named_field_by_field() {
    let stack = Stack::with(Options { edge: Edge::Absent }).await;
    let team = stack.team().await;
    let (_, link) = team.campaign().await;
    let source = text(&team.make("/v1/sources", json!({"name": "s", "kind": "signed"})).await, "/id");
    let link = text(&link, "/id");
    let long = "x".repeat(3_000);
    // Path, a body that is wrong in every way, and the faults it must name.
    type Row = (Method, String, Value, Vec<(&'static str, &'static str)>);
    let table: Vec<Row> = vec![
        (
            Method::POST,
            "/v1/api-keys".into(),
            json!({"role": "king", "can_export": "yes", "x": 1}),
            vec![("/can_export", "type"), ("/role", "value"), ("/x", "unknown_field")],
        ),
        (
            Method::POST,
            "/v1/programs".into(),
            json!({"name": long, "kind": 7, "utm": {"source": 1, "y": 1}, "custom_query": {"nim_ct": "x"}, "reward_terms": {"basis": "fixed"}, "x": 1}),
            vec![
                ("/custom_query/nim_ct", "reserved_parameter"),
                ("/kind", "type"),
                ("/name", "length"),
                ("/reward_terms/amount_minor", "required"),
                ("/reward_terms/applies_to", "required"),
                ("/reward_terms/currency", "required"),
                ("/utm/source", "type"),
                ("/utm/y", "unknown_field"),
                ("/x", "unknown_field"),
            ],
        ),
        (
            Method::POST,
            "/v1/partners".into(),
            json!({"display_name": 1, "key": "Bad Key", "tags": "a", "contact_email": "nobody", "x": 1}),
            vec![
                ("/contact_email", "format"),
                ("/display_name", "type"),
                ("/key", "format"),
                ("/tags", "type"),
                ("/x", "unknown_field"),
            ],
        ),
        (
            Method::POST,
            "/v1/partners/key:nomura/notes".into(),
            json!({"x": 1}),
            vec![("/text", "required"), ("/x", "unknown_field")],
        ),
        (
            Method::POST,
            "/v1/domains".into(),
            json!({"hostname": "https://x", "root_redirect_url": "ftp://x", "x": 1}),
            vec![("/hostname", "format"), ("/root_redirect_url", "scheme"), ("/x", "unknown_field")],
        ),
        (
            Method::POST,
            "/v1/links".into(),
            json!({"slug": "a b", "destination": "https://u:p@x.com", "conversion_tracking": "on", "expires_at": "soon", "x": 1}),
            vec![
                ("/conversion_tracking", "type"),
                ("/destination", "credentials"),
                ("/domain", "required"),
                ("/expires_at", "format"),
                ("/slug", "format"),
                ("/x", "unknown_field"),
            ],
        ),
        (
            Method::PUT,
            format!("/v1/links/{link}/assignment"),
            json!({"program": 1, "x": 1}),
            vec![("/partner", "required"), ("/program", "type"), ("/x", "unknown_field")],
        ),
        (
            Method::POST,
            "/v1/sources".into(),
            json!({"name": "", "kind": "magic", "x": 1}),
            vec![("/kind", "value"), ("/name", "length"), ("/x", "unknown_field")],
        ),
        (
            Method::POST,
            format!("/v1/sources/{source}/rotate"),
            json!({"overlap_hours": -1, "x": 1}),
            vec![("/overlap_hours", "range"), ("/x", "unknown_field")],
        ),
        (
            Method::POST,
            "/v1/exports".into(),
            json!({"kind": "all", "from": "x", "x": 1}),
            vec![("/from", "format"), ("/kind", "value"), ("/to", "required"), ("/x", "unknown_field")],
        ),
    ];
    for (method, path, body, faults) in table {
        let answer = team.send(method.clone(), &path, Some(&body)).await;
        answer.expect_problem(422, "validation_failed");
        let expected: Vec<_> = faults.iter().map(|(p, c)| ((*p).to_owned(), (*c).to_owned())).collect();
        assert_eq!(answer.faults(), expected, "{path}");
        for wrong in [json!([]), json!(null), json!("x"), json!(1)] {
            team.send(method.clone(), &path, Some(&wrong)).await.expect_problem(422, "validation_failed");
        }
        for (raw, content_type, status, code) in [
            ("{\"a\":", "application/json", 400, "invalid_json"),
            ("", "application/json", 400, "invalid_json"),
            ("{\"name\":\"\\u0000\"}", "application/json", 400, "invalid_json"),
            ("name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ] {
            // The one body that may be left out.
            if raw.is_empty() && path.ends_with("/rotate") {
                continue;
            }
            let request = stack.http.request(method.clone(), format!("{}{path}", stack.api_url)).bearer_auth(&team.key);
            let answer = request.header("content-type", content_type).body(raw).send().await.expect("an answer");
            tests::Answer::of(answer).await.expect_problem(status, code);
        }
        let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));
        let request = stack.http.request(method, format!("{}{path}", stack.api_url)).bearer_auth(&team.key);
        let answer = request.header("content-type", "application/json").body(huge).send().await.expect("an answer");
        tests::Answer::of(answer).await.expect_problem(413, "payload_too_large");
    }
    let workspace = stack
        .operator(
            Method::POST,
            "/v1/workspaces",
            &json!({"slug": "Not A Slug", "plan": "gold", "access": {"all": true}}),
        )
        .await;
    workspace.expect_problem(422, "validation_failed");
    let expected = [("/access/all", "unknown_field"), ("/name", "required"), ("/plan", "value"), ("/slug", "format")];
    assert_eq!(workspace.faults(), expected.map(|(p, c)| (p.to_owned(), c.to_owned())));

    let source = team.source().await;
    let event = source
        .send(&json!({"type": "gift", "amount_minor": -1, "currency": "usd", "quantity": "1", "metadata": [], "x": 1}))
        .await;
    event.expect_problem(422, "validation_failed");
    let expected = [
        ("/amount_minor", "range"),
        ("/currency", "value"),
        ("/event_id", "required"),
        ("/metadata", "type"),
        ("/quantity", "type"),
        ("/type", "value"),
        ("/x", "unknown_field"),
    ];
    assert_eq!(event.faults(), expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    let late = json!({"event_id": "e", "type": "lead", "occurred_at": "2001-01-01T00:00:00Z"});
    source.send(&late).await.expect_problem(422, "occurred_at_too_old");
    let early = json!({"event_id": "e", "type": "lead", "occurred_at": "2101-01-01T00:00:00Z"});
    source.send(&early).await.expect_problem(422, "occurred_at_in_future");
    source.accepted(json!({"event_id": "e", "type": "lead"})).await;

    team.send(Method::GET, "/v1/programs?limit=0&wat=1", None).await.expect_problem(422, "validation_failed");
    team.send(Method::GET, "/v1/nothing", None).await.expect_problem(404, "not_found");
    for path in ["/v1/partners/%ff", "/v1/partners/key:%00", "/v1/links/x", "/v1/exports/exp_x", "/v1/conversions/1"] {
        team.send(Method::GET, path, None).await.expect_problem(404, "not_found");
    }
    team.send(Method::DELETE, "/v1/programs", None).await.expect_problem(405, "method_not_allowed");
}
