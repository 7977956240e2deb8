//! `/v1/api-keys`: keys are shown once, when they are made.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use shared::id::ApiKeyId;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;
use domain::Error;
use domain::input::{Fields, boolean, line, word};
use model::{
    access::{ManageWorkspace, Role},
    page::Page,
    time::random,
};
use store::api_keys::ApiKey;
use web::{
    auth::Auth,
    body::JsonBody,
    change::{self, Preconditions},
    params::Params,
    path::Path,
    problem::ApiError,
};

/// Paths of API keys.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// What a new key is to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes the body; `create` reads it field by field.
struct NewApiKey {
    /// What people call it, 1 to 200 characters. Default: after its role.
    name: Option<String>,
    /// `admin`, `member` or `viewer`.
    role: String,
    /// Whether it may export. Default: false.
    can_export: Option<bool>,
}

/// A new key, with the key itself, shown this once.
#[derive(Serialize, utoipa::ToSchema)]
pub struct CreatedApiKey {
    #[serde(flatten)]
    resource: ApiKey,
    /// The key. `null` in a replayed answer.
    #[schema(example = "nim_…")]
    key: Option<String>,
}

/// A key and what is stored of it.
pub struct Minted {
    /// The key, to be shown once.
    pub key: String,
    /// Its first characters.
    pub prefix: String,
    /// Its hash.
    pub hash: [u8; 32],
}

/// A new random key.
#[must_use]
pub fn mint() -> Minted {
    let key = format!("nim_{}", URL_SAFE_NO_PAD.encode(random::<32>()));
    Minted { prefix: key.chars().take(12).collect(), hash: domain::api_keys::hash(&key), key }
}

/// Make a key
#[utoipa::path(post, path = "/v1/api-keys", tag = "api keys", security(("api_key" = [])), request_body = NewApiKey, responses(
    (status = 201, description = "Made; the key is shown this once", body = CreatedApiKey),
))]
async fn create(
    State(app): State<App>,
    auth: Auth<ManageWorkspace>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let minted = mint();
    let mut resource = ApiKey {
        id: app.clock.id(),
        name: String::new(),
        role: Role::Viewer,
        can_export: false,
        prefix: minted.prefix,
        created_at: app.clock.at(),
        last_used_at: None,
        revoked_at: None,
    };
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["role"]);
    fields.set("name", &mut resource.name, line(200));
    fields.set("role", &mut resource.role, word);
    fields.set("can_export", &mut resource.can_export, boolean);
    fields.finish()?;
    if resource.name.is_empty() {
        resource.name = format!("{} key", resource.role);
    }

    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    store::api_keys::insert(change.db(), auth.workspace, &resource, &minted.hash).await?;
    change.audit("api_key.create", resource.id, None::<&()>, Some(&resource)).await?;
    let answer = CreatedApiKey { resource, key: None };
    change::finish_with_secret(change, StatusCode::CREATED, &answer, Some(("/key", &minted.key))).await
}

/// List keys, newest first
#[utoipa::path(get, path = "/v1/api-keys", tag = "api keys", security(("api_key" = [])), params(
    ("limit" = Option<i64>, Query, description = "1 to 100, default 50"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses((status = 200, description = "A page", body = Page<ApiKey>)))]
async fn list(
    State(app): State<App>,
    auth: Auth<ManageWorkspace>,
    mut params: Params,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let page = params.page();
    params.finish()?;
    let rows = store::api_keys::list(&app.db, auth.workspace, &page).await?;
    Ok(Json(Page::cut(rows, &page, |key| key.id)))
}

/// Revoke a key, at once and for good; the last admin key stays, or nobody could make another
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "api keys", security(("api_key" = [])), responses(
    (status = 200, description = "Revoked, now or before", body = ApiKey),
    (status = 409, description = "`conflict`: it is the last admin key"),
))]
async fn revoke(
    State(app): State<App>,
    auth: Auth<ManageWorkspace>,
    attempt: Preconditions,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id: ApiKeyId = id.parse().map_err(|_| NOT_FOUND)?;
    let mut change = change::begin(&app, &auth, &attempt, b"").await?;
    // Revocations of one workspace take turns, so that two admins can't revoke each other at one moment.
    store::workspaces::lock(change.db(), auth.workspace).await?;
    let before = store::api_keys::lock(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    if before.revoked_at.is_some() {
        return change::finish(change, StatusCode::OK, &before).await;
    }
    if before.role == Role::Admin && !store::api_keys::has_other_admin(change.db(), auth.workspace, id).await? {
        return Err(Error::Conflict {
            code: "conflict",
            detail: "this is the last admin key; make another one first, or nobody could".to_owned(),
        }
        .into());
    }
    let key = store::api_keys::revoke(change.db(), auth.workspace, id).await?.ok_or(NOT_FOUND)?;
    change.audit("api_key.revoke", id, Some(&before), Some(&key)).await?;
    change::finish(change, StatusCode::OK, &key).await
}

const NOT_FOUND: Error = Error::NotFound("API key");
