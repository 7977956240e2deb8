//! Links: what the API shows of one, and its row.

use serde::{Deserialize, Serialize};
use shared::{
    click::Named,
    destination::{CustomQuery, Utm},
    id::{AssignmentId, DomainId, LinkId, Partner, PartnerId, Program, ProgramId},
    record::{ClickTokenMode, LinkStatus},
};
use sqlx::types::Json;

use crate::assignments::Assignment;
use model::{
    reference::{NamedObject, named},
    time::Timestamp,
};

/// A link, as stored.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = StoredLink)]
pub struct Link {
    /// Its id.
    #[schema(value_type = String, example = "lnk_01h455vb4pex5vsknk084sn02q")]
    pub id: LinkId,
    /// Its domain's hostname.
    #[schema(example = "go.acme.com")]
    pub domain: String,
    /// Its domain.
    #[schema(value_type = String, example = "dom_01h455vb4pex5vsknk084sn02q")]
    pub domain_id: DomainId,
    /// Its path, without the leading `/`. Case-sensitive.
    #[schema(example = "nomura")]
    pub slug: String,
    /// Where it leads, byte for byte as given.
    pub destination: String,
    /// For people.
    pub title: Option<String>,
    /// `active`, `paused` or `archived`.
    #[schema(value_type = String, example = "active")]
    pub status: LinkStatus,
    /// Whether conversions are tracked.
    pub conversion_tracking: bool,
    /// When visitors carry a click token: `auto`, `always` or `never`.
    #[schema(value_type = String, example = "auto")]
    pub click_token: ClickTokenMode,
    /// UTM values added to the destination.
    #[schema(value_type = Object)]
    pub utm: Utm,
    /// Query parameters added to the destination, at most 20.
    #[schema(value_type = Object)]
    pub custom_query: CustomQuery,
    /// Weighted alternatives to the destination; where there are any, one of them is taken.
    pub variants: Vec<Variant>,
    /// The name of the experiment that the variants belong to.
    pub experiment_key: Option<String>,
    /// Whether the visitor's own query goes along.
    pub forward_query: bool,
    /// From when on it redirects no longer.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Where visitors go when it doesn't redirect.
    pub expired_url: Option<String>,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Whom its clicks belong to now.
    pub assignment: Option<CurrentAssignment>,
    /// Raised by every change of the link itself.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A weighted alternative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Variant {
    /// Unique within the link.
    pub key: String,
    /// Where it leads.
    pub destination: String,
    /// Its share, relative to the sum of all: 1 to 1,000.
    pub weight: u32,
}

/// The assignment in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CurrentAssignment {
    /// Its id.
    #[schema(value_type = String, example = "asg_01h455vb4pex5vsknk084sn02q")]
    pub id: AssignmentId,
    /// The partner.
    #[schema(value_type = NamedObject)]
    pub partner: Named<'static, Partner>,
    /// The program, if any.
    #[schema(value_type = Option<NamedObject>)]
    pub program: Option<Named<'static, Program>>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
}

impl CurrentAssignment {
    /// Of an assignment that is in force.
    #[must_use]
    pub fn of(assignment: &Assignment) -> Self {
        Self {
            id: assignment.id,
            partner: assignment.partner.clone(),
            program: assignment.program.clone(),
            started_at: assignment.started_at,
        }
    }
}

pub(super) struct Row {
    pub(super) id: LinkId,
    pub(super) domain: String,
    pub(super) domain_id: DomainId,
    pub(super) slug: String,
    pub(super) destination: String,
    pub(super) title: Option<String>,
    pub(super) status: LinkStatus,
    pub(super) conversion_tracking: bool,
    pub(super) click_token: ClickTokenMode,
    pub(super) utm: Json<Utm>,
    pub(super) custom_query: Json<CustomQuery>,
    pub(super) variants: Json<Vec<Variant>>,
    pub(super) experiment_key: Option<String>,
    pub(super) forward_query: bool,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) expired_url: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) version: i64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) assignment_id: Option<AssignmentId>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) partner_id: Option<PartnerId>,
    pub(super) partner_key: Option<String>,
    pub(super) partner_name: Option<String>,
    pub(super) program_id: Option<ProgramId>,
    pub(super) program_key: Option<String>,
    pub(super) program_name: Option<String>,
}

impl From<Row> for Link {
    fn from(row: Row) -> Self {
        let partner = named(row.partner_id, row.partner_key, row.partner_name);
        let program = named(row.program_id, row.program_key, row.program_name);
        let assignment = match (row.assignment_id, partner, row.started_at) {
            (Some(id), Some(partner), Some(started_at)) => Some(CurrentAssignment { id, partner, program, started_at }),
            _ => None,
        };
        Self {
            id: row.id,
            domain: row.domain,
            domain_id: row.domain_id,
            slug: row.slug,
            destination: row.destination,
            title: row.title,
            status: row.status,
            conversion_tracking: row.conversion_tracking,
            click_token: row.click_token,
            utm: row.utm.0,
            custom_query: row.custom_query.0,
            variants: row.variants.0,
            experiment_key: row.experiment_key,
            forward_query: row.forward_query,
            expires_at: row.expires_at,
            expired_url: row.expired_url,
            tags: row.tags,
            assignment,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
