//! A partner, as the API shows it, and its row.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::{
    click::Named,
    id::{PartnerId, Program, ProgramId},
};
use sqlx::types::Json;

use model::{
    reference::{NamedObject, named},
    status::Status,
    time::Timestamp,
};

shared::text_enum! {
    /// How one stands with a partner.
    pub enum Relationship {
        /// Accepted.
        Approved = "approved",
        /// Asked to join.
        Invited = "invited",
        /// Said no, or was told no.
        Declined = "declined",
        /// Shut out.
        Banned = "banned",
        /// Left.
        Deactivated = "deactivated",
    }
}

/// A partner, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Partner {
    /// Its id.
    #[schema(value_type = String, example = "prt_01h455vb4pex5vsknk084sn02q")]
    pub id: PartnerId,
    /// Its immutable key.
    #[schema(example = "nomura")]
    pub key: String,
    /// Its name, as reports show it.
    pub display_name: String,
    /// `active`, `paused` or `archived`.
    #[schema(value_type = String, example = "active")]
    pub status: Status,
    /// `approved`, `invited`, `declined`, `banned` or `deactivated`.
    #[schema(value_type = String, example = "approved")]
    pub relationship: Relationship,
    /// Whom to talk to.
    pub contact_name: Option<String>,
    /// Where to write to.
    pub contact_email: Option<String>,
    /// The customer's own id of it, unique.
    pub external_id: Option<String>,
    /// How it was invited.
    pub invite: Option<Invite>,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Its program unless an assignment names another.
    #[schema(value_type = Option<NamedObject>)]
    pub primary_program: Option<Named<'static, Program>>,
    /// The customer's own.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Links that lead somewhere now and whose clicks are this partner's.
    pub active_links: i64,
    /// Raised by every change.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When its personal data was last erased.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub erased_at: Option<Timestamp>,
}

/// How a partner was invited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Invite {
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sent_at: Option<Timestamp>,
    /// By which way.
    pub channel: Option<String>,
    /// With which words.
    pub message: Option<String>,
}

pub(super) struct Row {
    pub(super) id: PartnerId,
    pub(super) key: String,
    pub(super) display_name: String,
    pub(super) status: Status,
    pub(super) relationship: Relationship,
    pub(super) contact_name: Option<String>,
    pub(super) contact_email: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) invite: Option<Json<Invite>>,
    pub(super) tags: Vec<String>,
    pub(super) program_id: Option<ProgramId>,
    pub(super) program_key: Option<String>,
    pub(super) program_name: Option<String>,
    pub(super) metadata: Json<Map<String, Value>>,
    pub(super) active_links: i64,
    pub(super) version: i64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) erased_at: Option<Timestamp>,
}

impl From<Row> for Partner {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            key: row.key,
            display_name: row.display_name,
            status: row.status,
            relationship: row.relationship,
            contact_name: row.contact_name,
            contact_email: row.contact_email,
            external_id: row.external_id,
            invite: row.invite.map(|invite| invite.0),
            tags: row.tags,
            primary_program: named(row.program_id, row.program_key, row.program_name),
            metadata: row.metadata.0,
            active_links: row.active_links,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            erased_at: row.erased_at,
        }
    }
}
