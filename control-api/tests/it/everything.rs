//! A workspace with one of everything, all of it bearing one mark, for tests that walk the whole API.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{PgPool, Row as _};

use super::service::{Service, Source, Team, text};

/// The workspace.
pub struct Everything {
    pub team: Team,
    pub source: Source,
    /// In every name, key and text that the workspace chose.
    pub mark: String,
    pub hostname: String,
    pub token: String,
    ids: Vec<(&'static str, String)>,
}

impl Everything {
    /// Makes it: program, partner with a note, domain, assigned link, source, key, click, sale and export.
    pub async fn make(service: &Service, mark: &str) -> Self {
        let team = service.team().await;
        let hostname = format!("go.{mark}.example.com");
        let workspace = json!({"name": format!("{mark} workspace")});
        team.patch("/v1/workspace", workspace).await.expect(200);

        let terms = json!({"basis": "percentage", "rate_bps": 1000, "applies_to": ["sale"]});
        let program =
            json!({"name": format!("{mark} program"), "key": format!("{mark}-program"), "reward_terms": terms});
        let program = team.post("/v1/programs", program).await.expect(201);
        let partner = json!({
            "display_name": format!("{mark} partner"), "key": format!("{mark}-partner"),
            "external_id": format!("{mark}-external"), "contact_email": format!("{mark}@example.com"),
            "primary_program": format!("key:{mark}-program"), "tags": [mark],
        });
        let partner = team.post("/v1/partners", partner).await.expect(201);
        let notes = format!("/v1/partners/{}/notes", text(&partner, "/id"));
        team.post(&notes, json!({"text": format!("{mark} note")})).await.expect(201);
        let domain = team.post("/v1/domains", json!({"hostname": hostname})).await.expect(201);
        let link = json!({
            "domain": hostname, "slug": mark, "destination": format!("https://shop.example.com/{mark}"),
            "partner": format!("key:{mark}-partner"), "tags": [mark], "utm": {"campaign": mark},
        });
        let link = team.post("/v1/links", link).await.expect(201);
        let source = team.source().await;
        team.patch(&format!("/v1/sources/{}", source.id), json!({"name": format!("{mark} source")})).await.expect(200);
        let key = json!({"name": format!("{mark} key"), "role": "member"});
        let key = team.post("/v1/api-keys", key).await.expect(201);

        let visited = service.visit(&hostname, mark, service.now()).await;
        assert_eq!(service.deliver(&[&visited]).await["stored"], 1);
        let sale = source.accepted(json!({
            "event_id": format!("{mark}-event"), "type": "sale", "nim_ct": visited.token,
            "customer_id": format!("{mark}-customer"), "order_id": format!("{mark}-order"),
            "amount_minor": 10_000, "currency": "EUR",
        }));
        let sale = sale.await;
        assert_eq!(sale["attribution"]["status"], "attributed", "{sale}");
        let export = json!({"kind": "conversions", "from": "2025-01-01", "to": "2035-01-01"});
        let export = team.post("/v1/exports", export).await.expect(202);

        let ids = vec![
            ("workspaces", team.workspace.clone()),
            ("programs", text(&program, "/id")),
            ("programs", format!("key:{mark}-program")),
            ("partners", text(&partner, "/id")),
            ("partners", format!("key:{mark}-partner")),
            ("partners", format!("ext:{mark}-external")),
            ("domains", text(&domain, "/id")),
            ("domains", hostname.clone()),
            ("links", text(&link, "/id")),
            ("sources", source.id.clone()),
            ("api-keys", text(&key, "/id")),
            ("conversions", text(&sale, "/conversion_id")),
            ("exports", text(&export, "/id")),
        ];
        Self { team, source, mark: mark.to_owned(), hostname, token: visited.token, ids }
    }

    /// Every way to name the workspace's one object of a collection (`partners`, …).
    #[track_caller]
    pub fn names(&self, collection: &str) -> Vec<&str> {
        let names: Vec<&str> = self.ids.iter().filter(|(of, _)| *of == collection).map(|(_, id)| id.as_str()).collect();
        assert!(!names.is_empty(), "`Everything` has nothing of /v1/{collection} yet: make one");
        names
    }

    /// Its id.
    #[track_caller]
    pub fn id(&self, collection: &str) -> String {
        self.names(collection)[0].to_owned()
    }

    /// Whether a text holds anything of this workspace.
    pub fn is_in(&self, text: &str) -> bool {
        text.contains(&self.mark) || text.contains(&self.token) || self.ids.iter().any(|(_, id)| text.contains(id))
    }

    /// The file of its export. The service's work must be running.
    pub async fn file(&self) -> String {
        let path = format!("/v1/exports/{}", self.id("exports"));
        for _ in 0..600 {
            let export = self.team.get(&path).await.expect(200);
            if export["status"] == "completed" {
                let file = self.team.get(&format!("{path}/file")).await;
                assert_eq!(file.status, 200, "{}", file.text);
                return file.text;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the export is not completed after a minute");
    }
}

/// Every row of every table, as text, with the table's name.
pub async fn dump(pool: &PgPool) -> Vec<(String, Value)> {
    let tables = sqlx::query(
        "select relname::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1",
    );
    let mut rows = vec![];
    for table in tables.fetch_all(pool).await.unwrap() {
        let table: String = table.get(0);
        let all = format!("select to_jsonb(t) from \"{table}\" t order by to_jsonb(t)::text");
        for row in sqlx::query(sqlx::AssertSqlSafe(all)).fetch_all(pool).await.unwrap() {
            rows.push((table.clone(), row.get(0)));
        }
    }
    rows
}
