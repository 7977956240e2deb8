//! The answers that openapi.json shows are answers of the service. A story is told to it with the document's own
//! examples of bodies, and what it answers is kept in `src/openapi/answers.json`, by operation: with `NIM_WRITE_EXAMPLES`
//! in the environment this test writes that file, without it compares.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::LazyLock,
};

use axum::http::{Method, Request, header};
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use super::service::{OPERATOR, Service, Source, Team, text};

const ANSWERS: &str = include_str!("../../src/openapi/answers.json");

/// The document's examples of bodies.
fn body(schema: &str) -> Value {
    static WRITTEN: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("../../src/openapi/bodies.json")).unwrap());
    let body = &WRITTEN[schema];
    assert!(body.is_object(), "no example of {schema}");
    body.clone()
}

/// Remembers answers by their operation.
struct Scribe {
    team: Team,
    answers: BTreeMap<String, Value>,
}

impl Scribe {
    /// Makes a request, keeps its answer under the operation's path, and returns it.
    async fn note(&mut self, method: Method, operation: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.team.send(method.clone(), path, body.as_ref()).await;
        self.keep(&method, operation, &answer.json);
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
        answer.json
    }

    fn keep(&mut self, method: &Method, operation: &str, answer: &Value) {
        self.answers.insert(format!("{} {operation}", method.as_str().to_lowercase()), answer.clone());
    }

    async fn get(&mut self, operation: &str, path: &str) -> Value {
        self.note(Method::GET, operation, path, None).await
    }

    async fn post(&mut self, operation: &str, path: &str, body: Value) -> Value {
        self.note(Method::POST, operation, path, Some(body)).await
    }

    async fn patch(&mut self, operation: &str, path: &str, schema: &str) -> Value {
        self.note(Method::PATCH, operation, path, Some(body(schema))).await
    }

    async fn import(&mut self, operation: &str, file: &str) {
        let request = Request::post(operation).header(header::CONTENT_TYPE, "text/csv");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.team.key));
        let answer = self.team.service.send(request.body(file.to_owned().into()).unwrap()).await;
        self.keep(&Method::POST, operation, &answer.expect(200));
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_documents_answers_are_the_services(pool: PgPool) {
    let service = Service::start(&pool).await;
    let told = tidy(tell(&service).await);
    if std::env::var_os("NIM_WRITE_EXAMPLES").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openapi/answers.json");
        std::fs::write(file, serde_json::to_string_pretty(&told).unwrap() + "\n").unwrap();
        return;
    }
    let kept: Map<String, Value> = serde_json::from_str(ANSWERS).unwrap();
    for (operation, answer) in &told {
        assert_eq!(
            kept.get(operation),
            Some(answer),
            "{operation}: run this test with NIM_WRITE_EXAMPLES=1, then `cargo xtask openapi`"
        );
    }
    let document = control_api::router::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                if status.starts_with('2') && answer["content"]["application/json"].is_object() {
                    assert!(told.contains_key(&format!("{method} {path}")), "the story lacks {method} {path}");
                }
            }
        }
    }
}

async fn tell(service: &Service) -> BTreeMap<String, Value> {
    let operator = Team { service: service.clone(), workspace: String::new(), key: OPERATOR.to_owned() };
    let mut scribe = Scribe { team: operator, answers: BTreeMap::new() };
    scribe.get("/healthz", "/healthz").await;
    scribe.get("/readyz", "/readyz").await;
    let made = scribe.post("/v1/workspaces", "/v1/workspaces", body("NewWorkspace")).await;
    let workspace = text(&made, "/id");
    scribe.patch("/v1/workspaces/{id}", &format!("/v1/workspaces/{workspace}"), "OperatorChange").await;

    scribe.team = Team { service: service.clone(), workspace, key: text(&made, "/api_key/key") };
    let team = scribe.team.clone();
    setup(&mut scribe).await;
    let link = links(&mut scribe).await;
    let source = source(&mut scribe).await;
    events(&mut scribe, &source, &link).await;
    while super::service::fold(&service.app.db, 10_000).await > 0 {}
    let conversion = text(&team.get("/v1/conversions?type=sale").await.expect(200), "/data/0/id");
    scribe.get("/v1/conversions", "/v1/conversions?type=sale").await;
    scribe.get("/v1/conversions/{id}", &format!("/v1/conversions/{conversion}")).await;
    scribe.get("/v1/conversions/{id}/explain", &format!("/v1/conversions/{conversion}/explain")).await;
    sqlx::query("delete from outbox").execute(&service.app.db).await.unwrap();
    scribe.get("/v1/links/{id}/attribution-check", &format!("/v1/links/{link}/attribution-check")).await;
    scribe.get("/v1/partners/{partner}/activity", "/v1/partners/key:nomura/activity?limit=4").await;
    let day = |days: i64| {
        let at = model::time::Timestamp::from_millis(service.now().plus(days * shared::Millis::DAY));
        json!(at).as_str().unwrap()[..10].to_owned()
    };
    let range = format!("from={}&to={}", day(-3), day(1));
    for kind in ["traffic", "conversions"] {
        let operation = format!("/v1/reports/{kind}");
        scribe.get(&operation, &format!("{operation}?{range}&group_by=partner&compare=previous")).await;
    }
    exports(&mut scribe, &day(-3), &day(1)).await;
    scribe.get("/v1/audit", "/v1/audit?action=partner.update&limit=1").await;
    scribe.note(Method::DELETE, "/v1/links/{id}/assignment", &format!("/v1/links/{link}/assignment"), None).await;
    scribe.get("/v1/links/{id}/assignments", &format!("/v1/links/{link}/assignments")).await;
    scribe.note(Method::POST, "/v1/partners/{partner}/erase", "/v1/partners/key:nomura/erase", None).await;

    scribe.team.key = OPERATOR.to_owned();
    let hour = &json!(model::time::Timestamp::from_millis(service.now())).as_str().unwrap()[..13].to_owned();
    let until = &json!(model::time::Timestamp::from_millis(service.now().plus(shared::Millis::HOUR))).as_str().unwrap()
        [..13]
        .to_owned();
    let range = format!("from={hour}:00:00Z&to={until}:00:00Z");
    scribe.get("/v1/admin/delivery", &format!("/v1/admin/delivery?{range}")).await;
    scribe.answers
}

async fn setup(scribe: &mut Scribe) {
    scribe.get("/v1/workspace", "/v1/workspace").await;
    scribe.patch("/v1/workspace", "/v1/workspace", "WorkspaceChange").await;
    let key = scribe.post("/v1/api-keys", "/v1/api-keys", body("NewApiKey")).await;
    scribe.get("/v1/api-keys", "/v1/api-keys").await;
    scribe.note(Method::DELETE, "/v1/api-keys/{id}", &format!("/v1/api-keys/{}", text(&key, "/id")), None).await;
    scribe.post("/v1/domains", "/v1/domains", body("NewDomain")).await;
    scribe.get("/v1/domains", "/v1/domains").await;
    scribe.get("/v1/domains/{domain}", "/v1/domains/go.acme.com").await;
    scribe.patch("/v1/domains/{domain}", "/v1/domains/go.acme.com", "DomainChange").await;
    scribe.post("/v1/programs", "/v1/programs", body("NewProgram")).await;
    scribe.get("/v1/programs", "/v1/programs").await;
    scribe.get("/v1/programs/{program}", "/v1/programs/key:creators").await;
    scribe.patch("/v1/programs/{program}", "/v1/programs/key:creators", "ProgramChange").await;
    scribe.team.patch("/v1/programs/key:creators", json!({"status": "active"})).await.expect(200);
    scribe.post("/v1/partners", "/v1/partners", body("NewPartner")).await;
    scribe.get("/v1/partners", "/v1/partners").await;
    scribe.get("/v1/partners/{partner}", "/v1/partners/key:nomura").await;
    scribe.patch("/v1/partners/{partner}", "/v1/partners/key:nomura", "PartnerChange").await;
    scribe.post("/v1/partners/{partner}/notes", "/v1/partners/key:nomura/notes", body("NewNote")).await;
    scribe.get("/v1/partners/{partner}/notes", "/v1/partners/key:nomura/notes").await;
    let two = json!({"partners": [{"display_name": "Ada Lovelace"}, {"display_name": "Kyoto Guide", "key": "nomura"}]});
    scribe.post("/v1/partners/bulk", "/v1/partners/bulk", two).await;
    scribe.import("/v1/partners/import", "display_name,key,tags\nGrace Hopper,grace,navy;code\n").await;
}

async fn links(scribe: &mut Scribe) -> String {
    let link = text(&scribe.post("/v1/links", "/v1/links", body("NewLink")).await, "/id");
    scribe.get("/v1/links", "/v1/links").await;
    let path = format!("/v1/links/{link}");
    scribe.get("/v1/links/{id}", &path).await;
    scribe.patch("/v1/links/{id}", &path, "LinkSettings").await;
    let assignment = format!("{path}/assignment");
    scribe.note(Method::PUT, "/v1/links/{id}/assignment", &assignment, Some(body("NewAssignment"))).await;
    let two = json!({"links": [
        {"domain": "go.acme.com", "slug": "spring", "destination": "https://shop.example.com/spring", "partner": "key:nomura"},
        {"domain": "go.acme.com", "slug": "nomura", "destination": "https://shop.example.com/"},
    ]});
    scribe.post("/v1/links/bulk", "/v1/links/bulk", two).await;
    let file = "domain,slug,destination,partner\ngo.acme.com,autumn,https://shop.example.com/autumn,key:nomura\n";
    scribe.import("/v1/links/import", file).await;
    link
}

async fn source(scribe: &mut Scribe) -> Source {
    let made = scribe.post("/v1/sources", "/v1/sources", body("NewSource")).await;
    let path = format!("/v1/sources/{}", text(&made, "/id"));
    scribe.get("/v1/sources", "/v1/sources").await;
    scribe.get("/v1/sources/{id}", &path).await;
    scribe.patch("/v1/sources/{id}", &path, "SourceChange").await;
    let rotated = scribe.post("/v1/sources/{id}/rotate", &format!("{path}/rotate"), body("Rotation")).await;
    let secret = shared::webhook::Secret::parse(&text(&rotated, "/secret")).unwrap();
    Source { service: scribe.team.service.clone(), id: text(&made, "/id"), secret }
}

async fn events(scribe: &mut Scribe, source: &Source, link: &str) {
    let service = scribe.team.service.clone();
    let visited = service.visit("go.acme.com", "nomura", service.now().plus(-3 * shared::Millis::DAY / 2)).await;
    service.deliver(&[&visited]).await;
    let latest = service.visit("go.acme.com", "nomura", service.now()).await;
    service.deliver(&[&latest]).await;
    let mut event = body("NewEvent");
    event["nim_ct"] = json!(latest.token);

    // With the clock of the sender five minutes late, and the secret's prefix signed along.
    let (id, raw) = ("msg_1", event.to_string());
    let at = service.now().plus(-400_000);
    let signature = shared::webhook::sign(&source.secret, id, at, raw.as_bytes());
    let request = Request::post(format!("/v1/sources/{}/test", source.id))
        .header(header::AUTHORIZATION, format!("Bearer {}", scribe.team.key))
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.seconds())
        .header("webhook-signature", signature);
    let tested = service.send(request.body(raw.into()).unwrap()).await.expect(200);
    scribe.keep(&Method::POST, "/v1/sources/{id}/test", &tested);

    let result = source.accepted(event).await;
    assert_eq!(result["attribution"]["link"]["id"], link);
    scribe.keep(&Method::POST, "/v1/sources/{source_id}/events", &result);
    source
        .accepted(json!({"event_id": "evt_1002", "type": "refund", "order_id": "A-1001", "amount_minor": 1000}))
        .await;
}

async fn exports(scribe: &mut Scribe, from: &str, to: &str) {
    let mut wish = body("NewExport");
    (wish["from"], wish["to"]) = (json!(from), json!(to));
    let made = scribe.post("/v1/exports", "/v1/exports", wish.clone()).await;
    let path = format!("/v1/exports/{}", text(&made, "/id"));
    // Its file is written once what it covers is settled, by Postgres' clock.
    sqlx::query("update exports set as_of = as_of - interval '10 s'")
        .execute(&scribe.team.service.app.db)
        .await
        .unwrap();
    let work = scribe.team.service.work();
    while scribe.team.get(&path).await.expect(200)["status"] != "completed" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(work);
    scribe.get("/v1/exports/{id}", &path).await;
    scribe.get("/v1/exports", "/v1/exports").await;
    let second = text(&scribe.team.post("/v1/exports", wish).await.expect(202), "/id");
    scribe.note(Method::DELETE, "/v1/exports/{id}", &format!("/v1/exports/{second}"), None).await;
}

/// The answers without what is another in each run: ids, moments, secrets.
fn tidy(answers: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut ids = Ids::default();
    answers
        .into_iter()
        .map(|(operation, mut answer)| {
            clean("", &mut answer, &mut ids);
            (operation, answer)
        })
        .collect()
}

fn clean(name: &str, value: &mut Value, ids: &mut Ids) {
    match value {
        Value::String(_) if name == "oldest_queued_at" => *value = Value::Null,
        Value::Object(_) if name == "rejected" => *value = json!({"too_late": 4}),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, field)| clean(name, field, ids)),
        Value::Array(items) => items.iter_mut().for_each(|item| clean(name, item, ids)),
        Value::String(text) => {
            let fixed = match name {
                "secret" => "whsec_…",
                "prefix" => "nim_a1b2c3d4",
                "key" if text.starts_with("nim_") => "nim_…",
                "request_id" => "req_5f3a1c2b9d8e7f6a4b3c2d1e",
                "body_sha256" => "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "signed_content_prefix" => "msg_1.1772357000.",
                "from" => "2026-03-01T00:00:00.000Z",
                "to" => "2026-03-05T00:00:00.000Z",
                "next_cursor" => "1772357400000000.assignment_started.019ca89b5e8f7e1a9b3c4d5e6f708192",
                "hour" => "2026-03-01T09:00:00.000Z",
                "expires_at" if text.starts_with("2027-06") => return,
                "expires_at" | "hold_until" => "2026-03-31T09:30:00.000Z",
                "previous_secret_expires_at" => "2026-03-02T09:30:00.000Z",
                _ => {
                    *text = moments(&ids.replaced(text));
                    return;
                }
            };
            fixed.clone_into(text);
        }
        Value::Number(_) => {
            // What grows with time, and counts that say more than those of one click.
            let fixed = match name {
                "timestamp" => 1_772_357_000,
                "skew_seconds" => -400,
                "minted" => 120_431,
                "stored" => 120_420,
                "duplicate" => 12,
                "in_flight" => 7,
                "queued" => 0,
                _ => return,
            };
            *value = json!(fixed);
        }
        _ => {}
    }
}

/// Ids that stay the same: of each prefix the first, the second, and so on.
#[derive(Default)]
struct Ids {
    known: HashMap<String, String>,
    count: HashMap<String, usize>,
}

impl Ids {
    fn replaced(&mut self, text: &str) -> String {
        const PREFIXES: [&str; 13] =
            ["ws", "key", "dom", "prg", "prt", "lnk", "asg", "clk", "src", "cnv", "exp", "note", "aud"];
        const LETTERS: &[u8] = b"qrstvwxyz0123456789abcdefghjkmnp";
        let mut out = String::new();
        let mut rest = text;
        while let Some(place) = rest.find('_') {
            let start = rest[..place].rfind(|c: char| !c.is_ascii_lowercase()).map_or(0, |at| at + 1);
            let prefix = &rest[start..place];
            let suffix = rest.get(place + 1..place + 27).unwrap_or_default();
            let is_id = suffix.len() == 26
                && suffix.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
                && (PREFIXES.contains(&prefix) || prefix == "sec");
            if !is_id {
                out.push_str(&rest[..=place]);
                rest = &rest[place + 1..];
                continue;
            }
            let id = &rest[start..place + 27];
            let count = self.count.entry(prefix.to_owned()).or_default();
            let stable = self.known.entry(id.to_owned()).or_insert_with(|| {
                let letter = LETTERS[*count % LETTERS.len()] as char;
                *count += 1;
                format!("{prefix}_01h455vb4pex5vsknk084sn02{letter}")
            });
            out.push_str(&rest[..start]);
            out.push_str(stable);
            rest = &rest[place + 27..];
        }
        out + rest
    }
}

/// Moments and days become one morning; spans of time and versions of records, which grow with time, stay the same.
fn moments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let like = |form: &str| {
            rest.len() >= form.len()
                && form.bytes().zip(rest.bytes()).all(|(form, byte)| match form {
                    b'0' => byte.is_ascii_digit(),
                    _ => form == byte,
                })
        };
        let forms = [
            ("0000-00-00T00:00:00.000Z", "2026-03-01T09:30:00.000Z"),
            ("0000-00-00", "2026-03-01"),
            ("0000000000000", "1772357400000"),
        ];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Some((form, fixed)) = forms.into_iter().find(|(form, _)| like(form)) {
            out.push_str(fixed);
            rest = &rest[form.len()..];
        } else if digits > 0 {
            out.push_str(if rest[digits..].starts_with(" ms") { "40" } else { &rest[..digits] });
            rest = &rest[digits..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}
