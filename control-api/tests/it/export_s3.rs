//! Exports on storage that speaks S3: a small double of the service, which keeps objects, checks what is signed, and can
//! hold an upload back, so that a test decides when a run goes on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tokio::sync::Notify;

use super::{
    export_http::{ask, file, until},
    service::{Service, Team, text},
};

/// The double.
#[derive(Clone, Default)]
struct Bucket(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<Contents>,
    /// Something has changed.
    changed: Notify,
}

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Bytes>,
    /// Parts that no object has been made of yet.
    uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    /// What was done, in order.
    log: Vec<String>,
    /// Uploads of keys that end like this wait.
    held: Option<String>,
    /// Uploads are refused.
    refusing: bool,
}

impl Bucket {
    /// Starts it, and a service that exports to it.
    async fn start(pool: &PgPool) -> (Self, Service) {
        let bucket = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(bucket.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let options = format!(
            "aws_endpoint={endpoint},aws_allow_http=true,aws_region=auto,aws_access_key_id=double,aws_secret_access_key=s3"
        );
        let arguments = ["--export-url", "s3://bucket/some/exports", "--export-options", &options];
        (bucket, Service::with(pool, &arguments).await)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> T {
        let answer = change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_waiters();
        answer
    }

    /// Waits until the contents are as awaited.
    async fn until(&self, what: &str, is_so: impl Fn(&Contents) -> bool) {
        let wait = async {
            loop {
                let changed = self.0.changed.notified();
                if is_so(&self.0.state.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.0.state.lock().unwrap().log);
    }

    fn keys(&self) -> Vec<String> {
        self.change(|contents| contents.objects.keys().cloned().collect())
    }
}

async fn answer(State(bucket): State<Bucket>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let given = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    // What was signed is what came: under the key that was given, with the sum of this body.
    let signed = given("authorization");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=double/"), "{signed}");
    assert!(signed.contains("/auto/s3/aws4_request"), "{signed}");
    let sum = given("x-amz-content-sha256");
    assert!(sum == hex::encode(Sha256::digest(&body)) || sum == "UNSIGNED-PAYLOAD", "{sum}");

    let path = head.uri.path().to_owned();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let Some(key) = path.strip_prefix("/bucket/").map(str::to_owned) else {
        return delete_many(&bucket, &String::from_utf8_lossy(&body));
    };
    let upload = query.get("uploadId");
    match (head.method, upload) {
        (Method::PUT, upload) => {
            bucket.change(|contents| contents.log.push(format!("put {key}")));
            bucket.until("let go", |contents| !contents.held.as_ref().is_some_and(|end| key.ends_with(end))).await;
            let refused = bucket.change(|contents| {
                if contents.refusing {
                    return true;
                }
                match upload {
                    Some(upload) => {
                        let part = query["partNumber"].parse().unwrap();
                        contents.uploads.get_mut(upload).unwrap().insert(part, body);
                    }
                    None => drop(contents.objects.insert(key, body)),
                }
                false
            });
            if refused { StatusCode::FORBIDDEN.into_response() } else { [(header::ETAG, "\"1\"")].into_response() }
        }
        (Method::POST, None) if query.contains_key("uploads") => {
            bucket.change(|contents| contents.uploads.insert(key.clone(), BTreeMap::new()));
            format!("<InitiateMultipartUploadResult><UploadId>{key}</UploadId></InitiateMultipartUploadResult>")
                .into_response()
        }
        (Method::POST, Some(upload)) => {
            bucket.change(|contents| {
                let parts = contents.uploads.remove(upload).unwrap();
                contents.log.push(format!("complete {} parts", parts.len()));
                let whole: Vec<u8> = parts.into_values().flatten().collect();
                contents.objects.insert(key, whole.into());
            });
            "<CompleteMultipartUploadResult><ETag>\"2\"</ETag></CompleteMultipartUploadResult>".into_response()
        }
        (Method::DELETE, Some(upload)) => {
            bucket.change(|contents| {
                contents.uploads.remove(upload);
                contents.log.push("abort".to_owned());
            });
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET, _) => match bucket.change(|contents| contents.objects.get(&key).cloned()) {
            Some(object) => {
                let headers = [(header::ETAG, "\"1\""), (header::LAST_MODIFIED, "Sun, 01 Mar 2026 00:00:00 GMT")];
                (headers, Body::from(object)).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        other => panic!("not expected: {other:?} {path}"),
    }
}

fn delete_many(bucket: &Bucket, body: &str) -> Response {
    let keys: Vec<String> = body
        .split("<Key>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</Key>").map(|(key, _)| key.to_owned()))
        .collect();
    assert!(!keys.is_empty(), "{body}");
    bucket.change(|contents| {
        for key in &keys {
            contents.objects.remove(key);
            contents.log.push(format!("delete {key}"));
        }
    });
    let deleted: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
    format!("<DeleteResult>{deleted}</DeleteResult>").into_response()
}

/// Attributed sales, without the way there.
async fn store_sales(pool: &PgPool, team: &Team, count: i32) {
    let (_, link) = team.campaign().await;
    sqlx::query(
        "insert into conversions (workspace_id, id, source_id, event_id, payload_hash, type, occurred_at, status, method,
           attributed_at, link_id, destination, partner_id, partner_key, partner_name, amount_minor, currency, flags)
         select p.workspace_id, uuidv7(), p.id, 'ev-' || n, '', 'sale', now(), 'attributed', 'token', now(), $3,
           repeat('x', 2000), p.id, p.key, p.display_name, n, 'EUR', '{}'
         from partners p, generate_series(1, $2) n where p.workspace_id = $1",
    )
    .bind(team.id().uuid())
    .bind(count)
    .bind(text(&link, "/id").parse::<shared::id::LinkId>().unwrap().uuid())
    .execute(pool)
    .await
    .unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_great_file_goes_up_in_parts(pool: PgPool) {
    let (bucket, service) = Bucket::start(&pool).await;
    let team = service.team().await;
    store_sales(&pool, &team, 10_000).await;
    let export = ask(&team, "conversions").await;
    let _work = service.work();
    let done = until(&team, &export, "completed").await;
    assert_eq!(done["rows"], 10_000, "{done}");

    let key = format!("some/exports/{}/{}-1.csv", team.workspace, text(&export, "/id"));
    let (log, object) =
        bucket.change(|contents| (contents.log.clone(), contents.objects.get(&key).cloned().expect("the object")));
    assert!(done["bytes"].as_u64() > Some(16 << 20), "more than two parts: {done}");
    assert_eq!(log.last().map(String::as_str), Some("complete 3 parts"), "{log:?}");
    let answer = file(&team, &export).await;
    assert_eq!((answer.text.as_bytes(), answer.status.as_u16()), (&object[..], 200));
    assert_eq!(answer.headers[header::CONTENT_LENGTH], done["bytes"].to_string());
    assert_eq!(answer.text.lines().count(), 10_001);

    sqlx::query("update exports set expires_at = now()").execute(&pool).await.unwrap();
    control_api::jobs::exports::clear(&service.app).await.unwrap();
    assert_eq!(bucket.keys(), Vec::<String>::new());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_run_that_was_taken_for_dead_leaves_nothing(pool: PgPool) {
    let (bucket, service) = Bucket::start(&pool).await;
    let team = service.team().await;
    store_sales(&pool, &team, 3).await;
    bucket.change(|contents| contents.held = Some("-1.csv".to_owned()));
    let export = ask(&team, "conversions").await;
    let _work = service.work();
    // The first run hangs in its upload. Its lease passes; whenever it is heard again, it passes again.
    bucket.until("the first run", |contents| !contents.log.is_empty()).await;
    let taken_over = async {
        loop {
            let expire = "update exports set leased_until = now() where attempts = 1 and status = 'running'";
            if sqlx::query(expire).execute(&pool).await.unwrap().rows_affected() == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), taken_over).await.expect("a second run");
    let done = until(&team, &export, "completed").await;
    assert_eq!(done["rows"], 3);
    let second = format!("some/exports/{}/{}-2.csv", team.workspace, text(&export, "/id"));
    assert_eq!(bucket.keys(), std::slice::from_ref(&second));
    let whole = file(&team, &export).await;

    // The first one comes to its end after all: too late, and it knows.
    bucket.change(|contents| contents.held = None);
    let first = second.replace("-2.csv", "-1.csv");
    let removed = format!("delete {first}");
    // The second run removed what might have been there already; now it is removed indeed.
    let twice = |contents: &Contents| contents.log.iter().filter(|line| **line == removed).count() == 2;
    bucket.until("the late file's end", twice).await;
    assert_eq!(bucket.keys(), std::slice::from_ref(&second));
    assert_eq!(until(&team, &export, "completed").await, done);
    let again = file(&team, &export).await;
    assert_eq!((again.text, again.status.as_u16()), (whole.text, 200));
    assert_eq!(again.headers[header::ETAG], whole.headers[header::ETAG]);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_export_called_off_while_it_is_written_leaves_nothing(pool: PgPool) {
    let (bucket, service) = Bucket::start(&pool).await;
    let team = service.team().await;
    store_sales(&pool, &team, 3).await;
    bucket.change(|contents| contents.held = Some(".csv".to_owned()));
    let export = ask(&team, "conversions").await;
    let _work = service.work();
    bucket.until("the run", |contents| !contents.log.is_empty()).await;
    assert_eq!(until(&team, &export, "running").await["bytes"], json!(null));
    let path = format!("/v1/exports/{}", text(&export, "/id"));
    assert_eq!(team.delete(&path).await.expect(200)["status"], "cancelled");
    bucket.change(|contents| contents.held = None);
    // Its upload ends, and is removed.
    let removed = format!("delete some/exports/{}/{}-1.csv", team.workspace, text(&export, "/id"));
    bucket.until("the removal", |contents| contents.log.contains(&removed)).await;
    assert_eq!(bucket.keys(), Vec::<String>::new());
    assert_eq!(until(&team, &export, "cancelled").await["bytes"], json!(null));
    file(&team, &export).await.expect_problem(409, "conflict");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_storage_that_refuses_is_tried_again(pool: PgPool) {
    let (bucket, service) = Bucket::start(&pool).await;
    let team = service.team().await;
    store_sales(&pool, &team, 3).await;
    bucket.change(|contents| contents.refusing = true);
    let export = ask(&team, "conversions").await;
    let _work = service.work();
    bucket.until("a refusal", |contents| !contents.log.is_empty()).await;
    let failed = until(&team, &export, "queued").await;
    // Nothing of the inside is told.
    assert_eq!(failed["error"], "the database or the storage could not be read or written");
    bucket.change(|contents| contents.refusing = false);
    // Its pause is over.
    sqlx::query("update exports set leased_until = now()").execute(&pool).await.unwrap();
    let done = until(&team, &export, "completed").await;
    assert_eq!((&done["rows"], &done["error"]), (&json!(3), &json!(null)));
    assert_eq!(bucket.keys().len(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_file_that_is_shown_outlives_a_run_that_thinks_it_failed(pool: PgPool) {
    let (bucket, service) = Bucket::start(&pool).await;
    let team = service.team().await;
    store_sales(&pool, &team, 3).await;
    bucket.change(|contents| contents.held = Some("-1.csv".to_owned()));
    let export = ask(&team, "conversions").await;
    let _work = service.work();
    bucket.until("the run", |contents| !contents.log.is_empty()).await;
    // As if it had been completed and the answer lost on the way: what the run learns is an error.
    sqlx::query(
        "update exports set status = 'completed', bytes_written = 5, leased_until = null, completed_at = now(),
           expires_at = now() + interval '7 days'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let key = format!("some/exports/{}/{}-1.csv", team.workspace, text(&export, "/id"));
    bucket.change(|contents| {
        contents.objects.insert(key.clone(), "whole".into());
        contents.refusing = true;
        contents.held = None;
    });
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(bucket.keys(), [key]);
    assert_eq!(file(&team, &export).await.text, "whole");
}
