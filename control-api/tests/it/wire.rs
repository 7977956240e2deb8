//! What holds for every answer: headers, methods, media types, sizes.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::json;
use sqlx::PgPool;

use super::{
    everything::Everything,
    routes,
    service::{Answer, Service},
};

#[sqlx::test(migrations = "../migrations")]
async fn no_cache_keeps_an_answer_and_no_browser_guesses_its_type(pool: PgPool) {
    let service = Service::start(&pool).await;
    let everything = Everything::make(&service, "kyoto").await;
    for route in routes::all().into_iter().filter(|route| route.method == Method::GET) {
        let path = route.fill(|collection| everything.id(collection));
        for key in [everything.team.key.as_str(), "nim_wrong"] {
            let answer = service.ask(key, Method::GET, &path, None).await;
            assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            let cache = answer.headers[header::CACHE_CONTROL].to_str().unwrap();
            // A QR code never changes: its reader's own browser may keep it.
            let code = path.contains("/qr.") && answer.status == 200;
            assert!(cache.contains("no-store") || code && cache.starts_with("private,"), "{path}: {cache}");
            assert!(answer.headers.contains_key("x-request-id"), "{path}");
        }
    }
    for path in ["/docs", "/openapi.json"] {
        let page = service.ask("", Method::GET, path, None).await;
        assert_eq!((page.status.as_u16(), &page.headers[header::CACHE_CONTROL]), (200, &"no-cache".parse().unwrap()));
    }
    let docs = service.ask("", Method::GET, "/docs", None).await;
    assert!(docs.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
}

#[sqlx::test(migrations = "../migrations")]
async fn methods_are_answered_as_http_says(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let allow = |answer: &Answer| {
        let mut methods: Vec<_> =
            answer.headers[header::ALLOW].to_str().unwrap().split(',').map(str::to_owned).collect();
        methods.sort();
        methods.join(",")
    };
    // Also without a key: which methods a path takes stands in the document.
    for method in [Method::DELETE, Method::PUT, Method::TRACE, "PURGE".parse().unwrap()] {
        let answer = service.ask("", method, "/v1/partners", None).await;
        answer.expect_problem(405, "method_not_allowed");
        assert_eq!(allow(&answer), "GET,HEAD,POST");
    }
    let options = service.ask("", Method::OPTIONS, "/v1/partners", None).await;
    assert_eq!((options.status.as_u16(), allow(&options).as_str(), options.text.as_str()), (204, "GET,HEAD,POST", ""));
    assert!(!options.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "keys are not for browsers");
    service.ask("", Method::OPTIONS, "/v1/nothing", None).await.expect_problem(404, "not_found");

    let head = team.send(Method::HEAD, "/v1/workspace", None).await;
    let get = team.get("/v1/workspace").await;
    assert_eq!((head.status, head.text.as_str()), (get.status, ""));
    assert_eq!(head.headers[header::CONTENT_LENGTH], get.text.len().to_string());
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_sent_and_wanted_is_read_leniently_and_bounded(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let send = async |method: Method, path: &str, name: header::HeaderName, value: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).header(name, value);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", team.key));
        service.send(request.body(Body::from(body)).unwrap()).await
    };
    // JSON is answered whatever is accepted: an answer of another type says more than 406 would.
    for accept in ["text/html", "application/xml;q=0.5", "*/*", "nonsense"] {
        let answer = send(Method::GET, "/v1/workspace", header::ACCEPT, accept, vec![]).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers[header::CONTENT_TYPE]),
            (200, &"application/json".parse().unwrap())
        );
    }
    let domain = |host: &str| json!({"hostname": host}).to_string().into_bytes();
    let kinds = [("application/json; charset=utf-8", 201), ("application/merge-patch+json", 201), ("text/plain", 415)];
    for (number, (kind, status)) in kinds.into_iter().enumerate() {
        let body = domain(&format!("host{number}.example.com"));
        let answer = send(Method::POST, "/v1/domains", header::CONTENT_TYPE, kind, body).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}: {}", answer.text);
    }
    let large = vec![b' '; (1 << 20) + 1];
    for path in ["/v1/domains", "/v1/sources/src_none/rotate"] {
        let answer = send(Method::POST, path, header::CONTENT_TYPE, "application/json", large.clone()).await;
        answer.expect_problem(413, "payload_too_large");
    }
    // A request's id comes back if it is plain and short, and is replaced if it isn't.
    let id = header::HeaderName::from_static("x-request-id");
    let (plain, long) = ("a.B-9_".repeat(10), "a".repeat(65));
    let echoed = send(Method::GET, "/v1/workspace", id.clone(), &plain, vec![]).await;
    assert_eq!(echoed.headers["x-request-id"], plain);
    for odd in [long.as_str(), "", "a b", "{\"a\":1}"] {
        let made = send(Method::GET, "/v1/nothing", id.clone(), odd, vec![]).await;
        let made_id = made.headers["x-request-id"].to_str().unwrap();
        assert!(made_id.starts_with("req_") && made.json["request_id"] == made_id, "{odd}: {made_id}");
    }
}
