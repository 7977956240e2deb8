//! The test of a source tells what is wrong with a signature, and never what the right one would be.

use axum::http::{Request, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::{Millis, webhook};
use sqlx::PgPool;

use super::service::{Answer, Service, Source, Team, text};

/// A request to the test, with any headers.
async fn ask(team: &Team, source: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = Request::post(format!("/v1/sources/{source}/test"))
        .header(header::AUTHORIZATION, format!("Bearer {}", team.key));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    team.service.send(request.body(body.to_vec().into()).unwrap()).await
}

/// The same, rightly signed at a time.
async fn signed(team: &Team, source: &Source, at: Millis, body: &str) -> Value {
    let signature = webhook::sign(&source.secret, "msg_1", at, body.as_bytes());
    let at = at.seconds().to_string();
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", at.as_str()), ("webhook-signature", &signature)];
    ask(team, &source.id, &headers, body.as_bytes()).await.expect(200)
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["problems"].as_array().expect("problems").iter().filter_map(|one| one["code"].as_str()).collect()
}

fn mac(key: &[u8], content: &str) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(content).finalize().into_bytes().into()
}

async fn stored(pool: &PgPool) -> i64 {
    let both =
        "select (select count(*) from conversions) + (select count(*) from sources where last_used_at is not null)";
    sqlx::query_scalar(both).fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_genuine_request_is_rehearsed_and_nothing_is_stored(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await.with_key("member", false).await;
    let admin = service.team().await;
    let source = admin.source().await;
    let (host, _) = admin.campaign().await;
    let visited = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&visited]).await;

    let sale = json!({"event_id": "1", "type": "sale", "nim_ct": visited.token, "amount_minor": 1, "currency": "EUR"});
    let now = service.now();
    let good = signed(&admin, &source, now, &sale.to_string()).await;
    assert_eq!((&good["signature"], &good["would_accept"]), (&json!("valid"), &json!(true)), "{good}");
    assert_eq!((codes(&good), &good["results"][0]["status"]), (vec![], &json!("accepted")), "{good}");
    assert_eq!(good["results"][0]["token"], "click_received");
    assert_eq!(good["signed_content_prefix"], format!("msg_1.{}.", now.seconds()));
    assert_eq!(good["body_length"], sale.to_string().len());
    assert_eq!(text(&good, "/body_sha256"), hex(&Sha256::digest(sale.to_string())));
    assert_eq!((&good["secrets"][0]["matched"], &good["secrets"][1]), (&json!(true), &Value::Null), "{good}");
    assert_eq!(stored(&pool).await, 0);

    // Once it is stored, the same is a duplicate and other content a conflict.
    source.accepted(sale.clone()).await;
    let batch = json!({"events": [sale, {"event_id": "1", "type": "lead"}, {"event_id": "2", "type": "gift", "x": 1},
        {"event_id": "3", "type": "lead", "nim_ct": "forged"}, {"event_id": "3", "type": "lead", "nim_ct": "forged"}]});
    let mixed = signed(&admin, &source, service.now(), &batch.to_string()).await;
    let results: Vec<_> =
        mixed["results"].as_array().unwrap().iter().map(|one| (&one["status"], &one["code"])).collect();
    let none = Value::Null;
    let (accepted, duplicate, rejected) = (json!("accepted"), json!("duplicate"), json!("rejected"));
    let (conflict, invalid) = (json!("event_id_conflict"), json!("validation_failed"));
    let expected =
        [(&duplicate, &none), (&rejected, &conflict), (&rejected, &invalid), (&accepted, &none), (&duplicate, &none)];
    assert_eq!(results, expected, "{mixed}");
    let pointers: Vec<&str> = mixed["results"][2]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    assert_eq!((pointers, &mixed["results"][3]["token"]), (vec!["/type", "/x"], &json!("invalid")), "{mixed}");
    assert_eq!((&mixed["signature"], &mixed["would_accept"]), (&json!("valid"), &json!(false)));

    for (body, pointer) in [("{", None), (r#"{"events":[]}"#, Some("/events")), (r#"{"events":5}"#, Some("/events"))] {
        let broken = signed(&admin, &source, service.now(), body).await;
        assert_eq!((codes(&broken), &broken["results"]), (vec!["body_invalid"], &Value::Null), "{broken}");
        assert_eq!(broken["errors"][0]["pointer"].as_str(), pointer, "{broken}");
    }
    // Another workspace's source is none, and a viewer may not.
    ask(&team, &source.id, &[], b"{}").await.expect_problem(404, "not_found");
    ask(&admin, "src_x", &[], b"{}").await.expect_problem(404, "not_found");
    let viewer = admin.with_key("viewer", false).await;
    ask(&viewer, &source.id, &[], b"{}").await.expect_problem(403, "role_forbidden");
    let large = vec![b' '; (1 << 20) + 1];
    ask(&admin, &source.id, &[], &large).await.expect_problem(413, "payload_too_large");
    let nobody = Request::post(format!("/v1/sources/{}/test", source.id)).body("{}".into()).unwrap();
    service.send(nobody).await.expect_problem(401, "unauthorized");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn each_mistake_has_its_name_and_no_secret_leaks(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let source = team.source().await;
    let (key, whole) = (source.secret.bytes().to_vec(), source.secret.reveal());
    let body = r#"{"event_id":"1","type":"lead","customer_id":"c/1"}"#;
    let at = service.now().seconds();
    let (now, content) = (at.to_string(), format!("msg_1.{at}.{body}"));
    let base64 = |key: &[u8], content: &str| format!("v1,{}", STANDARD.encode(mac(key, content)));
    let right = base64(&key, &content);
    // What must never be answered: the secret in any form, and the signature of what was sent.
    let (bare, tag) = (STANDARD.encode(&key), mac(&key, &content));
    let secrets = [whole.clone(), bare.clone(), hex(&key), right[3..].to_owned(), hex(&tag)];
    let millis = format!("{at}000");
    let stale = (at - 400).to_string();
    let unlike = r#"{"event_id": "1", "type": "lead", "customer_id": "c/1"}"#;
    // Name, the headers that differ, what the door says, and the problems.
    type Row<'a> = (&'a str, Vec<(&'a str, String)>, &'a str, Vec<&'a str>);
    let rows: Vec<Row<'_>> = vec![
        ("nothing", vec![], "signature_missing", vec!["header_missing", "header_missing", "header_missing"]),
        (
            "timestamp",
            vec![("webhook-timestamp", "soon".into())],
            "signature_invalid",
            vec!["header_malformed", "no_match"],
        ),
        ("made up", vec![("webhook-signature", base64(b"another", &content))], "signature_invalid", vec!["no_match"]),
        ("hex", vec![("webhook-signature", format!("v1,{}", hex(&tag)))], "signature_invalid", vec!["signature_hex"]),
        (
            "no version",
            vec![("webhook-signature", right[3..].to_owned())],
            "signature_invalid",
            vec!["header_malformed", "signature_without_version"],
        ),
        (
            "whsec_",
            vec![("webhook-signature", base64(whole.as_bytes(), &content))],
            "signature_invalid",
            vec!["secret_with_prefix"],
        ),
        (
            "text",
            vec![("webhook-signature", base64(bare.as_bytes(), &content))],
            "signature_invalid",
            vec!["secret_not_decoded"],
        ),
        ("body", vec![("webhook-signature", base64(&key, body))], "signature_invalid", vec!["signed_body_only"]),
        (
            "newline",
            vec![("webhook-signature", base64(&key, &format!("{content}\n")))],
            "signature_invalid",
            vec!["body_trailing_newline"],
        ),
        (
            "rewritten",
            vec![("webhook-signature", base64(&key, &format!("msg_1.{at}.{unlike}")))],
            "signature_invalid",
            vec!["body_reserialized"],
        ),
        (
            "milliseconds",
            vec![
                ("webhook-timestamp", millis.clone()),
                ("webhook-signature", base64(&key, &format!("msg_1.{millis}.{body}"))),
            ],
            "signature_expired",
            vec!["timestamp_in_milliseconds"],
        ),
        (
            "stale",
            vec![
                ("webhook-timestamp", stale.clone()),
                ("webhook-signature", base64(&key, &format!("msg_1.{stale}.{body}"))),
            ],
            "signature_expired",
            vec!["clock_skew"],
        ),
        ("text body", vec![("content-type", "text/plain".into())], "valid", vec!["content_type"]),
    ];
    for (name, changed, signature, problems) in rows {
        let mut headers =
            vec![("webhook-id", "msg_1"), ("webhook-timestamp", now.as_str()), ("webhook-signature", &right)];
        for (name, value) in &changed {
            headers.retain(|(there, _)| there != name);
            headers.push((name, value.as_str()));
        }
        if name == "nothing" {
            headers.clear();
        }
        let answer = ask(&team, &source.id, &headers, body.as_bytes()).await;
        for secret in &secrets {
            assert!(!answer.text.contains(secret.as_str()), "{name}: leaks\n{}", answer.text);
        }
        let answer = answer.expect(200);
        assert_eq!((answer["signature"].as_str(), codes(&answer)), (Some(signature), problems), "{name}: {answer}");
        assert_eq!(answer["would_accept"], false, "{name}");
        let genuine = signature != "signature_invalid" && signature != "signature_missing";
        assert_eq!(
            answer["results"].is_array(),
            genuine,
            "{name}: only the holder of a secret gets its events checked"
        );
        if name == "stale" {
            let skew = answer["clock"]["skew_seconds"].as_i64().unwrap();
            assert!((-460..=-400).contains(&skew), "{answer}");
        }
    }
    assert_eq!(stored(&pool).await, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn rotated_and_disabled_sources_say_so(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let source = team.source().await;
    let body = json!({"event_id": "1", "type": "lead"}).to_string();
    let path = format!("/v1/sources/{}", source.id);
    let rotated = team.post(&format!("{path}/rotate"), json!({"overlap_hours": 1})).await.expect(200);
    let both = signed(&team, &source, service.now(), &body).await;
    assert_eq!((&both["signature"], both["secrets"].as_array().unwrap().len()), (&json!("valid"), 2), "{both}");
    assert_eq!(
        [&both["secrets"][0]["matched"], &both["secrets"][1]["matched"]],
        [false, true],
        "the older one matched"
    );

    // The overlap has passed.
    sqlx::query("update source_secrets set expires_at = now() - interval '1 minute' where expires_at is not null")
        .execute(&pool)
        .await
        .unwrap();
    let ended = signed(&team, &source, service.now(), &body).await;
    assert_eq!((codes(&ended), &ended["signature"]), (vec!["secret_expired"], &json!("signature_invalid")), "{ended}");
    assert_eq!((&ended["secrets"][1]["expired"], &ended["results"]), (&json!(true), &Value::Null), "{ended}");
    source.send(&json!({"event_id": "1", "type": "lead"})).await.expect_problem(401, "signature_invalid");

    let secret = webhook::Secret::parse(&text(&rotated, "/secret")).unwrap();
    let current = Source { secret, ..source };
    assert_eq!(signed(&team, &current, service.now(), &body).await["would_accept"], true);
    team.patch(&path, json!({"status": "disabled"})).await.expect(200);
    let off = signed(&team, &current, service.now(), &body).await;
    assert_eq!((codes(&off), &off["signature"]), (vec!["source_disabled"], &json!("signature_invalid")), "{off}");
    assert_eq!((&off["would_accept"], &off["secrets"][0]["matched"]), (&json!(false), &json!(true)));
}
