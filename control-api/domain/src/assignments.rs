//! Whom a link's clicks belong to. A change affects future clicks only: the old period is closed and the new
//! one opened at one instant, in one transaction, with the link locked.
//!
//! Locks are taken in one order everywhere, so that changes never wait for each other in a circle: partner,
//! program, link. (A rename holds its partner or program and then touches links.) They are `for no key update`
//! and `for share`, because foreign keys lock what they point at `for key share`, in an order of their own.

use serde::Serialize;
use shared::{
    click::Named,
    id::{ApiKeyId, AssignmentId, LinkId, Partner, Program as ProgramKind, ProgramId},
};

use crate::{
    error::Error,
    input::{Fields, boolean, word},
    links,
};
use model::{
    reference::{Found, Reference, References},
    status::Status,
    time::{Timestamp, random},
};
use store::{
    assignments::{Assignee, Assignment},
    change::{Change, Preconditions},
    programs::Program,
};

shared::text_enum! {
    /// What the caller should know about a change that went through.
    pub enum Warning {
        /// The partner's primary program is not active, so the link was assigned without a program.
        PrimaryProgramPaused = "primary_program_paused",
        /// Defaults were asked for, but no program gave any.
        NoProgramDefaults = "no_program_defaults",
        /// A program was named without a partner: it gave its defaults, but the link belongs to nobody.
        ProgramWithoutPartner = "program_without_partner",
    }
}

/// An answer with what the caller should know about it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Warned<T> {
    /// The object.
    #[serde(flatten)]
    pub object: T,
    /// `primary_program_paused`, `program_without_partner`, `no_program_defaults`.
    #[schema(value_type = Vec<String>)]
    pub warnings: Vec<Warning>,
}

/// Which program an assignment is to have.
#[derive(Default)]
pub enum Choice {
    /// The partner's primary one, if it is active.
    #[default]
    Primary,
    /// None, said by an explicit `null`.
    Without,
    /// This one.
    Named(Reference<ProgramKind>),
}

/// What a body asks for.
#[derive(Default)]
pub struct Wish {
    /// `partner`
    pub partner: Option<Reference<Partner>>,
    /// `program`
    pub program: Choice,
    /// `apply_program_defaults`
    pub apply_program_defaults: bool,
}

impl Choice {
    const fn named(&self) -> Option<&Reference<ProgramKind>> {
        match self {
            Self::Named(reference) => Some(reference),
            Self::Primary | Self::Without => None,
        }
    }
}

impl Wish {
    /// Whether it asks for anything of Partners. Plain links don't.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.partner.is_some() || self.program.named().is_some() || self.apply_program_defaults
    }

    /// Reads `partner`, `program` and `apply_program_defaults`.
    pub fn read(fields: &mut Fields<'_>) -> Self {
        let partner = fields.get("partner", word);
        let without = fields.mentions("program") && !fields.has("program");
        let program = match fields.get("program", word) {
            Some(reference) => Choice::Named(reference),
            None if without => Choice::Without,
            None => Choice::Primary,
        };
        let mut apply_program_defaults = false;
        fields.set("apply_program_defaults", &mut apply_program_defaults, boolean);
        Self { partner, program, apply_program_defaults }
    }
}

/// A wish whose objects exist, may be assigned, and stay so until the transaction ends.
pub struct Granted {
    /// Whom to assign to.
    pub partner: Option<Named<'static, Partner>>,
    /// Within which program.
    pub program: Option<Program>,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}

/// Why a wish is not granted: each field that stands against it.
pub type Refusals = Vec<(&'static str, Error)>;

/// What a wish would come to, and why it may not.
pub struct Decision {
    granted: Granted,
    refusals: Refusals,
}

impl Decision {
    /// The wish, if nothing stands against it.
    ///
    /// # Errors
    /// What stands against it.
    pub fn granted(self) -> Result<Granted, Refusals> {
        if self.refusals.is_empty() { Ok(self.granted) } else { Err(self.refusals) }
    }
}

/// Looks up what wishes name and holds it. Call it before links are locked.
///
/// # Errors
/// The database's.
pub async fn grant(change: &mut Change, wishes: &[&Wish]) -> Result<Vec<Decision>, Error> {
    let workspace = change.workspace();
    let partners: References = wishes.iter().filter_map(|wish| wish.partner.as_ref()).collect();
    let partners = store::assignments::hold_partners(change.db(), workspace, &partners).await?;
    let partners = Found::of(
        partners.into_iter().map(|one| (one.partner.id, one.partner.key.to_string(), one.external_id.clone(), one)),
    );
    let assignee = |wish: &Wish| wish.partner.as_ref().and_then(|reference| partners.get(reference));
    let mut programs: References = wishes.iter().filter_map(|wish| wish.program.named()).collect();
    programs.ids.extend(
        wishes
            .iter()
            .filter(|wish| matches!(wish.program, Choice::Primary))
            .filter_map(|wish| assignee(wish).and_then(|one| one.primary_program).map(ProgramId::uuid)),
    );
    let held = store::assignments::hold_programs(change.db(), workspace, &programs).await?;
    let programs = store::programs::get_all(change.db(), workspace, &held).await?;
    let programs = Found::of(programs.into_iter().map(|program| (program.id, program.key.clone(), None, program)));
    Ok(wishes.iter().map(|wish| decide(wish, assignee(wish), &programs)).collect())
}

/// What a wish comes to, and all that stands against it.
fn decide(wish: &Wish, assignee: Option<&Assignee>, programs: &Found<Program>) -> Decision {
    let mut granted = Granted { partner: assignee.map(|one| one.partner.clone()), program: None, warnings: vec![] };
    let mut refusals = vec![];
    match assignee {
        None if wish.partner.is_some() => refusals.push(("/partner", Error::NotFound("partner"))),
        Some(one) if one.status != Status::Active => {
            let detail =
                format!("the partner {} is {}; only active partners can be assigned", one.partner.key, one.status);
            refusals.push(("/partner", Error::Rule { code: "partner_not_active", pointer: "/partner", detail }));
        }
        _ => {}
    }
    match &wish.program {
        Choice::Without => {}
        Choice::Named(reference) => match programs.get(reference) {
            None => refusals.push(("/program", Error::NotFound("program"))),
            Some(program) if program.status != Status::Active => {
                let detail =
                    format!("the program {} is {}; only active programs can be assigned", program.key, program.status);
                refusals.push(("/program", Error::Rule { code: "program_not_active", pointer: "/program", detail }));
                granted.program = Some(program.clone());
            }
            Some(program) => granted.program = Some(program.clone()),
        },
        Choice::Primary => {
            if let Some(id) = assignee.and_then(|one| one.primary_program) {
                let program = programs.get(&Reference::Id(id));
                granted.program = program.filter(|program| program.status == Status::Active).cloned();
                if granted.program.is_none() {
                    granted.warnings.push(Warning::PrimaryProgramPaused);
                }
            }
        }
    }
    if wish.partner.is_none() && granted.program.is_some() {
        granted.warnings.push(Warning::ProgramWithoutPartner);
    }
    if wish.apply_program_defaults && granted.program.is_none() && granted.warnings.is_empty() {
        granted.warnings.push(Warning::NoProgramDefaults);
    }
    Decision { granted, refusals }
}

/// Assigns a link, and copies its program's defaults onto it if the wish says so. What is in force already stays, also
/// where its partner or program is no longer active.
///
/// # Errors
/// As [`grant`]; 404 where there is no such link; 412 where the caller saw another version of it; 422 where the
/// defaults don't fit onto it.
pub async fn put(
    change: &mut Change,
    by: ApiKeyId,
    attempt: &Preconditions,
    link: LinkId,
    wish: &Wish,
) -> Result<Warned<Assignment>, Error> {
    let workspace = change.workspace();
    let Decision { granted: Granted { partner, program, warnings }, mut refusals } =
        grant(change, &[wish]).await?.swap_remove(0);
    let Some(partner) = partner else {
        let missing = || Error::field("/partner", "required", "is required");
        return Err(if refusals.is_empty() { missing() } else { refusals.swap_remove(0).1 });
    };
    let before = store::links::lock(change.db(), workspace, link).await?.ok_or(Error::NotFound("link"))?;
    attempt.check_version(before.version)?;
    let latest = store::assignments::latest(change.db(), workspace, link).await?;
    let same = latest.as_ref().is_some_and(|there| {
        let programs = (there.program.as_ref().map(|one| one.id), program.as_ref().map(|one| one.id));
        there.ended_at.is_none() && there.partner.id == partner.id && programs.0 == programs.1
    });
    // The first refusal has a status and code of its own, which is the answer's.
    if !refusals.is_empty() && (!same || wish.apply_program_defaults) {
        return Err(refusals.swap_remove(0).1);
    }
    if let Some(program) = program.as_ref().filter(|_| wish.apply_program_defaults) {
        let mut after = before.clone();
        links::apply_defaults(&mut after, program)?;
        if (&after.utm, &after.custom_query) != (&before.utm, &before.custom_query) {
            links::update(change, &before, &mut after).await?;
        }
    }
    let assignment = match latest {
        Some(there) if same => there,
        latest => assign(change, by, link, latest, partner, program.as_ref()).await?,
    };
    Ok(Warned { object: assignment, warnings })
}

/// Ends the period that is in force, if one is, and begins another.
async fn assign(
    change: &mut Change,
    by: ApiKeyId,
    link: LinkId,
    latest: Option<Assignment>,
    partner: Named<'static, Partner>,
    program: Option<&Program>,
) -> Result<Assignment, Error> {
    let (mut at, mut minted) = (store::assignments::moment(change.db()).await?, change.clock().now());
    if let Some(latest) = latest {
        // Clocks of instances differ; a link's history is in order all the same, by time and by id.
        at = at.max(latest.ended_at.unwrap_or(latest.started_at));
        minted = minted.max(latest.id.time().plus(1));
        if latest.ended_at.is_none() {
            close(change, by, latest, at).await?;
        }
    }
    let id = AssignmentId::mint(minted, random());
    let program = program.map(Program::named);
    let assignment =
        Assignment { id, link_id: link, partner, program, started_at: at, ended_at: None, actor: by, ended_by: None };
    begin(change, std::slice::from_ref(&assignment)).await?;
    changed(change, link).await?;
    Ok(assignment)
}

/// A link shows whom it belongs to, and so does its record.
async fn changed(change: &mut Change, link: LinkId) -> Result<(), Error> {
    let (workspace, at) = (change.workspace(), change.clock().at());
    store::links::raise_version(change.db(), workspace, link, at).await?;
    store::outbox::touch_links(change.db(), workspace, &[link.uuid()]).await?;
    Ok(())
}

/// Stores assignments that begin, of links without an active one.
///
/// # Errors
/// The database's.
pub async fn begin(change: &mut Change, assignments: &[Assignment]) -> Result<(), Error> {
    let workspace = change.workspace();
    store::assignments::insert(change.db(), workspace, assignments).await?;
    for assignment in assignments {
        change.audit("assignment.create", assignment.id, None::<&()>, Some(assignment)).await?;
    }
    Ok(())
}

/// Ends the assignment of a link. Where none is active, nothing changes and the latest one is answered, so
/// that a repeated request is answered like the first.
///
/// # Errors
/// 404 where there is no such link, or it never had an assignment; 412 where the caller saw another version of it.
pub async fn end(
    change: &mut Change,
    by: ApiKeyId,
    attempt: &Preconditions,
    link: LinkId,
) -> Result<Assignment, Error> {
    let workspace = change.workspace();
    let before = store::links::lock(change.db(), workspace, link).await?.ok_or(Error::NotFound("link"))?;
    attempt.check_version(before.version)?;
    let latest = store::assignments::latest(change.db(), workspace, link).await?;
    let latest = latest.ok_or(Error::NotFound("assignment"))?;
    if latest.ended_at.is_some() {
        return Ok(latest);
    }
    let at = store::assignments::moment(change.db()).await?.max(latest.started_at);
    let ended = close(change, by, latest, at).await?;
    changed(change, link).await?;
    Ok(ended)
}

async fn close(change: &mut Change, by: ApiKeyId, assignment: Assignment, at: Timestamp) -> Result<Assignment, Error> {
    let workspace = change.workspace();
    store::assignments::close(change.db(), workspace, assignment.id, at, by).await?;
    let ended = Assignment { ended_at: Some(at), ended_by: Some(by), ..assignment.clone() };
    change.audit("assignment.end", ended.id, Some(&assignment), Some(&ended)).await?;
    Ok(ended)
}
