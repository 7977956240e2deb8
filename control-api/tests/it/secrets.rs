//! Secrets and keys over their life: rotated, disabled, revoked, encrypted anew.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use domain::data_keys::{self, Rotated};
use serde_json::{Value, json};
use shared::webhook::Secret;
use sqlx::{ConnectOptions as _, PgPool};

use super::service::{OPERATOR, Service, Source, Team, text};

const OLD: &str = "1:old-secret-old-secret-old-secret-old";
const BOTH: &str = "2:new-secret-new-secret-new-secret-new,1:old-secret-old-secret-old-secret-old";
const NEW: &str = "2:new-secret-new-secret-new-secret-new";

fn lead(id: &str) -> Value {
    json!({"event_id": id, "type": "lead"})
}

async fn rotate(team: &Team, source: &Source, body: Option<Value>) -> (Source, Value) {
    let path = format!("/v1/sources/{}/rotate", source.id);
    let rotated = team.send(Method::POST, &path, body.as_ref()).await.expect(200);
    let secret = Secret::parse(&text(&rotated, "/secret")).unwrap();
    (Source { secret, ..source.clone() }, rotated)
}

#[sqlx::test(migrations = "../migrations")]
async fn an_old_data_key_can_be_dropped(pool: PgPool) {
    let old = Service::with(&pool, &["--data-keys", OLD]).await;
    let team = old.team().await;
    let first = team.source().await;
    let (second, _) = rotate(&team, &first, None).await;
    // More than one batch.
    for _ in 0..210 {
        team.source().await;
    }
    let ended = "insert into source_secrets select workspace_id, source_id, gen_random_uuid(), kid, sealed, created_at, \
                 now() - interval '1 s' from source_secrets limit 1";
    sqlx::query(ended).execute(&pool).await.unwrap();

    let both = Service::with(&pool, &["--data-keys", BOTH]).await;
    let at = |service: &Service, source: &Source| Source { service: service.clone(), ..source.clone() };
    at(&both, &first).accepted(lead("1")).await;
    let third = Team { service: both.clone(), ..team.clone() }.source().await;

    // As an operator runs it.
    let url = pool.connect_options().to_url_lossy().to_string();
    let run = |ring: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_control-api"));
        let command = command.args(["keys", "rotate"]).env("DATABASE_URL", &url).env("NIM_DATA_KEYS", ring);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (ok, said) = run("3:other-secret-other-secret-other-secret");
    assert!(!ok, "{said}");
    assert_eq!(said, "encrypted anew under key 3: 0; ended and removed: 1; not opened: 213\n");
    let (ok, said) = run(BOTH);
    assert!(ok, "{said}");
    assert_eq!(said, "encrypted anew under key 2: 212; ended and removed: 0; not opened: 0\n");
    let again = data_keys::rotate(&pool, &BOTH.parse().unwrap()).await.unwrap();
    assert_eq!(again, Rotated::default(), "nothing is left to do");

    let new = Service::with(&pool, &["--data-keys", NEW]).await;
    for (source, id) in [(&first, "2"), (&second, "3"), (&third, "4")] {
        at(&new, source).accepted(lead(id)).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_stored_secret_opens_only_where_it_belongs(pool: PgPool) {
    let service = Service::start(&pool).await;
    let (mine, other) = (service.team().await, service.team().await);
    let (source, neighbour, stranger) = (mine.source().await, mine.source().await, other.source().await);
    source.accepted(lead("1")).await;
    for thief in [&neighbour, &stranger] {
        let copied = "update source_secrets t set sealed = s.sealed, kid = s.kid from source_secrets s \
                      where s.source_id = $1 and t.source_id = $2";
        let ids = [&source.id, &thief.id].map(|id| id.parse::<shared::id::SourceId>().unwrap().uuid());
        let copied = sqlx::query(copied).bind(ids[0]).bind(ids[1]).execute(&pool).await.unwrap();
        assert_eq!(copied.rows_affected(), 1);
        let forged = Source { secret: source.secret.clone(), ..thief.clone() };
        forged.send(&lead("2")).await.expect_problem(500, "internal");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_source_rotates_without_a_gap_and_is_switched_off_at_once(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let first = team.source().await;
    let path = format!("/v1/sources/{}", first.id);
    assert_eq!(team.get(&path).await.expect(200)["last_used_at"], Value::Null);
    first.accepted(lead("1")).await;
    assert!(team.get(&path).await.expect(200)["last_used_at"].is_string());

    // No body at all: the overlap is a day, and both secrets hold meanwhile.
    let (second, rotated) = rotate(&team, &first, None).await;
    let until: chrono::DateTime<chrono::Utc> = text(&rotated, "/previous_secret_expires_at").parse().unwrap();
    let hours = (until - chrono::Utc::now()).num_minutes();
    assert!((23 * 60..=24 * 60).contains(&hours), "{rotated}");
    first.accepted(lead("2")).await;
    second.accepted(lead("3")).await;
    sqlx::query("update source_secrets set expires_at = now() where expires_at is not null")
        .execute(&pool)
        .await
        .unwrap();
    first.send(&lead("4")).await.expect_problem(401, "signature_invalid");
    second.accepted(lead("4")).await;
    // A body that is said to be JSON and isn't there is none either; one that is there must be JSON.
    let empty = async |raw: &str| {
        let request = Request::post(format!("{path}/rotate")).header(header::CONTENT_TYPE, "application/json");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", team.key));
        service.send(request.body(Body::from(raw.to_owned())).unwrap()).await
    };
    empty(" ").await.expect_problem(400, "invalid_json");
    empty("").await.expect(200);
    // No overlap: the earlier one ends with the answer.
    let (third, _) = rotate(&team, &first, Some(json!({"overlap_hours": 0}))).await;
    second.send(&lead("5")).await.expect_problem(401, "signature_invalid");
    third.accepted(lead("5")).await;
    let wrong = team.post(&format!("{path}/rotate"), json!({"overlap_hours": 999, "x": 1})).await;
    wrong.expect_problem(422, "validation_failed");

    // Ten secrets may hold at once; more would only be more to lose.
    for _ in 0..9 {
        rotate(&team, &first, None).await;
    }
    team.post(&format!("{path}/rotate"), json!({})).await.expect_problem(409, "conflict");
    third.accepted(lead("5b")).await;

    // Switched off, it is as if it did not exist; switched on again, its secret holds again.
    team.patch(&path, json!({"status": "disabled"})).await.expect(200);
    third.send(&lead("6")).await.expect_problem(401, "signature_invalid");
    team.patch(&path, json!({"status": "active"})).await.expect(200);
    third.accepted(lead("6")).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_is_shown_once_noted_rarely_and_ends_at_once(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let made = team.post("/v1/api-keys", json!({"name": "CI", "role": "viewer"})).await.expect(201);
    let (id, key) = (text(&made, "/id"), text(&made, "/key"));
    assert!(key.starts_with(&text(&made, "/prefix")) && text(&made, "/prefix").len() == 12, "{made}");
    let listed = team.get("/v1/api-keys").await;
    assert!(!listed.text.contains(&key) && listed.text.contains(&id), "{}", listed.text);

    // Many at one moment, and more after: the row is written once.
    let uuid = id.parse::<shared::id::ApiKeyId>().unwrap().uuid();
    let row = async || {
        let row = "select xmin::text, last_used_at is not null from api_keys where id = $1";
        sqlx::query_as::<_, (String, bool)>(row).bind(uuid).fetch_one(&pool).await.unwrap()
    };
    let (fresh, used) = row().await;
    assert!(!used);
    let viewer = Team { key, ..team.clone() };
    let all = futures::future::join_all((0..8).map(|_| viewer.get("/v1/workspace"))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    let (noted, used) = row().await;
    assert!(used && noted != fresh);
    viewer.get("/v1/workspace").await.expect(200);
    assert_eq!(row().await, (noted.clone(), true), "a second use within the minute writes nothing");
    sqlx::query("update api_keys set last_used_at = now() - interval '2 minutes'").execute(&pool).await.unwrap();
    // A transaction that holds the row (a revocation under way) does not hold up who uses the key.
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("select 1 from api_keys where id = $1 for update").bind(uuid).execute(&mut *tx).await.unwrap();
    viewer.get("/v1/workspace").await.expect(200);
    tx.rollback().await.unwrap();

    let path = format!("/v1/api-keys/{id}");
    let revoked = team.delete(&path).await.expect(200);
    viewer.get("/v1/workspace").await.expect_problem(401, "unauthorized");
    assert_eq!(team.delete(&path).await.expect(200), revoked, "a second time changes nothing");
    let trail = team.get(&format!("/v1/audit?object={id}&action=api_key.revoke")).await.expect(200);
    assert_eq!(trail["data"].as_array().unwrap().len(), 1, "{trail}");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_last_admin_key_stays(pool: PgPool) {
    let service = Service::start(&pool).await;
    let body = json!({"name": "Acme", "slug": "acme", "plan": "starter"});
    let made = service.ask(OPERATOR, Method::POST, "/v1/workspaces", Some(&body)).await.expect(201);
    let team = Team { service: service.clone(), workspace: text(&made, "/id"), key: text(&made, "/api_key/key") };
    let own = format!("/v1/api-keys/{}", text(&made, "/api_key/id"));
    team.with_key("member", true).await;
    team.delete(&own).await.expect_problem(409, "conflict");

    let second = team.post("/v1/api-keys", json!({"name": "two", "role": "admin"})).await.expect(201);
    let second_path = format!("/v1/api-keys/{}", text(&second, "/id"));
    let other = Team { key: text(&second, "/key"), ..team.clone() };
    // Two admins who revoke each other at one moment: one of them is left.
    let (a, b) = tokio::join!(team.delete(&second_path), other.delete(&own));
    let mut ended = [a.status.as_u16(), b.status.as_u16()];
    ended.sort_unstable();
    assert_eq!(ended[0], 200, "{} {}", a.text, b.text);
    assert!([401, 409].contains(&ended[1]), "{} {}", a.text, b.text);
    let left =
        sqlx::query_scalar::<_, i64>("select count(*) from api_keys where role = 'admin' and revoked_at is null");
    assert_eq!(left.fetch_one(&pool).await.unwrap(), 1);
}
