//! Lists: filters, orders, pages.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::{Service, codes, keys, text};

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

    // What is archived is hidden, and shown to who asks for it.
    let parked = team.post("/v1/domains", json!({"hostname": "parked.example.com"})).await.expect(201);
    let gone = team.get("/v1/links?tag=c").await.expect(200)["data"][0]["id"].clone();
    for (path, id) in [("links", &gone), ("domains", &parked["id"])] {
        let id = id.as_str().unwrap();
        let held = async |query: &str| {
            let page = team.get(&format!("/v1/{path}?{query}")).await.expect(200);
            keys(&page, "id").iter().any(|one| one == id)
        };
        assert!(held("").await, "{path}");
        team.patch(&format!("/v1/{path}/{id}"), json!({"status": "archived"})).await.expect(200);
        assert!(!held("").await && held("status=all").await && held("status=archived").await, "{path}");
        assert!(!held("status=active").await, "{path}");
    }

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
