//! Who may call what. The list stands in docs/reference/permissions.md, for people; these tests hold the service to it, every route of
//! the OpenAPI document by every kind of caller.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use model::access::{PERMISSIONS, Role, Rule, Surface};
use serde_json::json;
use shared::id::WorkspaceId;
use sqlx::PgPool;

use super::{
    routes::{self, Route},
    service::{Answer, OPERATOR, Service, Team, text},
};

const DOCUMENT: &str = include_str!("../../../docs/reference/permissions.md");

/// What lets a request in.
#[derive(Debug, Clone, Copy)]
enum Asks {
    /// Nothing.
    Public,
    /// The operator's key.
    Operator,
    /// A source's signature.
    Signature,
    /// An API key that the rule lets pass.
    Key(Rule),
}

/// The list of docs/reference/permissions.md: `METHOD path — permission`.
fn list() -> BTreeMap<String, Asks> {
    let rules: BTreeMap<&str, Rule> = PERMISSIONS.iter().copied().collect();
    let block = DOCUMENT.split("## Every route").nth(1).unwrap().split("```").nth(1).unwrap();
    let mut list = BTreeMap::new();
    for line in block.lines().skip(1).filter(|line| !line.is_empty()) {
        let [method, path, permission] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line:?} is not: method, path, permission");
        };
        let asks = match permission {
            "public" => Asks::Public,
            "operator" => Asks::Operator,
            "signature" => Asks::Signature,
            _ => Asks::Key(*rules.get(permission).unwrap_or_else(|| panic!("no permission is called {permission}"))),
        };
        assert!(list.insert(format!("{method} {path}"), asks).is_none(), "{line:?} stands twice");
    }
    list
}

/// The flag of the API that guards a surface.
fn flag(surface: Surface) -> &'static str {
    match surface {
        Surface::Setup => "partner_setup",
        Surface::Reporting => "partner_reporting",
        Surface::ConversionReporting => "partner_conversion_reporting",
        Surface::Exports => "partner_exports",
    }
}

/// A new route must be listed, and a route that is gone must go from the list.
#[test]
fn the_list_names_every_route_and_no_other() {
    let listed: Vec<String> = list().into_keys().collect();
    let mut served: Vec<String> = routes::all().iter().map(Route::name).collect();
    served.sort();
    assert_eq!(listed, served, "the list is under `Every route` in docs/reference/permissions.md");
}

/// The table of permissions, before the list, says what the code asks.
#[test]
fn the_documents_table_of_permissions_is_what_is_asked() {
    let table = DOCUMENT.split("| permission |").nth(1).unwrap();
    let mut rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    for (name, rule) in PERMISSIONS {
        let mut wanted = rule.role.to_string();
        if rule.export {
            wanted.push_str(", `can_export`");
        }
        let surfaces: Vec<String> = rule.surfaces.iter().map(|surface| format!("`{}`", flag(*surface))).collect();
        let row = rows.next().unwrap_or_else(|| panic!("no row for {name}"));
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells[..2], [format!("`{name}`"), wanted], "{row}");
        assert_eq!(cells[2], surfaces.join(", "), "{row}");
    }
    assert_eq!(rows.next(), None, "a row for no permission");
}

/// A caller and what its workspace has.
struct Kind {
    role: Role,
    can_export: bool,
    key: String,
}

/// What the rule says, in its order: role, then export flag, then plan, then surfaces.
fn verdict(rule: &Rule, caller: &Kind, plan: &str, off: Option<&str>) -> Option<&'static str> {
    if caller.role < rule.role || rule.export && !caller.can_export {
        Some("role_forbidden")
    } else if !rule.surfaces.is_empty() && plan == "starter" {
        Some("plan_required")
    } else if rule.surfaces.iter().any(|surface| off == Some("all") || off == Some(flag(*surface))) {
        Some("access_disabled")
    } else {
        None
    }
}

/// A request that nobody may learn from: its path names nothing, its query, headers and body are wrong. Whoever is
/// forbidden must be told so before any of it is found out; whoever is let in changes nothing by it.
async fn knock(service: &Service, route: &Route, key: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(route.method.clone())
        .uri(format!("{}?limit=0", route.fill(|_| "nothing".to_owned())))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::IF_MATCH, "nothing")
        .header("idempotency-key", "");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    service.send(request.body(Body::from("{")).unwrap()).await
}

async fn set(pool: &PgPool, workspace: WorkspaceId, plan: &str, off: Option<&str>) {
    let on = |flag| off != Some("all") && off != Some(flag);
    let changed = sqlx::query(
        "update workspaces set plan = $2, access_partner_setup = $3, access_partner_reporting = $4, \
         access_partner_conversion_reporting = $5, access_partner_exports = $6 where id = $1",
    )
    .bind(workspace.uuid())
    .bind(plan)
    .bind(on("partner_setup"))
    .bind(on("partner_reporting"))
    .bind(on("partner_conversion_reporting"))
    .bind(on("partner_exports"));
    assert_eq!(changed.execute(pool).await.unwrap().rows_affected(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn every_route_asks_what_the_list_says(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let mut callers = vec![];
    for role in [Role::Viewer, Role::Member, Role::Admin] {
        for can_export in [false, true] {
            let key = team.with_key(role.as_str(), can_export).await.key;
            callers.push(Kind { role, can_export, key });
        }
    }
    let list = list();
    let routes = routes::all();
    for plan in ["starter", "professional", "enterprise"] {
        let flags = ["partner_setup", "partner_reporting", "partner_conversion_reporting", "partner_exports", "all"];
        for off in [None].into_iter().chain(flags.map(Some)) {
            set(&pool, team.id(), plan, off).await;
            for route in &routes {
                let Asks::Key(rule) = &list[&route.name()] else { continue };
                for caller in &callers {
                    let answer = knock(&service, route, Some(&caller.key)).await;
                    let who = format!(
                        "{} by {} (can_export: {}) on {plan} without {off:?}: {}",
                        route.name(),
                        caller.role,
                        caller.can_export,
                        answer.text
                    );
                    match verdict(rule, caller, plan, off) {
                        Some(code) => {
                            assert_eq!(
                                (answer.status.as_u16(), answer.json["code"].as_str()),
                                (403, Some(code)),
                                "{who}"
                            );
                        }
                        None => {
                            assert!(![401, 403].contains(&answer.status.as_u16()), "{who}");
                            assert!(!answer.status.is_server_error(), "{who}");
                        }
                    }
                }
            }
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_opens_only_its_own_doors(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let made =
        team.post("/v1/api-keys", json!({"name": "gone", "role": "admin", "can_export": true})).await.expect(201);
    let revoked = text(&made, "/key");
    team.delete(&format!("/v1/api-keys/{}", text(&made, "/id"))).await.expect(200);

    let list = list();
    for route in routes::all() {
        let strangers =
            [("no key", None), ("an unknown key", Some("nim_unknown")), ("a revoked key", Some(revoked.as_str()))];
        let asks = list[&route.name()];
        let wrong = match asks {
            Asks::Public => None,
            Asks::Signature => Some(("an API key in place of a signature", Some(team.key.as_str()))),
            Asks::Operator => Some(("an API key", Some(team.key.as_str()))),
            Asks::Key(_) => Some(("the operator's key", Some(OPERATOR))),
        };
        let code = if matches!(asks, Asks::Signature) { "signature_missing" } else { "unauthorized" };
        for (what, key) in strangers.into_iter().chain(wrong) {
            let answer = knock(&service, &route, key).await;
            let who = format!("{} with {what}: {}", route.name(), answer.text);
            if matches!(asks, Asks::Public) {
                assert_eq!(answer.status, 200, "{who}");
            } else {
                assert_eq!((answer.status.as_u16(), answer.json["code"].as_str()), (401, Some(code)), "{who}");
            }
        }
        let right = match asks {
            Asks::Operator => OPERATOR,
            Asks::Key(_) => &team.key,
            Asks::Public | Asks::Signature => continue,
        };
        let answer = knock(&service, &route, Some(right)).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "{}: {}", route.name(), answer.text);
    }
}

/// What one permission can't tell: making a plain link needs no Partners, making one for a partner does.
#[sqlx::test(migrations = "../migrations")]
async fn a_link_for_a_partner_needs_what_an_assignment_needs(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let member = team.with_key("member", false).await;
    let link = |slug: &str, more: serde_json::Value| {
        let mut link = json!({"domain": host, "slug": slug, "destination": "https://shop.example.com"});
        link.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        link
    };
    let namings = [
        json!({"partner": "key:nomura"}),
        json!({"program": "key:creators"}),
        json!({"partner": "key:nobody"}),
        json!({"partner": "key:nomura", "apply_program_defaults": true}),
    ];
    for (plan, off, code) in
        [("starter", None, "plan_required"), ("enterprise", Some("partner_setup"), "access_disabled")]
    {
        set(&pool, team.id(), plan, off).await;
        for naming in &namings {
            member.post("/v1/links", link("with", naming.clone())).await.expect_problem(403, code);
        }
        member.post("/v1/links", link(plan, json!({}))).await.expect(201);
    }
    set(&pool, team.id(), "professional", None).await;
    member.post("/v1/links", link("with", namings[0].clone())).await.expect(201);
    let viewer: Team = team.with_key("viewer", true).await;
    viewer.post("/v1/links", link("never", json!({}))).await.expect_problem(403, "role_forbidden");
    let methods = routes::all().into_iter().filter(|route| route.path == "/v1/links").map(|route| route.method);
    assert_eq!(methods.collect::<Vec<_>>(), [Method::GET, Method::POST], "a new way to make links belongs here too");
}
