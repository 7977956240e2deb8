//! A person who asks to be forgotten is: their data is nowhere in the database, and what finance needs stays.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    everything::{Everything, dump},
    service::{Answer, Service, Team, text},
};

async fn keyed(team: &Team, method: Method, path: &str, key: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", team.key))
        .header("idempotency-key", key);
    team.service.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_personal_stays_anywhere(pool: PgPool) {
    let service = Service::start(&pool).await;
    let everything = Everything::make(&service, "kyoto").await;
    let team = &everything.team;
    let person = |word: &str| {
        json!({
            "contact_name": format!("{word}-name"), "contact_email": format!("{word}@private.example"),
            "invite": {"channel": format!("{word}-channel"), "message": format!("{word}-message")},
            "metadata": {format!("{word}-field"): format!("{word}-value"), "deep": [{"er": format!("{word}-depth")}]},
        })
    };
    let named = |name: &str, word: &str| {
        let mut body = person(word);
        body["display_name"] = json!(name);
        body
    };
    let create = named("Nomura", "secretone");
    let made = keyed(team, Method::POST, "/v1/partners", "made", &create).await.expect(201);
    let other = keyed(team, Method::POST, "/v1/partners", "other", &named("Other", "bystander")).await.expect(201);
    let id = text(&made, "/id");
    let path = format!("/v1/partners/{id}");
    keyed(team, Method::PATCH, &path, "changed", &person("secrettwo")).await.expect(200);
    let note = json!({"text": "secretthree drinks"});
    keyed(team, Method::POST, &format!("{path}/notes"), "note", &note).await.expect(201);
    team.post(&format!("{path}/notes"), json!({"text": "secretfour pays late"})).await.expect(201);
    let note = json!({"text": format!("bystander, not {id}")});
    team.post(&format!("/v1/partners/{}/notes", text(&other, "/id")), note).await.expect(201);
    let link = format!("/v1/links/{}/assignment", everything.id("links"));
    team.put(&link, json!({"partner": id})).await.expect(200);
    let before: Vec<String> = dump(&pool).await.iter().map(|(_, row)| row.to_string()).collect();
    for word in ["secretone", "secrettwo", "secretthree", "secretfour"] {
        assert!(before.iter().any(|row| row.contains(word)), "{word} was stored");
    }
    let bystanders = before.iter().filter(|row| row.contains("bystander")).count();

    let erased = keyed(team, Method::POST, &format!("{path}/erase"), "erase", &Value::Null).await.expect(200);
    assert_eq!((&erased["id"], &erased["display_name"]), (&json!(id), &json!("Nomura")));
    let after: Vec<(String, Value)> = dump(&pool).await;
    for (table, row) in &after {
        let row = row.to_string();
        for trace in ["secretone", "secrettwo", "secretthree", "secretfour"] {
            assert!(!row.contains(trace), "{table}: {row}");
        }
    }
    let left = after.iter().filter(|(_, row)| row.to_string().contains("bystander")).count();
    assert_eq!(left, bystanders, "another partner keeps everything");

    // A repeated request repeats the answer, without what was erased.
    let again = keyed(team, Method::POST, "/v1/partners", "made", &create).await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!((&again.json["id"], &again.json["contact_email"]), (&json!(id), &Value::Null));
    // The trail still tells that there were changes and notes, by whom and when.
    let trail = team.get(&format!("/v1/audit?object={id}")).await.expect(200);
    let actions: Vec<&str> = trail["data"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["partner.erase", "partner.update", "partner.create"]);
    assert_eq!(trail["data"][2]["after"]["display_name"], "Nomura");
    let notes = team.get(&format!("{path}/notes")).await.expect(200);
    assert_eq!(notes["data"].as_array().unwrap().len(), 2);
    // History stays: the link was this partner's.
    let history = team.get(&format!("{link}s")).await.expect(200);
    assert_eq!(history["data"][0]["partner"]["name"], "Nomura", "{history}");
}
