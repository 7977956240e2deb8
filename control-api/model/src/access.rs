//! Who may do what: roles, plans, access flags, and the permissions made of them.

use shared::id::{ApiKeyId, WorkspaceId};

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
    /// The first that is missing.
    pub fn check(&self, caller: &Caller) -> Result<(), Denied> {
        if caller.role < self.role {
            return Err(Denied::Role { needed: self.role, held: caller.role });
        }
        if self.export && !caller.can_export {
            return Err(Denied::Export);
        }
        if !self.surfaces.is_empty() && !caller.plan.has_partners() {
            return Err(Denied::Plan);
        }
        match self.surfaces.iter().find(|surface| !surface.is_on(caller.access)) {
            Some(surface) => Err(Denied::Surface(surface.flag())),
            None => Ok(()),
        }
    }
}

/// Why a caller may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The role is too low.
    Role {
        /// The lowest that may.
        needed: Role,
        /// The caller's.
        held: Role,
    },
    /// Only callers with `can_export` may.
    Export,
    /// The plan lacks Partners.
    Plan,
    /// The workspace's access flag of this name is off.
    Surface(&'static str),
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
