//! What a partner may be, and how its personal data is erased.

mod create;

pub use create::{NewPartner, Partners};

use serde_json::{Map, Value};
use shared::id::{ApiKeyId, PartnerId, Program as ProgramKind};

use crate::{
    erasure::erase_partner,
    error::{Error, OnConstraint as _},
    input::{Fields, Parsed, email, line, metadata, tags, text, time, word},
};
use model::{
    reference::{Reference, References},
    status::Status,
    time::Timestamp,
};
use store::{
    change::Change,
    outbox::Many,
    partner_notes::Note,
    partners::{Invite, Partner, Relationship},
    programs::Program,
};

/// The largest metadata, in bytes as JSON.
const MAX_METADATA: usize = 8_192;

/// An empty partner, for a create to fill.
#[must_use]
pub fn draft(id: PartnerId, now: Timestamp) -> Partner {
    Partner {
        id,
        key: String::new(),
        display_name: String::new(),
        status: Status::Active,
        relationship: Relationship::Approved,
        contact_name: None,
        contact_email: None,
        external_id: None,
        invite: None,
        tags: vec![],
        primary_program: None,
        metadata: Map::new(),
        active_links: 0,
        version: 1,
        created_at: now,
        updated_at: now,
        erased_at: None,
    }
}

/// A primary program that a body names and nobody has looked up yet.
pub struct Primary(Option<Reference<ProgramKind>>);

/// Reads what a body says into a partner.
pub fn read(fields: &mut Fields<'_>, partner: &mut Partner) -> Primary {
    fields.set("display_name", &mut partner.display_name, line(200));
    fields.set("status", &mut partner.status, word);
    fields.set("relationship", &mut partner.relationship, word);
    fields.set_option("contact_name", &mut partner.contact_name, line(200));
    fields.set_option("contact_email", &mut partner.contact_email, email);
    fields.set_option("external_id", &mut partner.external_id, line(255));
    let mut invite = partner.invite.take().unwrap_or_default();
    fields.nested("invite", &mut invite, |fields, invite| {
        fields.set_option("sent_at", &mut invite.sent_at, time);
        fields.set_option("channel", &mut invite.channel, line(100));
        fields.set_option("message", &mut invite.message, text(5_000));
    });
    partner.invite = (invite != Invite::default()).then_some(invite);
    fields.set_or_empty("tags", &mut partner.tags, tags);
    fields.merge("metadata", &mut partner.metadata, own_object);
    if fields.mentions("primary_program") && !fields.has("primary_program") {
        partner.primary_program = None;
    }
    Primary(fields.get("primary_program", word))
}

fn own_object(value: &Value) -> Parsed<Map<String, Value>> {
    metadata(MAX_METADATA)(value).map(|value| match value {
        Value::Object(object) => object,
        _ => Map::new(),
    })
}

fn external_id_taken(external_id: &str) -> Error {
    Error::Conflict { code: "conflict", detail: format!("another partner has the external_id {external_id}") }
}

/// Stores a changed partner. A rename and a change of status reach the edge.
///
/// # Errors
/// 404 where the primary program doesn't exist; 409 where the external id is taken.
pub async fn update(
    change: &mut Change,
    before: &Partner,
    partner: &mut Partner,
    wished: Primary,
) -> Result<(), Error> {
    let workspace = change.workspace();
    let now = change.clock().at();
    if let Some(reference) = wished.0 {
        let found = store::programs::find_all(change.db(), workspace, &References::from_iter([&reference])).await?;
        partner.primary_program = Some(found.first().map(Program::named).ok_or(Error::NotFound("program"))?);
    }
    let external_id = partner.external_id.clone().unwrap_or_default();
    store::partners::update(change.db(), workspace, partner, now)
        .await
        .on_constraint("partners_external_id_unique", || external_id_taken(&external_id))?;
    if before.display_name != partner.display_name || before.status != partner.status {
        store::outbox::touch_many(change.db(), workspace, Many::OfPartner(partner.id)).await?;
    }
    Ok(change.audit("partner.update", partner.id, Some(before), Some(partner)).await?)
}

/// Writes a note on a partner.
///
/// # Errors
/// 404 where there is no such partner.
pub async fn note(
    change: &mut Change,
    by: ApiKeyId,
    partner: &Reference<shared::id::Partner>,
    text: String,
) -> Result<Note, Error> {
    let workspace = change.workspace();
    // Locked, so that an erasure running at the same time comes before or after, never in between.
    let partner = store::partners::lock(change.db(), workspace, partner).await?.ok_or(Error::NotFound("partner"))?;
    let clock = &change.clock();
    let note = Note { id: clock.id(), partner_id: partner.id, author: by, text, created_at: clock.at() };
    store::partner_notes::insert(change.db(), workspace, &note).await?;
    change.audit("note.create", note.id, None::<&()>, Some(&note)).await?;
    Ok(note)
}

/// Erases a locked partner's personal data: contact, invitation, metadata, the texts of notes, and their copies.
/// Ids, keys and the display name stay, because clicks and conversions are told apart by them.
///
/// # Errors
/// The database's.
pub async fn erase(change: &mut Change, mut partner: Partner) -> Result<Partner, Error> {
    let workspace = change.workspace();
    let now = change.clock().at();
    partner.contact_name = None;
    partner.contact_email = None;
    partner.invite = None;
    partner.metadata.clear();
    // What the trail shows as "before" is erased too.
    let before = partner.clone();
    partner.erased_at = Some(now);
    store::partners::update(change.db(), workspace, &mut partner, now).await?;
    store::partner_notes::erase(change.db(), workspace, partner.id).await?;
    erase_copies(change, partner.id).await?;
    change.audit("partner.erase", partner.id, Some(&before), Some(&partner)).await?;
    Ok(partner)
}

/// Erases it from the audit trail and from the answers that a repeated request would get.
async fn erase_copies(change: &mut Change, partner: PartnerId) -> Result<(), Error> {
    let workspace = change.workspace();
    let id = partner.to_string();
    for (entry, mut before, mut after) in store::audit::of_partner(change.db(), workspace, partner).await? {
        let found: usize = [&mut before, &mut after].into_iter().flatten().map(|side| erase_partner(side, &id)).sum();
        if found > 0 {
            store::audit::redact(change.db(), workspace, entry, before.as_ref(), after.as_ref()).await?;
        }
    }
    for (key, mut answer) in store::idempotency::holding(change.db(), workspace, &id).await? {
        if erase_partner(&mut answer, &id) > 0 {
            store::idempotency::redact(change.db(), workspace, &key, &answer).await?;
        }
    }
    Ok(())
}
