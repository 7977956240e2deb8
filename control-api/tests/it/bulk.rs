//! Many objects in one request: the good ones kept, the bad ones named with all their faults; files of rows.

use axum::http::{HeaderValue, Method, Request, header};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Answer, Service, Team, text};

/// Codes by pointer (or by line and column), sorted.
fn faults(errors: &Value) -> Vec<(String, String)> {
    let all = errors.as_array().unwrap_or_else(|| panic!("no faults: {errors}"));
    let place = |fault: &Value| match &fault["line"] {
        Value::Null => text(fault, "/pointer"),
        line => format!("{line} {}", fault["column"].as_str().unwrap_or("-")),
    };
    let mut faults: Vec<_> = all.iter().map(|fault| (place(fault), text(fault, "/code"))).collect();
    faults.sort();
    faults
}

fn expected(faults: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut faults: Vec<_> = faults.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect();
    faults.sort();
    faults
}

impl Team {
    async fn import(&self, path: &str, file: &str) -> Answer {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "text/csv; charset=utf-8");
        self.service.send(request.body(file.to_owned().into()).unwrap()).await
    }

    async fn keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header("idempotency-key", key)
            .header(header::CONTENT_TYPE, "application/json");
        self.service.send(request.body(body.to_string().into()).unwrap()).await
    }

    async fn count(&self, pool: &PgPool, table: &'static str) -> i64 {
        let sql = format!("select count(*) from {table} where workspace_id = $1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(self.id().uuid()).fetch_one(pool).await.unwrap()
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn good_partners_are_kept_and_bad_ones_named_with_all_their_faults(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    team.post("/v1/programs", json!({"name": "Creators"})).await.expect(201);
    team.post("/v1/partners", json!({"display_name": "There", "key": "there", "external_id": "x-0"})).await.expect(201);
    let answer = team
        .post(
            "/v1/partners/bulk",
            json!({"partners": [
                {"display_name": "Nomura", "primary_program": "key:creators", "tags": ["b", "a"]},
                {"display_name": "Nomura"},
                {"display_name": 5, "contact_email": "x", "nope": 1, "primary_program": "key:missing", "key": "there"},
                "no object",
                {"display_name": "Taken", "external_id": "x-0", "key": "there"},
                {"display_name": "Ada", "key": "ada", "external_id": "x-1"},
                {"display_name": "Ada again", "key": "ada", "external_id": "x-1"},
                {"display_name": "Ada"},
            ]}),
        )
        .await
        .expect(200);
    assert_eq!((&answer["created"], &answer["rejected"]), (&json!(4), &json!(4)), "{answer}");
    let results = answer["results"].as_array().unwrap();
    let kept: Vec<_> =
        results.iter().filter(|one| one["status"] == "created").map(|one| &one["partner"]["key"]).collect();
    // What one item asks for is not made of another's name.
    assert_eq!(kept, ["nomura", "nomura-2", "ada", "ada-2"]);
    assert_eq!(results[0]["id"], results[0]["partner"]["id"]);
    assert_eq!(results[0]["partner"]["primary_program"]["key"], "creators");
    assert!(results.iter().enumerate().all(|(index, one)| one["index"] == index), "{answer}");
    for (index, code, found) in [
        (
            2,
            "validation_failed",
            &[
                ("/partners/2/display_name", "type"),
                ("/partners/2/contact_email", "format"),
                ("/partners/2/nope", "unknown_field"),
                ("/partners/2/primary_program", "not_found"),
                ("/partners/2/key", "conflict"),
            ][..],
        ),
        (3, "validation_failed", &[("/partners/3", "type")]),
        (4, "conflict", &[("/partners/4/external_id", "conflict"), ("/partners/4/key", "conflict")]),
        (6, "validation_failed", &[("/partners/6/external_id", "duplicate"), ("/partners/6/key", "duplicate")]),
    ] {
        let rejected = &results[index];
        assert_eq!((&rejected["status"], &rejected["code"]), (&json!("rejected"), &json!(code)), "{rejected}");
        if index == 4 || index == 6 {
            assert!(rejected.get("id").is_none() && rejected.get("partner").is_none());
        }
        assert_eq!(faults(&rejected["errors"]), expected(found));
    }
    // They are listed in the order of the request, and each has its row in the audit trail.
    let listed = team.get("/v1/partners?sort=created_at").await.expect(200);
    let keys: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| text(one, "/key")).collect();
    assert_eq!(keys, ["there", "nomura", "nomura-2", "ada", "ada-2"]);
    let trail = team.get("/v1/audit?action=partner.create").await.expect(200);
    let audited: Vec<_> = trail["data"].as_array().unwrap().iter().map(|one| text(one, "/after/key")).collect();
    assert_eq!(audited, ["ada-2", "ada", "nomura-2", "nomura", "there"]);
}

#[sqlx::test(migrations = "../migrations")]
async fn good_links_are_kept_and_bad_ones_named_with_all_their_faults(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let other = format!("other.{host}");
    let gone = format!("gone.{host}");
    for name in [&other, &gone] {
        team.post("/v1/domains", json!({"hostname": name})).await.expect(201);
    }
    team.patch(&format!("/v1/domains/{gone}"), json!({"status": "archived"})).await.expect(200);
    let defaults =
        json!({"name": "Defaults", "default_destination_url": "https://d.example.com/", "utm": {"source": "d"}});
    team.post("/v1/programs", defaults).await.expect(201);
    team.post("/v1/programs", json!({"name": "Paused", "status": "paused"})).await.expect(201);
    let asleep = json!({"display_name": "Asleep", "primary_program": "key:paused", "external_id": "crm 1/2"});
    team.post("/v1/partners", asleep).await.expect(201);
    team.post("/v1/partners", json!({"display_name": "Banned", "status": "paused"})).await.expect(201);
    let to = "https://shop.example.com/";
    let answer = team
        .post(
            "/v1/links/bulk",
            json!({"links": [
                {"domain": host, "destination": to},
                {"domain": host, "destination": to},
                {"domain": host, "slug": "a", "program": "key:defaults", "partner": "key:nomura", "apply_program_defaults": true},
                {"domain": host, "slug": "a", "destination": to},
                {"domain": other, "slug": "a", "destination": to},
                {"domain": host, "slug": "nomura", "destination": "ftp://x"},
                {"domain": gone, "slug": "b", "destination": to},
                {"domain": host, "slug": "c", "destination": to, "partner": "ext:crm 1/2"},
                {"domain": "nowhere.example.com", "slug": "a/", "partner": "key:banned", "program": "key:paused", "destination": to, "x": 1},
                {"domain": host, "partner": "key:nomura"},
                {"domain": host, "slug": "d", "destination": to, "partner": "key:nobody"},
            ]}),
        )
        .await
        .expect(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!((&answer["created"], &answer["rejected"]), (&json!(5), &json!(6)), "{answer}");
    assert_eq!(results[2]["link"]["assignment"]["partner"]["key"], "nomura");
    assert_eq!(results[2]["link"]["destination"], "https://d.example.com/");
    assert_eq!(results[2]["link"]["utm"], json!({"source": "d"}));
    assert_ne!(results[0]["link"]["slug"], results[1]["link"]["slug"]);
    assert_eq!(results[7]["link"]["warnings"], json!(["primary_program_paused"]));
    assert_eq!(results[7]["link"]["assignment"]["program"], Value::Null);
    for (index, code, found) in [
        (3, "validation_failed", &[("/links/3/slug", "duplicate")][..]),
        (5, "validation_failed", &[("/links/5/destination", "scheme"), ("/links/5/slug", "conflict")]),
        (6, "domain_not_active", &[("/links/6/domain", "domain_not_active")]),
        (
            8,
            "validation_failed",
            &[
                ("/links/8/domain", "not_found"),
                ("/links/8/slug", "format"),
                ("/links/8/x", "unknown_field"),
                ("/links/8/partner", "partner_not_active"),
                ("/links/8/program", "program_not_active"),
            ],
        ),
        (9, "validation_failed", &[("/links/9/destination", "required")]),
        (10, "not_found", &[("/links/10/partner", "not_found")]),
    ] {
        assert_eq!(results[index]["code"], code, "{}", results[index]);
        assert_eq!(faults(&results[index]["errors"]), expected(found));
    }
    // What was made redirects, and belongs to whom it was given.
    let visited = service.visit(&host, "a", service.now()).await;
    assert_eq!(visited.click["partner"]["key"], "nomura", "{}", visited.click);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bulk_request_is_bounded_guarded_and_repeatable(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let items = |count: usize| json!({"partners": vec![json!({"display_name": "Same"}); count]});
    for body in [items(0), items(501), json!({"partners": {}}), json!({}), json!({"partners": [], "more": 1})] {
        team.post("/v1/partners/bulk", body).await.expect_problem(422, "validation_failed");
    }
    // 500 of one name, which get keys of their own, and the same answer again for the same request.
    let first = team.keyed("/v1/partners/bulk", "k-1", &items(500)).await;
    assert_eq!(first.json["created"], 500, "{}", &first.text[..200]);
    let again = team.keyed("/v1/partners/bulk", "k-1", &items(500)).await;
    assert_eq!((&again.headers["idempotent-replayed"], &again.json), (&HeaderValue::from_static("true"), &first.json));
    assert_eq!(team.count(&pool, "partners").await, 501);
    team.keyed("/v1/partners/bulk", "k-1", &items(2)).await.expect_problem(422, "idempotency_key_reused");

    let links = |partner: Option<&str>| {
        let one = json!({"domain": host, "destination": "https://shop.example.com/", "partner": partner});
        json!({"links": [one]})
    };
    let member = team.with_key("member", false).await;
    member.post("/v1/links/bulk", links(Some("key:nomura"))).await.expect(200);
    member.post("/v1/partners/bulk", items(1)).await.expect_problem(403, "role_forbidden");
    team.with_key("viewer", false)
        .await
        .post("/v1/links/bulk", links(None))
        .await
        .expect_problem(403, "role_forbidden");
    let plain = service.team_on("starter").await;
    plain.post("/v1/domains", json!({"hostname": format!("plain.{host}")})).await.expect(201);
    let mut mine = links(None);
    mine["links"][0]["domain"] = json!(format!("plain.{host}"));
    plain.post("/v1/links/bulk", mine.clone()).await.expect(200);
    mine["links"][0]["partner"] = json!("key:nomura");
    plain.post("/v1/links/bulk", mine).await.expect_problem(403, "plan_required");
}

#[sqlx::test(migrations = "../migrations")]
async fn erasure_reaches_the_stored_answers_of_bulk_requests(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    let body = json!({"partners": [
        {"display_name": "Ada", "contact_email": "ada@example.com", "metadata": {"vat": "1"}},
        {"display_name": "Bob", "contact_email": "bob@example.com"},
    ]});
    team.keyed("/v1/partners/bulk", "k", &body).await.expect(200);
    team.post("/v1/partners/key:ada/erase", json!({})).await.expect(200);
    let replayed = team.keyed("/v1/partners/bulk", "k", &body).await.expect(200);
    assert_eq!(replayed["results"][0]["partner"]["contact_email"], Value::Null, "{replayed}");
    assert_eq!(replayed["results"][0]["partner"]["metadata"], json!({}));
    assert_eq!(replayed["results"][1]["partner"]["contact_email"], "bob@example.com");
    assert_eq!(replayed["results"][1]["index"], 1);
}

const PARTNERS: &str = "\u{feff}display_name,key,tags,invite.channel,metadata.tier,primary_program\r\n\
    Nomura,nomura,gold; vip,mail,1,key:creators\r\n\
    \"Lumen, \"\"Studio\"\"\",,,,,\r\n";

#[sqlx::test(migrations = "../migrations")]
async fn a_file_of_partners_is_tried_and_then_imported(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    team.post("/v1/programs", json!({"name": "Creators"})).await.expect(201);
    let audited = team.count(&pool, "audit").await;
    let tried = team.import("/v1/partners/import?dry_run=true", PARTNERS).await.expect(200);
    assert_eq!(
        tried,
        json!({"dry_run": true, "rows": 2, "valid": 2, "rejected": 0, "created": 0, "objects": [], "errors": []})
    );
    assert_eq!((team.count(&pool, "partners").await, team.count(&pool, "audit").await), (0, audited));

    let made = team.import("/v1/partners/import", PARTNERS).await.expect(200);
    assert_eq!((&made["created"], &made["objects"][1]["line"]), (&json!(2), &json!(3)), "{made}");
    assert_eq!(made["objects"][1]["key"], "lumen-studio");
    let nomura = team.get(&format!("/v1/partners/{}", text(&made, "/objects/0/id"))).await.expect(200);
    assert_eq!(nomura["tags"], json!(["gold", "vip"]));
    assert_eq!(nomura["invite"]["channel"], "mail");
    assert_eq!(nomura["metadata"], json!({"tier": "1"}));
    assert_eq!(nomura["primary_program"]["key"], "creators");
    let lumen = team.get("/v1/partners/key:lumen-studio").await.expect(200);
    assert_eq!(lumen["display_name"], "Lumen, \"Studio\"");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_file_with_faults_names_every_line_and_writes_nothing_unless_told(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    let (host, _) = team.campaign().await;
    let file = format!(
        "domain,slug,destination,utm.source,custom_query.ref,tags,forward_query,partner,variants\n\
         {host},good,https://a.example.com/,s,r,x;y,true,key:nomura,\n\
         {host},nomura,ftp://x,,,,maybe,key:nobody,\n\
         nowhere.example.com,good,https://a.example.com/,,,,,,{{\n\
         {host},good,https://a.example.com/,,,,,,\n\
         {host},short\n"
    );
    let found = expected(&[
        ("3 destination", "scheme"),
        ("3 forward_query", "type"),
        ("3 partner", "not_found"),
        ("3 slug", "conflict"),
        ("4 domain", "not_found"),
        ("4 variants", "format"),
        ("5 slug", "duplicate"),
        ("6 -", "length"),
    ]);
    let tried = team.import("/v1/links/import?dry_run=true", &file).await.expect(200);
    assert_eq!((&tried["rows"], &tried["valid"], &tried["rejected"]), (&json!(5), &json!(1), &json!(4)), "{tried}");
    assert_eq!(faults(&tried["errors"]), found);
    let refused = team.import("/v1/links/import", &file).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(faults(&refused.json["errors"]), found);
    assert_eq!(team.count(&pool, "links").await, 1);

    let partial = team.import("/v1/links/import?partial=true", &file).await.expect(200);
    assert_eq!((&partial["created"], &partial["rejected"]), (&json!(1), &json!(4)), "{partial}");
    assert_eq!(faults(&partial["errors"]), found);
    let good = team.get(&format!("/v1/links/{}", text(&partial, "/objects/0/id"))).await.expect(200);
    assert_eq!(good["short_url"], partial["objects"][0]["short_url"]);
    assert_eq!(
        (&good["utm"], &good["custom_query"], &good["tags"], &good["forward_query"]),
        (&json!({"source": "s"}), &json!({"ref": "r"}), &json!(["x", "y"]), &json!(true))
    );
    assert_eq!(good["assignment"]["partner"]["key"], "nomura");

    // A column that nobody knows would lose what stands in it, so nothing is made even in part.
    let unknown = format!("domain,destnation\n{host},https://a.example.com/\n");
    let refused = team.import("/v1/links/import?partial=true", &unknown).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(
        faults(&refused.json["errors"]),
        expected(&[("1 destnation", "unknown_field"), ("2 destination", "required")])
    );
    assert_eq!(team.count(&pool, "links").await, 2);

    let json = team.send(Method::POST, "/v1/links/import", Some(&json!({}))).await;
    json.expect_problem(415, "unsupported_media_type");
    team.import("/v1/links/import", "").await.expect_problem(422, "validation_failed");
    team.import("/v1/links/import?dry_run=yes", &file).await.expect_problem(422, "validation_failed");
    let long = format!("domain,destination\n{}", format!("{host},https://a.example.com/\n").repeat(1_001));
    team.import("/v1/links/import?dry_run=true", &long).await.expect_problem(422, "validation_failed");
}

#[sqlx::test(migrations = "../migrations")]
async fn two_requests_for_the_same_names_never_lock_each_other_out(pool: PgPool) {
    let team = Service::start(&pool).await.team().await;
    let (host, _) = team.campaign().await;
    let link =
        |slug: usize| json!({"domain": host, "slug": format!("s{slug}"), "destination": "https://a.example.com/"});
    let partner = |key: usize| json!({"display_name": format!("P{key}"), "key": format!("k{key}")});
    let named = |name: usize| json!({"display_name": format!("N{name}")});
    for (path, all, one) in [
        ("/v1/links/bulk", "links", &link as &dyn Fn(usize) -> Value),
        ("/v1/partners/bulk", "partners", &partner),
        ("/v1/partners/bulk", "partners", &named),
    ] {
        let forth = json!({all: (0..100).map(one).collect::<Vec<_>>()});
        let back = json!({all: (0..100).rev().map(one).collect::<Vec<_>>()});
        let (a, b) = tokio::join!(team.post(path, forth), team.post(path, back));
        let (a, b) = (a.expect(200), b.expect(200));
        let created = a["created"].as_u64().unwrap() + b["created"].as_u64().unwrap();
        // Names that were asked for are had once; names that are made differ.
        let once = if a["rejected"] == 0 && b["rejected"] == 0 { 200 } else { 100 };
        assert_eq!(created, once, "{path}");
    }
    assert_eq!(team.count(&pool, "links").await, 101);
    assert_eq!(team.count(&pool, "partners").await, 301);
}
