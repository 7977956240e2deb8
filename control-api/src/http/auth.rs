//! Who may call, as types: a handler that takes [`Auth<ManageSetup>`](Auth) can only be reached by keys
//! that may manage the setup. The signature tells, the compiler enforces, and one test walks them all.

use std::{marker::PhantomData, ops::Deref};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use sha2::{Digest as _, Sha256};
use shared::id::{ApiKeyId, WorkspaceId};

use super::limits::Visitor;
use crate::{app::App, db, error::ApiError};

shared::text_enum! {
    /// What a key may do. Each role may do all that the roles below it may.
    pub enum Role {
        /// Reads reports.
        Viewer = "viewer",
        /// Reads the setup, makes links, assigns partners.
        Member = "member",
        /// Everything.
        Admin = "admin",
    }
}

shared::text_enum! {
    /// What a workspace has paid for.
    pub enum Plan {
        /// Links without partners.
        Starter = "starter",
        /// Partners.
        Professional = "professional",
        /// Partners.
        Enterprise = "enterprise",
    }
}

impl Plan {
    /// Whether the plan holds Partners.
    #[must_use]
    pub const fn has_partners(self) -> bool {
        matches!(self, Self::Professional | Self::Enterprise)
    }
}

/// The surfaces of a workspace that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[allow(clippy::struct_excessive_bools)] // They are the four flags of the API, by name.
pub struct Access {
    /// Programs, partners, assignments, sources.
    pub partner_setup: bool,
    /// Traffic reports.
    pub partner_reporting: bool,
    /// Conversions and conversion reports.
    pub partner_conversion_reporting: bool,
    /// Exports.
    pub partner_exports: bool,
}

/// The holder of a valid API key, and what its workspace allows.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The workspace; every query is scoped by it.
    pub workspace: WorkspaceId,
    /// The key.
    pub key: ApiKeyId,
    /// What the key may do.
    pub role: Role,
    /// Whether the key may export.
    pub can_export: bool,
    /// The workspace's plan.
    pub plan: Plan,
    /// The workspace's surfaces.
    pub access: Access,
}

/// A surface that a plan and an access flag guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// `partner_setup`
    Setup,
    /// `partner_reporting`
    Reporting,
    /// `partner_conversion_reporting`
    ConversionReporting,
    /// `partner_exports`
    Exports,
}

impl Surface {
    const fn flag(self) -> &'static str {
        match self {
            Self::Setup => "partner_setup",
            Self::Reporting => "partner_reporting",
            Self::ConversionReporting => "partner_conversion_reporting",
            Self::Exports => "partner_exports",
        }
    }

    const fn is_on(self, access: Access) -> bool {
        match self {
            Self::Setup => access.partner_setup,
            Self::Reporting => access.partner_reporting,
            Self::ConversionReporting => access.partner_conversion_reporting,
            Self::Exports => access.partner_exports,
        }
    }
}

/// What a permission asks of a caller.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The lowest role.
    pub role: Role,
    /// Surfaces that must be on; any at all also asks for a plan with Partners.
    pub surfaces: &'static [Surface],
    /// Whether the key must have `can_export`.
    pub export: bool,
}

impl Rule {
    /// Checks a caller: role, then export flag, then plan, then surfaces.
    ///
    /// # Errors
    /// 403 by name.
    pub fn check(&self, caller: &Caller) -> Result<(), ApiError> {
        if caller.role < self.role {
            return Err(ApiError::RoleForbidden(format!(
                "this needs the role {} or above; the key has {}",
                self.role, caller.role
            )));
        }
        if self.export && !caller.can_export {
            return Err(ApiError::RoleForbidden("this needs a key with can_export".to_owned()));
        }
        if !self.surfaces.is_empty() && !caller.plan.has_partners() {
            return Err(ApiError::PlanRequired);
        }
        match self.surfaces.iter().find(|surface| !surface.is_on(caller.access)) {
            Some(surface) => Err(ApiError::AccessDisabled(surface.flag())),
            None => Ok(()),
        }
    }
}

/// A permission, used as the type argument of [`Auth`].
pub trait Permission: Send + Sync + 'static {
    /// What it asks.
    const RULE: Rule;
    /// Its name in documents.
    const NAME: &'static str;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $role:ident, [$($surface:ident),*], $export:literal;)+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
        impl Permission for $name {
            const RULE: Rule = Rule { role: Role::$role, surfaces: &[$(Surface::$surface),*], export: $export };
            const NAME: &'static str = stringify!($name);
        })+

        /// Every permission: its name, and what it asks.
        pub const PERMISSIONS: &[(&str, Rule)] = &[$(($name::NAME, $name::RULE)),+];
    };
}

permissions! {
    /// Keys and the workspace's settings.
    ManageWorkspace: Admin, [], false;
    /// Reads the workspace's settings.
    ReadWorkspace: Viewer, [], false;
    /// Domains: made and changed.
    ManageDomains: Admin, [], false;
    /// Domains and links: read.
    ReadLinks: Member, [], false;
    /// Links: made and changed.
    WriteLinks: Member, [], false;
    /// Programs, partners and sources: made and changed.
    ManagePartners: Admin, [Setup], false;
    /// Programs, partners, sources and assignments: read.
    ReadPartners: Member, [Setup], false;
    /// Partners put on links and taken off.
    Assign: Member, [Setup], false;
    /// Audit trail.
    ReadAudit: Admin, [], false;
    /// Traffic reports.
    ReadTraffic: Viewer, [Reporting], false;
    /// Conversions and their reports.
    ReadConversions: Viewer, [ConversionReporting], false;
    /// Exports.
    Export: Viewer, [Exports, ConversionReporting], true;
}

/// A caller who may do what `P` names.
pub struct Auth<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P> Deref for Auth<P> {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<P: Permission> FromRequestParts<App> for Auth<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let visitor = Visitor::of(app, &parts.headers, &parts.extensions);
        let caller = match bearer(&parts.headers) {
            Some(offered) => db::api_keys::caller(&app.db, &hash(offered)).await?,
            None => None,
        };
        let caller = caller.ok_or_else(|| app.limits.refuse(&visitor, ApiError::Unauthorized))?;
        app.limits.admit_key(&visitor, caller.key)?;
        P::RULE.check(&caller)?;
        tracing::debug!(workspace = %caller.workspace, key = %caller.key, "authorized");
        Ok(Self { caller, permission: PhantomData })
    }
}

/// The operator: makes workspaces, belongs to none.
pub struct Operator;

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match bearer(&parts.headers) {
            Some(offered) if app.config.operator_key.matches(offered) => Ok(Self),
            _ => {
                let visitor = Visitor::of(app, &parts.headers, &parts.extensions);
                Err(app.limits.refuse(&visitor, ApiError::Unauthorized))
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && key.len() <= 200).then(|| key.trim())
}

/// What is stored of an API key. Keys hold 256 random bits, so one fast hash is enough, and looking the hash
/// up tells nothing about the key by its timing.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
