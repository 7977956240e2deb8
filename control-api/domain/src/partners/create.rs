//! Partners made, one or many, in a number of statements that doesn't grow with theirs.

use std::collections::HashSet;

use serde_json::Value;
use shared::{id::ApiKeyId, name::Key};

use super::{Primary, draft, external_id_taken, read};
use crate::{
    bulk::{Bulk, Outcome, Rejection, Wanted},
    context::Context,
    error::Error,
    input::{self, Fields},
    keys,
};
use model::{
    access::Caller,
    reference::{Found, References},
};
use store::{change::Change, partners::Partner};

/// What a partner is to be.
pub struct NewPartner {
    partner: Partner,
    key: Option<Key>,
    primary: Primary,
}

/// Partners, as they are made.
pub enum Partners {}

impl Bulk for Partners {
    type Draft = NewPartner;
    type Made = Partner;
    const ONE: &'static str = "partner";
    const ALL: &'static str = "partners";

    fn read(context: &Context, values: &[Value]) -> Vec<Wanted<NewPartner>> {
        let now = context.clock.at();
        let ids = context.clock.ids(values.len());
        let read = |(value, id)| {
            let mut new = NewPartner { partner: draft(id, now), key: None, primary: Primary(None) };
            let mut rejection = Rejection::default();
            match Fields::of(value) {
                Ok(mut fields) => {
                    fields.require(&["display_name"]);
                    new.key = fields.get("key", input::key);
                    new.primary = read(&mut fields, &mut new.partner);
                    rejection.note(fields.finish());
                }
                Err(error) => rejection.note(Err(error)),
            }
            Wanted { draft: new, rejection }
        };
        values.iter().zip(ids).map(read).collect()
    }

    fn allow(_: &Caller, _: &[Wanted<NewPartner>]) -> Result<(), Error> {
        Ok(())
    }

    async fn make(
        change: &mut Change,
        _: ApiKeyId,
        mut wanted: Vec<Wanted<NewPartner>>,
    ) -> Result<Vec<Outcome<Partner>>, Error> {
        find_primaries(change, &mut wanted).await?;
        refuse_taken_external_ids(change, &mut wanted).await?;
        choose_keys(change, &mut wanted).await?;
        let workspace = change.workspace();
        let sound: Vec<&Partner> =
            wanted.iter().filter(|one| one.rejection.is_empty()).map(|one| &one.draft.partner).collect();
        let stored: HashSet<_> = store::partners::insert(change.db(), workspace, &sound).await?.into_iter().collect();
        let mut outcomes = Vec::with_capacity(wanted.len());
        for Wanted { draft: NewPartner { partner, .. }, mut rejection } in wanted {
            if stored.contains(&partner.id) {
                change.audit("partner.create", partner.id, None::<&()>, Some(&partner)).await?;
                outcomes.push(Ok(partner));
                continue;
            }
            if rejection.is_empty() {
                let detail =
                    format!("the key {} or the external_id was taken at this moment by another request", partner.key);
                rejection.refuse("/key", Error::Conflict { code: "conflict", detail });
            }
            outcomes.push(Err(rejection));
        }
        Ok(outcomes)
    }

    fn named(made: &Partner) -> (String, (&'static str, String)) {
        (made.id.to_string(), ("key", made.key.clone()))
    }
}

async fn find_primaries(change: &mut Change, wanted: &mut [Wanted<NewPartner>]) -> Result<(), Error> {
    let workspace = change.workspace();
    let references: References = wanted.iter().filter_map(|one| one.draft.primary.0.as_ref()).collect();
    let programs = store::programs::find_all(change.db(), workspace, &references).await?;
    let programs = Found::of(programs.into_iter().map(|program| (program.id, program.key.clone(), None, program)));
    for Wanted { draft, rejection } in wanted {
        let Some(reference) = &draft.primary.0 else { continue };
        match programs.get(reference) {
            Some(program) => draft.partner.primary_program = Some(program.named()),
            None => rejection.refuse("/primary_program", Error::NotFound("program")),
        }
    }
    Ok(())
}

async fn refuse_taken_external_ids(change: &mut Change, wanted: &mut [Wanted<NewPartner>]) -> Result<(), Error> {
    let workspace = change.workspace();
    let asked: Vec<String> = wanted.iter().filter_map(|one| one.draft.partner.external_id.clone()).collect();
    let taken = store::partners::taken_external_ids(change.db(), workspace, &asked).await?;
    let taken: HashSet<String> = taken.into_iter().collect();
    let mut seen = HashSet::new();
    for Wanted { draft, rejection } in wanted {
        let Some(external_id) = &draft.partner.external_id else { continue };
        if taken.contains(external_id) {
            rejection.refuse("/external_id", external_id_taken(external_id));
        } else if !seen.insert(external_id.clone()) {
            let detail = format!("the external_id {external_id} stands in this request before");
            rejection.refuse("/external_id", Error::field("/external_id", "duplicate", detail));
        }
    }
    Ok(())
}

async fn choose_keys(change: &mut Change, wanted: &mut [Wanted<NewPartner>]) -> Result<(), Error> {
    // What can't be made needs no key, but one that it asks for may be another of its faults.
    let wishing = |one: &Wanted<NewPartner>| one.draft.key.is_some() || one.rejection.is_empty();
    let wishes: Vec<_> = wanted
        .iter()
        .filter(|one| wishing(one))
        .map(|Wanted { draft, .. }| {
            draft.key.as_ref().map_or(keys::Wish::Named(&draft.partner.display_name), keys::Wish::Asked)
        })
        .collect();
    let chosen = keys::free(change, keys::Of::Partner, &wishes).await?;
    for (Wanted { draft, rejection }, key) in wanted.iter_mut().filter(|one| wishing(one)).zip(chosen) {
        match key {
            Ok(key) => draft.partner.key = key.to_string(),
            Err(error) => rejection.refuse("/key", error),
        }
    }
    Ok(())
}
