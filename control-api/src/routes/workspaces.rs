//! `/v1/workspaces` (the operator's) and `/v1/workspace` (a key holder's own).

use std::str::FromStr as _;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use shared::{id::WorkspaceId, name::Key};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::api_keys;
use crate::app::App;
use domain::Error;
use domain::{
    error::OnConstraint as _,
    input::{self, Fields, boolean, fault, line, small, word},
};
use model::access::{Access, ManageWorkspace, Plan, ReadWorkspace, Role};
use store::{
    api_keys::ApiKey,
    outbox::Many,
    workspaces::{InactivePartnerClicks, Workspace},
};
use web::{
    answer::versioned,
    auth::{Auth, Operator},
    body::JsonBody,
    change::{self, Preconditions},
    path::Path,
    problem::ApiError,
};

/// Paths of workspaces.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(operate)).routes(routes!(read, change))
}

/// Which surfaces are to be on. All are by default on professional and enterprise, none on starter.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewAccess {
    partner_setup: Option<bool>,
    partner_reporting: Option<bool>,
    partner_conversion_reporting: Option<bool>,
    partner_exports: Option<bool>,
}

/// What a new workspace is to be.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct NewWorkspace {
    /// 1 to 200 characters.
    name: String,
    /// Unique; letters, digits, `-` and `_`.
    slug: String,
    /// `starter`, `professional` or `enterprise`.
    plan: String,
    access: Option<NewAccess>,
}

/// A new workspace with its first admin key.
#[derive(Serialize, utoipa::ToSchema)]
struct CreatedWorkspace {
    #[serde(flatten)]
    workspace: Workspace,
    api_key: FirstKey,
}

/// The first admin key of a workspace.
#[derive(Serialize, utoipa::ToSchema)]
struct FirstKey {
    #[schema(value_type = String)]
    id: shared::id::ApiKeyId,
    /// The key, shown this once.
    key: Option<String>,
}

const fn default_access(plan: Plan) -> Access {
    let on = plan.has_partners();
    Access { partner_setup: on, partner_reporting: on, partner_conversion_reporting: on, partner_exports: on }
}

fn read_access(fields: &mut Fields<'_>, access: &mut Access) {
    let mut draft = Some(*access);
    fields.nested("access", &mut draft, |fields, draft| {
        if let Some(access) = draft {
            fields.set("partner_setup", &mut access.partner_setup, boolean);
            fields.set("partner_reporting", &mut access.partner_reporting, boolean);
            fields.set("partner_conversion_reporting", &mut access.partner_conversion_reporting, boolean);
            fields.set("partner_exports", &mut access.partner_exports, boolean);
        }
    });
    *access = draft.unwrap_or(*access);
}

/// Make a workspace and its first admin key
#[utoipa::path(post, path = "/v1/workspaces", tag = "workspaces", security(("operator_key" = [])), request_body = NewWorkspace, responses(
    (status = 201, description = "Made; the key is shown this once", body = CreatedWorkspace),
    (status = 409, description = "`conflict`: the slug is taken"),
))]
async fn create(
    State(app): State<App>,
    _: Operator,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of(&body.value)?;
    fields.require(&["name", "slug", "plan"]);
    let (mut name, mut slug, mut plan) = (String::new(), None, Plan::Starter);
    fields.set("name", &mut name, line(200));
    fields.set_option("slug", &mut slug, input::key);
    fields.set("plan", &mut plan, word);
    let mut access = default_access(plan);
    read_access(&mut fields, &mut access);
    fields.finish()?;

    let now = app.clock.at();
    let workspace = Workspace {
        id: app.clock.id(),
        slug: slug.as_ref().map(Key::to_string).unwrap_or_default(),
        name,
        plan,
        access,
        attribution_window_days: 30,
        timezone: "UTC".to_owned(),
        inactive_partner_clicks: InactivePartnerClicks::Keep,
        click_retention_days: None,
        clicks_pruned_before: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let minted = api_keys::mint();
    let key = ApiKey {
        id: app.clock.id(),
        name: "First admin key".to_owned(),
        role: Role::Admin,
        can_export: true,
        prefix: minted.prefix,
        created_at: now,
        last_used_at: None,
        revoked_at: None,
    };
    let mut change = change::begin_as_operator(&app, workspace.id, &attempt, &body.raw).await?;
    store::workspaces::insert(change.db(), &workspace).await.on_constraint("workspaces_slug_unique", || {
        Error::Conflict { code: "conflict", detail: format!("the slug {} is taken; choose another", workspace.slug) }
    })?;
    store::api_keys::insert(change.db(), workspace.id, &key, &minted.hash).await?;
    change.audit("workspace.create", workspace.id, None::<&()>, Some(&workspace)).await?;
    change.audit("api_key.create", key.id, None::<&()>, Some(&key)).await?;
    let answer = CreatedWorkspace { workspace, api_key: FirstKey { id: key.id, key: None } };
    change::finish_with_secret(change, StatusCode::CREATED, &answer, Some(("/api_key/key", &minted.key))).await
}

/// What the operator may change of a workspace.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct OperatorChange {
    /// `starter`, `professional` or `enterprise`.
    plan: Option<String>,
    access: Option<NewAccess>,
}

/// Change a workspace's plan and access
#[utoipa::path(patch, path = "/v1/workspaces/{id}", tag = "workspaces", security(("operator_key" = [])), request_body = OperatorChange, responses(
    (status = 200, description = "Changed", body = Workspace),
))]
async fn operate(
    State(app): State<App>,
    _: Operator,
    attempt: Preconditions,
    Path(id): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let id: WorkspaceId = id.parse().map_err(|_| Error::NotFound("workspace"))?;
    let mut change = change::begin_as_operator(&app, id, &attempt, &body.raw).await?;
    let before = store::workspaces::lock(change.db(), id).await?.ok_or(Error::NotFound("workspace"))?;
    let mut after = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.set("plan", &mut after.plan, word);
    // A plan that gains Partners turns its surfaces on, unless the request says otherwise, or some had been chosen before.
    let gains = after.plan.has_partners() && !before.plan.has_partners();
    if gains && before.access == default_access(Plan::Starter) {
        after.access = default_access(after.plan);
    }
    read_access(&mut fields, &mut after.access);
    fields.finish()?;
    attempt.check_version(before.version)?;
    store::workspaces::update(change.db(), &mut after, app.clock.at()).await?;
    change.audit("workspace.update", id, Some(&before), Some(&after)).await?;
    change::finish(change, StatusCode::OK, &after).await
}

/// Read the workspace of the key
#[utoipa::path(get, path = "/v1/workspace", tag = "workspaces", security(("api_key" = [])), responses(
    (status = 200, description = "The workspace", body = Workspace),
))]
async fn read(State(app): State<App>, auth: Auth<ReadWorkspace>) -> Result<Response, ApiError> {
    let workspace = store::workspaces::get(&app.db, auth.workspace).await?.ok_or(Error::NotFound("workspace"))?;
    Ok(versioned(workspace.version, Json(workspace)))
}

/// What an admin may change of the workspace.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes a body that is read field by field.
struct WorkspaceChange {
    /// 1 to 200 characters.
    name: Option<String>,
    /// 1 to 365.
    attribution_window_days: Option<i32>,
    /// An IANA time zone.
    timezone: Option<String>,
    /// `keep` or `discard_context`.
    inactive_partner_clicks: Option<String>,
    /// Days that single clicks are kept, 380 to 3,650; `null`: for ever. What is removed doesn't come back.
    click_retention_days: Option<i32>,
}

/// Change the workspace of the key
#[utoipa::path(patch, path = "/v1/workspace", tag = "workspaces", security(("api_key" = [])), request_body = WorkspaceChange, responses(
    (status = 200, description = "Changed", body = Workspace),
    (status = 412, description = "`version_mismatch`"),
))]
async fn change(
    State(app): State<App>,
    auth: Auth<ManageWorkspace>,
    attempt: Preconditions,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let mut change = change::begin(&app, &auth, &attempt, &body.raw).await?;
    let before = store::workspaces::lock(change.db(), auth.workspace).await?.ok_or(Error::NotFound("workspace"))?;
    let mut after = before.clone();
    let mut fields = Fields::of(&body.value)?;
    fields.set("name", &mut after.name, line(200));
    fields.set("attribution_window_days", &mut after.attribution_window_days, small(1..=365));
    fields.set("timezone", &mut after.timezone, |value| {
        let name = line(64)(value)?;
        match chrono_tz::Tz::from_str(&name) {
            Ok(_) => Ok(name),
            Err(_) => fault("value", "must be an IANA time zone such as Europe/Berlin"),
        }
    });
    fields.set("inactive_partner_clicks", &mut after.inactive_partner_clicks, word);
    fields.set_option("click_retention_days", &mut after.click_retention_days, small(380..=3_650));
    fields.finish()?;
    attempt.check_version(before.version)?;
    store::workspaces::update(change.db(), &mut after, app.clock.at()).await?;
    if before.inactive_partner_clicks != after.inactive_partner_clicks {
        store::outbox::touch_many(change.db(), auth.workspace, Many::OfInactivePartners).await?;
    }
    change.audit("workspace.update", auth.workspace, Some(&before), Some(&after)).await?;
    change::finish(change, StatusCode::OK, &after).await
}
