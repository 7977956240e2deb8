//! What became of an event, and how its sender is told.

use serde::Serialize;
use shared::{
    click::Named,
    id::{ConversionId, Partner, PartnerId, Program, ProgramId, SourceId},
};

use super::new_event::{NewEvent, Rejected};
use crate::{Error, coalesce::Coalescer};
use model::conversion::{Method, Reason, Status};
use store::events::Conversion;

/// What became of one event.
pub enum Outcome {
    /// Stored.
    Accepted(Box<Conversion>),
    /// Stored before.
    Duplicate(Box<Conversion>),
    /// Refused; its id is still free.
    Rejected(Rejected),
}

/// The answer to one event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventResult {
    /// As sent.
    pub event_id: Option<String>,
    /// `accepted`, `duplicate` or `rejected`.
    #[schema(example = "accepted")]
    pub status: &'static str,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong and what to do, where it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Every wrong field, where it was rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<crate::error::FieldFault>,
    /// The stored conversion.
    #[schema(value_type = Option<String>)]
    pub conversion_id: Option<ConversionId>,
    /// Who gets the credit, as far as is known.
    pub attribution: Option<Attribution>,
}

/// Who gets the credit, as far as is known.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Attribution {
    /// `attributed`, `pending_click`, `pending_original` or `unattributed`.
    #[schema(value_type = String, example = "attributed")]
    pub status: Status,
    /// `token`, `customer` or `original`.
    #[schema(value_type = Option<String>, example = "token")]
    pub method: Option<Method>,
    /// Why there is no partner.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// The partner at the click: `{id, key, name}`.
    #[schema(value_type = Option<model::reference::NamedObject>)]
    pub partner: Option<Named<'static, Partner>>,
    /// The program at the click: `{id, key, name}`.
    #[schema(value_type = Option<model::reference::NamedObject>)]
    pub program: Option<Named<'static, Program>>,
    /// The link: `{id, short_url}`.
    pub link: Option<AttributedLink>,
}

/// The link of an attribution.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AttributedLink {
    /// Its id.
    #[schema(value_type = String)]
    pub id: shared::id::LinkId,
    /// Its address.
    pub short_url: String,
}

impl Attribution {
    /// What a stored conversion says.
    #[must_use]
    pub fn of(row: &Conversion) -> Self {
        let click = &row.snapshot;
        let text = |value: &Option<String>| value.clone().unwrap_or_default().into();
        let partner = click.partner_id.map(|id| Named {
            id: PartnerId::from_uuid(id),
            key: text(&click.partner_key),
            name: text(&click.partner_name),
        });
        let program = click.program_id.map(|id| Named {
            id: ProgramId::from_uuid(id),
            key: text(&click.program_key),
            name: text(&click.program_name),
        });
        let link = click.link_id.map(|id| AttributedLink {
            id: shared::Id::from_uuid(id),
            short_url: format!(
                "https://{}/{}",
                click.domain.as_deref().unwrap_or_default(),
                click.slug.as_deref().unwrap_or_default()
            ),
        });
        Self { status: row.status, method: row.method, reason: row.reason, partner, program, link }
    }
}

impl From<Outcome> for EventResult {
    fn from(outcome: Outcome) -> Self {
        let (status, row) = match outcome {
            Outcome::Accepted(row) => ("accepted", row),
            Outcome::Duplicate(row) => ("duplicate", row),
            Outcome::Rejected(Rejected { event_id, error }) => {
                let (code, detail) = (error.code(), error.to_string());
                let errors = error.field_faults();
                return Self {
                    event_id,
                    status: "rejected",
                    code: Some(code),
                    detail: Some(detail),
                    errors,
                    conversion_id: None,
                    attribution: None,
                };
            }
        };
        Self {
            conversion_id: Some(ConversionId::from_uuid(row.id)),
            attribution: Some(Attribution::of(&row)),
            event_id: Some(row.event_id),
            status,
            code: None,
            detail: None,
            errors: vec![],
        }
    }
}

/// An event id that stands for another event already.
pub(super) fn conflict(event_id: String) -> Rejected {
    let detail =
        format!("event_id {event_id} was used for another event of this source; send the correction under a new id");
    Rejected { event_id: Some(event_id), error: Error::Conflict { code: "event_id_conflict", detail } }
}

/// Events that came one by one, and the outcome of each.
pub type EventCoalescer = Coalescer<SourceId, NewEvent, Result<Outcome, Error>>;
