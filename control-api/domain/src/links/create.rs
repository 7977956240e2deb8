//! Links made, one or many, in a number of statements that doesn't grow with theirs.

use std::collections::HashSet;

use serde_json::Value;
use shared::{
    Millis,
    id::{ApiKeyId, AssignmentId, DomainId},
    name::Slug,
};

use super::{Shown, apply_defaults, draft, read, slug, too_long};
use crate::{
    assignments::{self, Granted, Warned, Wish},
    bulk::{Bulk, Outcome, Rejection, Wanted},
    context::Context,
    error::Error,
    input::{Fields, word},
};
use model::{
    access::{Assign, Caller, Permission as _},
    reference::DomainRef,
    time::{Timestamp, random},
};
use store::{
    assignments::Assignment,
    change::Change,
    domains::{Domain, DomainStatus},
    links::{CurrentAssignment, Link},
    programs::Program,
};

/// Letters and digits that people don't confuse (base58).
const SLUG_LETTERS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Characters of a random slug: 2 × 10¹² of them.
const SLUG_LENGTH: usize = 7;
/// How often a random slug is tried.
const TRIES: usize = 5;

/// What a link is to be.
pub struct NewLink {
    link: Link,
    domain: Option<DomainRef>,
    /// `None` for a random one.
    slug: Option<Slug>,
    wish: Wish,
    granted: Option<Granted>,
}

/// Links, as they are made.
pub enum Links {}

impl Bulk for Links {
    type Draft = NewLink;
    type Made = Warned<Shown>;
    const ONE: &'static str = "link";
    const ALL: &'static str = "links";

    fn read(context: &Context, values: &[Value]) -> Vec<Wanted<NewLink>> {
        let now = context.clock.at();
        let ids = context.clock.ids(values.len());
        let read = |(value, id)| {
            let mut new =
                NewLink { link: draft(id, now), domain: None, slug: None, wish: Wish::default(), granted: None };
            let mut rejection = Rejection::default();
            match Fields::of(value) {
                Ok(mut fields) => {
                    fields.require(&["domain"]);
                    new.domain = fields.get("domain", word);
                    new.slug = fields.get("slug", slug);
                    new.wish = Wish::read(&mut fields);
                    if !fields.has("destination") && !fields.has("partner") && !fields.has("program") {
                        fields.require(&["destination"]);
                    }
                    read(&mut fields, &mut new.link);
                    rejection.note(fields.finish());
                }
                Err(error) => rejection.note(Err(error)),
            }
            Wanted { draft: new, rejection }
        };
        values.iter().zip(ids).map(read).collect()
    }

    fn allow(caller: &Caller, wanted: &[Wanted<NewLink>]) -> Result<(), Error> {
        // Plain links need no Partners; what names a partner or program does.
        if wanted.iter().any(|one| one.draft.wish.asks()) { Ok(Assign::RULE.check(caller)?) } else { Ok(()) }
    }

    async fn make(
        change: &mut Change,
        by: ApiKeyId,
        mut wanted: Vec<Wanted<NewLink>>,
    ) -> Result<Vec<Outcome<Warned<Shown>>>, Error> {
        grant(change, &mut wanted).await?;
        place(change, &mut wanted).await?;
        for one in &mut wanted {
            complete(one);
        }
        refuse_taken_slugs(change, &mut wanted).await?;
        store(change, &mut wanted).await?;
        let at = store::assignments::moment(change.db()).await?;
        let minted = change.clock().now();
        let mut begun = vec![];
        for one in &mut wanted {
            if let Some(assignment) = assignment(one, by, at, minted) {
                one.draft.link.assignment = Some(CurrentAssignment::of(&assignment));
                begun.push(assignment);
            }
        }
        let workspace = change.workspace();
        let made: Vec<&Link> =
            wanted.iter().filter(|one| one.rejection.is_empty()).map(|one| &one.draft.link).collect();
        store::outbox::enqueue_new_links(change.db(), workspace, &made).await?;
        let mut outcomes = Vec::with_capacity(wanted.len());
        for Wanted { draft: NewLink { link, granted, .. }, rejection } in wanted {
            if !rejection.is_empty() {
                outcomes.push(Err(rejection));
                continue;
            }
            change.audit("link.create", link.id, None::<&()>, Some(&link)).await?;
            let warnings = granted.map(|granted| granted.warnings).unwrap_or_default();
            outcomes.push(Ok(Warned { object: link.into(), warnings }));
        }
        assignments::begin(change, &begun).await?;
        Ok(outcomes)
    }

    fn named(made: &Warned<Shown>) -> (String, (&'static str, String)) {
        (made.object.link.id.to_string(), ("short_url", made.object.short_url.clone()))
    }
}

async fn grant(change: &mut Change, wanted: &mut [Wanted<NewLink>]) -> Result<(), Error> {
    let wishes: Vec<&Wish> = wanted.iter().map(|one| &one.draft.wish).collect();
    let granted = assignments::grant(change, &wishes).await?;
    for (Wanted { draft, rejection }, granted) in wanted.iter_mut().zip(granted) {
        match granted.granted() {
            Ok(granted) => draft.granted = Some(granted),
            Err(refusals) => refusals.into_iter().for_each(|(pointer, error)| rejection.refuse(pointer, error)),
        }
    }
    Ok(())
}

async fn place(change: &mut Change, wanted: &mut [Wanted<NewLink>]) -> Result<(), Error> {
    let workspace = change.workspace();
    let named: HashSet<&DomainRef> = wanted.iter().filter_map(|one| one.draft.domain.as_ref()).collect();
    let domains = store::domains::find_all(change.db(), workspace, named).await?;
    let called = |reference: &DomainRef, domain: &Domain| match reference {
        DomainRef::Id(id) => *id == domain.id,
        DomainRef::Hostname(hostname) => hostname.as_str() == domain.hostname,
    };
    for Wanted { draft, rejection } in wanted {
        let Some(reference) = &draft.domain else { continue };
        match domains.iter().find(|domain| called(reference, domain)) {
            None => rejection.refuse("/domain", Error::NotFound("domain")),
            Some(domain) if domain.status != DomainStatus::Active => {
                let detail = format!("the domain {} is archived; only active domains take links", domain.hostname);
                rejection.refuse("/domain", Error::Rule { code: "domain_not_active", pointer: "/domain", detail });
            }
            Some(domain) => {
                draft.link.domain.clone_from(&domain.hostname);
                draft.link.domain_id = domain.id;
            }
        }
    }
    Ok(())
}

/// Gives a link what its program has for it.
fn complete(Wanted { draft, rejection }: &mut Wanted<NewLink>) {
    let Some(granted) = &draft.granted else { return };
    let link = &mut draft.link;
    let program = granted.program.as_ref();
    if link.destination.is_empty() && !rejection.concerns("/destination") {
        match program.and_then(|program| program.default_destination_url.clone()) {
            Some(default) => {
                link.destination = default;
                if let Some(detail) = too_long(link) {
                    rejection.refuse("/destination", Error::field("/destination", "length", detail));
                }
            }
            None => {
                let detail = "is required: no program gives a default destination";
                rejection.refuse("/destination", Error::field("/destination", "required", detail));
            }
        }
    }
    if let Some(program) = program.filter(|_| draft.wish.apply_program_defaults)
        && let Err(error) = apply_defaults(link, program)
    {
        rejection.refuse("/apply_program_defaults", error);
    }
}

fn slug_taken(link: &Link) -> Error {
    let detail = format!("the slug {} is taken on {}; choose another", link.slug, link.domain);
    Error::Conflict { code: "conflict", detail }
}

async fn refuse_taken_slugs(change: &mut Change, wanted: &mut [Wanted<NewLink>]) -> Result<(), Error> {
    let workspace = change.workspace();
    let placed = wanted.iter().filter(|one| !one.draft.link.domain.is_empty());
    let asked = placed.filter_map(|one| one.draft.slug.as_ref().map(|slug| (one.draft.link.domain_id, slug.as_str())));
    let (domains, slugs): (Vec<_>, Vec<_>) = asked.map(|(domain, slug)| (domain.uuid(), slug)).unzip();
    let taken = store::links::taken(change.db(), workspace, &domains, &slugs).await?;
    let taken: HashSet<(DomainId, String)> = taken.into_iter().collect();
    let mut seen = HashSet::new();
    for Wanted { draft, rejection } in wanted {
        let Some(slug) = &draft.slug else { continue };
        slug.as_str().clone_into(&mut draft.link.slug);
        if draft.link.domain.is_empty() {
            continue;
        }
        let place = (draft.link.domain_id, draft.link.slug.clone());
        if taken.contains(&place) {
            rejection.refuse("/slug", slug_taken(&draft.link));
        } else if !seen.insert(place) {
            let detail = format!("the slug {slug} stands in this request before, on {}", draft.link.domain);
            rejection.refuse("/slug", Error::field("/slug", "duplicate", detail));
        }
    }
    Ok(())
}

async fn store(change: &mut Change, wanted: &mut [Wanted<NewLink>]) -> Result<(), Error> {
    let workspace = change.workspace();
    let mut stored = HashSet::new();
    for _ in 0..TRIES {
        let missing = |one: &&mut Wanted<NewLink>| one.rejection.is_empty() && !stored.contains(&one.draft.link.id);
        for Wanted { draft, .. } in wanted.iter_mut().filter(missing).filter(|one| one.draft.slug.is_none()) {
            draft.link.slug = random_slug();
        }
        let missing: Vec<&Link> = wanted
            .iter()
            .filter(|one| one.rejection.is_empty() && !stored.contains(&one.draft.link.id))
            .map(|one| &one.draft.link)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        stored.extend(store::links::insert(change.db(), workspace, &missing).await?);
        // Taken between the question and the answer, by a request that ran at the same time.
        for Wanted { draft, rejection } in wanted.iter_mut().filter(|one| one.draft.slug.is_some()) {
            if rejection.is_empty() && !stored.contains(&draft.link.id) {
                rejection.refuse("/slug", slug_taken(&draft.link));
            }
        }
    }
    if wanted.iter().all(|one| !one.rejection.is_empty() || stored.contains(&one.draft.link.id)) {
        return Ok(());
    }
    Err(Error::Unavailable("five random slugs in a row were taken".to_owned()))
}

/// The assignment with which a link begins.
fn assignment(one: &Wanted<NewLink>, by: ApiKeyId, at: Timestamp, minted: Millis) -> Option<Assignment> {
    let granted = one.draft.granted.as_ref().filter(|_| one.rejection.is_empty())?;
    Some(Assignment {
        id: AssignmentId::mint(minted, random()),
        link_id: one.draft.link.id,
        partner: granted.partner.clone()?,
        program: granted.program.as_ref().map(Program::named),
        started_at: at,
        ended_at: None,
        actor: by,
        ended_by: None,
    })
}

fn random_slug() -> String {
    let mut slug = String::with_capacity(SLUG_LENGTH);
    while slug.len() < SLUG_LENGTH {
        // Bytes of an incomplete round of 58 would make the first letters likelier.
        let fair = random::<16>().into_iter().filter(|byte| usize::from(*byte) < 256 / 58 * 58);
        let letters = fair.map(|byte| char::from(SLUG_LETTERS[usize::from(byte) % 58]));
        slug.extend(letters.take(SLUG_LENGTH - slug.len()));
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_slugs_are_slugs_and_differ() {
        let slugs: HashSet<_> = (0..1_000).map(|_| random_slug()).collect();
        assert_eq!(slugs.len(), 1_000);
        assert!(slugs.iter().all(|slug| slug.len() == 7 && Slug::parse(slug).is_ok()));
    }
}
