//! What a program may be, and how its terms are versioned.

use serde_json::Value;
use shared::{name::Key, reward::Basis};

use crate::{
    error::{Error, OnConstraint as _},
    input::{
        Fault, Fields, Parsed, currency, custom_query, email, fault, inner_faults, integer, line, merge_patch, small,
        text, web_url, word,
    },
    keys,
};
use model::{status::Status, time::Timestamp};
use store::{
    change::Change,
    outbox::Many,
    programs::{Program, ProgramKind, RewardTerms},
};

/// An empty program, for a create to fill.
#[must_use]
pub fn draft(id: shared::id::ProgramId, now: Timestamp) -> Program {
    Program {
        id,
        key: String::new(),
        name: String::new(),
        status: Status::Active,
        kind: ProgramKind::Other,
        public_label: None,
        default_destination_url: None,
        support_email: None,
        terms_url: None,
        help_url: None,
        application_url: None,
        utm: shared::destination::Utm::default(),
        custom_query: shared::destination::CustomQuery::new(),
        reward_terms: None,
        attribution_window_days: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// Reads what a body says into a program.
pub fn read(fields: &mut Fields<'_>, program: &mut Program) {
    fields.set("name", &mut program.name, line(200));
    fields.set("status", &mut program.status, word);
    fields.set("kind", &mut program.kind, word);
    fields.set_option("public_label", &mut program.public_label, line(200));
    fields.set_option("default_destination_url", &mut program.default_destination_url, web_url);
    fields.set_option("support_email", &mut program.support_email, email);
    fields.set_option("terms_url", &mut program.terms_url, web_url);
    fields.set_option("help_url", &mut program.help_url, web_url);
    fields.set_option("application_url", &mut program.application_url, web_url);
    fields.utm(&mut program.utm);
    fields.merge("custom_query", &mut program.custom_query, custom_query);
    let stored = program.reward_terms.clone();
    fields.set_option("reward_terms", &mut program.reward_terms, |patch| reward_terms(stored.as_ref(), patch));
    fields.set_option("attribution_window_days", &mut program.attribution_window_days, small(1..=365));
}

/// What a basis needs, and what has no meaning with it.
const fn sums(basis: Basis) -> (&'static [&'static str], &'static [&'static str]) {
    match basis {
        Basis::Percentage => (&["rate_bps"], &["amount_minor", "currency"]),
        Basis::Fixed => (&["amount_minor", "currency"], &["rate_bps"]),
    }
}

/// The terms in force as a body would say them, for a patch to be merged into. Where the patch has another basis, without
/// what has no meaning any more.
fn stated(terms: &RewardTerms, patch: &Value) -> Value {
    let mut whole = serde_json::to_value(terms).unwrap_or_default();
    let (_, excluded) = patch["basis"].as_str().and_then(|basis| basis.parse().ok()).map_or((&[][..], &[][..]), sums);
    if let Some(whole) = whole.as_object_mut() {
        whole.retain(|name, value| {
            !value.is_null()
                && !["version", "started_at"].contains(&name.as_str())
                && !excluded.contains(&name.as_str())
        });
    }
    whole
}

/// Reads reward terms: a change is merged into those in force, and the whole must make sense.
fn reward_terms(stored: Option<&RewardTerms>, patch: &Value) -> Parsed<RewardTerms> {
    let mut whole = stored.map_or_else(|| Value::Object(serde_json::Map::new()), |terms| stated(terms, patch));
    if !patch.is_object() {
        return fault("type", "must be an object");
    }
    merge_patch(&mut whole, patch);
    let mut fields = Fields::of(&whole).map_err(inner_faults)?;
    let mut basis = Basis::Percentage;
    let mut terms = RewardTerms {
        version: 0,
        basis,
        rate_bps: None,
        amount_minor: None,
        currency: None,
        applies_to: vec![],
        hold_days: 0,
        note: None,
        started_at: Timestamp::from_millis(shared::Millis(0)),
    };
    fields.require(&["basis", "applies_to"]);
    fields.set("basis", &mut basis, word);
    fields.set_option("rate_bps", &mut terms.rate_bps, small(0..=10_000));
    fields.set_option("amount_minor", &mut terms.amount_minor, integer(0..=i64::MAX));
    fields.set_option("currency", &mut terms.currency, currency);
    fields.set("applies_to", &mut terms.applies_to, |value| {
        let Value::Array(items) = value else { return fault("type", "must be a list of sale and lead") };
        if items.is_empty() {
            return fault("length", "must name sale, lead or both");
        }
        let mut types = vec![];
        let mut faults = vec![];
        for (index, item) in items.iter().enumerate() {
            match word(item) {
                Ok(known) if types.contains(&known) => {}
                Ok(new) => types.push(new),
                Err(inner) => faults.extend(inner.into_iter().map(|f| Fault { at: format!("/{index}{}", f.at), ..f })),
            }
        }
        if faults.is_empty() { Ok(types) } else { Err(faults) }
    });
    fields.set("hold_days", &mut terms.hold_days, small(0..=3_650));
    fields.set_option("note", &mut terms.note, text(2_000));
    terms.basis = basis;
    let (needed, excluded) = sums(basis);
    for name in needed {
        if !fields.has(name) {
            fields.fault(name, "required", format!("is required with basis {basis}"));
        }
    }
    for name in excluded {
        if fields.has(name) {
            fields.fault(name, "unexpected", format!("has no meaning with basis {basis}"));
        }
    }
    fields.finish().map(|()| terms).map_err(inner_faults)
}

/// Stores a new program with its terms.
///
/// # Errors
/// 409 where the key is taken.
pub async fn create(change: &mut Change, program: &mut Program, asked: Option<Key>) -> Result<(), Error> {
    let workspace = change.workspace();
    let wish = asked.as_ref().map_or(keys::Wish::Named(&program.name), keys::Wish::Asked);
    for key in keys::free(change, keys::Of::Program, &[wish]).await? {
        program.key = key?.to_string();
    }
    store::programs::insert(change.db(), workspace, program).await.on_constraint("programs_key_unique", || {
        Error::Conflict { code: "conflict", detail: format!("the key {} is taken; choose another", program.key) }
    })?;
    if let Some(terms) = &mut program.reward_terms {
        (terms.version, terms.started_at) =
            store::programs::start_terms(change.db(), workspace, program.id, Some(terms)).await?;
    }
    Ok(change.audit("program.create", program.id, None::<&()>, Some(program)).await?)
}

/// Stores a changed program; other terms than before start a new version, and a rename reaches the edge.
///
/// # Errors
/// The database's.
pub async fn update(change: &mut Change, before: &Program, program: &mut Program) -> Result<(), Error> {
    let workspace = change.workspace();
    let now = change.clock().at();
    store::programs::update(change.db(), workspace, program, now).await?;
    if !same_terms(before.reward_terms.as_ref(), program.reward_terms.as_ref()) {
        let started =
            store::programs::start_terms(change.db(), workspace, program.id, program.reward_terms.as_ref()).await?;
        if let Some(terms) = &mut program.reward_terms {
            (terms.version, terms.started_at) = started;
        }
    } else {
        program.reward_terms.clone_from(&before.reward_terms);
    }
    if before.name != program.name {
        store::outbox::touch_many(change.db(), workspace, Many::OfProgram(program.id)).await?;
    }
    Ok(change.audit("program.update", program.id, Some(before), Some(program)).await?)
}

fn same_terms(before: Option<&RewardTerms>, after: Option<&RewardTerms>) -> bool {
    match (before, after) {
        (None, None) => true,
        (Some(before), Some(after)) => {
            let as_before = RewardTerms { version: before.version, started_at: before.started_at, ..after.clone() };
            as_before == *before
        }
        _ => false,
    }
}
