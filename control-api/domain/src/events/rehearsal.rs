//! What would become of events if they were sent now. Nothing is stored, and no event id is used up.

use std::collections::HashMap;

use serde::Serialize;
use shared::{
    id::{SourceId, WorkspaceId},
    token,
};

use super::{
    new_event::{NewEvent, Rejected},
    outcome::conflict,
};
use crate::{
    context::Context,
    error::{Error, FieldFault},
};

shared::text_enum! {
    /// What the click token of an event is.
    pub enum TokenState {
        /// There is none.
        Absent = "absent",
        /// It is none of this workspace.
        Invalid = "invalid",
        /// It names a click that is not stored: the event would wait for it.
        ClickNotReceived = "click_not_received",
        /// It names a stored click.
        ClickReceived = "click_received",
    }
}

/// What would become of one event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Rehearsed {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// The customer's own id of the event, as far as it could be read.
    pub event_id: Option<String>,
    /// `accepted`, `duplicate` or `rejected`.
    #[schema(example = "accepted")]
    pub status: &'static str,
    /// Of rejected events: a stable code.
    pub code: Option<&'static str>,
    /// Of rejected events: what is wrong and what to do.
    pub detail: Option<String>,
    /// Of rejected events: every wrong field; pointers begin at the event.
    pub errors: Vec<FieldFault>,
    /// `absent`, `invalid`, `click_not_received` or `click_received`; `null` where the event is rejected.
    #[schema(value_type = Option<String>, example = "click_received")]
    pub token: Option<TokenState>,
}

impl Rehearsed {
    fn rejected(index: usize, Rejected { event_id, error }: Rejected) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        let errors = error.field_faults();
        Self { index, event_id, status: "rejected", code: Some(code), detail: Some(detail), errors, token: None }
    }
}

/// Tells what would become of events of one source.
///
/// # Errors
/// The database's.
pub async fn rehearse(
    context: &Context,
    workspace: WorkspaceId,
    source: SourceId,
    events: Vec<Result<NewEvent, Rejected>>,
) -> Result<Vec<Rehearsed>, Error> {
    let received: Vec<_> = events.into_iter().map(|event| event?.receive(&context.clock, workspace, source)).collect();
    let verify = |token: &str| token::verify(&context.token_secrets, workspace, token);
    let ids: Vec<&str> = received.iter().flatten().map(|event| event.row.event_id.as_str()).collect();
    let tokens = received.iter().flatten().filter_map(|event| event.token.as_deref());
    let clicks: Vec<_> = tokens.filter_map(|token| verify(token).ok()).collect();
    let stored = store::events::by_event(&context.reads, workspace, source.uuid(), &ids).await?;
    let mut known: HashMap<String, Vec<u8>> = stored.into_iter().map(|row| (row.event_id, row.payload_hash)).collect();
    let arrived = store::signature_check::clicks_received(&context.reads, workspace, &clicks).await?;

    let mut answers = Vec::with_capacity(received.len());
    for (index, event) in received.into_iter().enumerate() {
        let event = match event {
            Ok(event) => event,
            Err(rejected) => {
                answers.push(Rehearsed::rejected(index, rejected));
                continue;
            }
        };
        let (event_id, hash) = (event.row.event_id, event.row.payload_hash);
        let status = match known.get(&event_id) {
            None => "accepted",
            Some(there) if *there == hash => "duplicate",
            Some(_) => {
                answers.push(Rehearsed::rejected(index, conflict(event_id)));
                continue;
            }
        };
        known.insert(event_id.clone(), hash);
        let token = match event.token.as_deref().map(verify) {
            None => TokenState::Absent,
            Some(Err(token::InvalidToken)) => TokenState::Invalid,
            Some(Ok(click)) if arrived.contains(&click) => TokenState::ClickReceived,
            Some(Ok(_)) => TokenState::ClickNotReceived,
        };
        answers.push(Rehearsed {
            index,
            event_id: Some(event_id),
            status,
            code: None,
            detail: None,
            errors: vec![],
            token: Some(token),
        });
    }
    Ok(answers)
}
