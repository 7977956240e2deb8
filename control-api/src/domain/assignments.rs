//! Whom a link's clicks belong to. A change affects future clicks only: the old period is closed and the new
//! one opened at one instant, in one transaction, with the link locked.
//!
//! Locks are taken in one order everywhere, so that changes never wait for each other in a circle: partner,
//! program, link. (A rename holds its partner or program and then touches links.) They are `for no key update`
//! and `for share`, because foreign keys lock what they point at `for key share`, in an order of their own.

use serde::Serialize;
use shared::{
    click::Named,
    id::{ApiKeyId, AssignmentId, LinkId, Partner, Program as ProgramKind},
};

use crate::{
    db::{
        self,
        assignments::Assignment,
        programs::{Program, Status},
    },
    domain::links,
    error::ApiError,
    http::{
        fields::{Fields, boolean, word},
        mutation::Mutation,
        reference::Reference,
    },
    time::random,
};

shared::text_enum! {
    /// What the caller should know about a change that went through.
    pub enum Warning {
        /// The partner's primary program is not active, so the link was assigned without a program.
        PrimaryProgramPaused = "primary_program_paused",
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
    /// `primary_program_paused`, `program_without_partner`.
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

impl Wish {
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

/// Looks up what a wish names and holds it. Call it before the link is locked.
///
/// # Errors
/// 404 where there is no such partner or program; 422 `partner_not_active`, `program_not_active`.
pub async fn grant(change: &mut Mutation, wish: &Wish) -> Result<Granted, ApiError> {
    let workspace = change.workspace();
    let mut granted = Granted { partner: None, program: None, warnings: vec![] };
    let mut primary = None;
    if let Some(reference) = &wish.partner {
        let found = db::assignments::hold_partner(change.db(), workspace, reference).await?;
        let found = found.ok_or(ApiError::NotFound("partner"))?;
        if found.status != Status::Active {
            return Err(ApiError::Rule {
                code: "partner_not_active",
                pointer: "/partner",
                detail: format!(
                    "the partner {} is {}; only active partners can be assigned",
                    found.partner.key, found.status
                ),
            });
        }
        primary = found.primary_program;
        granted.partner = Some(found.partner);
    }
    match &wish.program {
        Choice::Without => {}
        Choice::Named(reference) => {
            let program = hold_program(change, reference).await?.ok_or(ApiError::NotFound("program"))?;
            if program.status != Status::Active {
                return Err(ApiError::Rule {
                    code: "program_not_active",
                    pointer: "/program",
                    detail: format!(
                        "the program {} is {}; only active programs can be assigned",
                        program.key, program.status
                    ),
                });
            }
            if granted.partner.is_none() {
                granted.warnings.push(Warning::ProgramWithoutPartner);
            }
            granted.program = Some(program);
        }
        Choice::Primary => {
            if let Some(id) = primary {
                let program = hold_program(change, &Reference::Id(id)).await?;
                granted.program = program.filter(|program| program.status == Status::Active);
                if granted.program.is_none() {
                    granted.warnings.push(Warning::PrimaryProgramPaused);
                }
            }
        }
    }
    Ok(granted)
}

async fn hold_program(change: &mut Mutation, reference: &Reference<ProgramKind>) -> Result<Option<Program>, ApiError> {
    let workspace = change.workspace();
    match db::assignments::hold_program(change.db(), workspace, reference).await? {
        Some(id) => Ok(db::programs::get(change.db(), workspace, id).await?),
        None => Ok(None),
    }
}

/// Assigns a link, and copies its program's defaults onto it if the wish says so.
///
/// # Errors
/// As [`grant`]; 404 where there is no such link; 422 where the defaults don't fit onto it.
pub async fn put(
    change: &mut Mutation,
    by: ApiKeyId,
    link: LinkId,
    wish: &Wish,
) -> Result<Warned<Assignment>, ApiError> {
    let workspace = change.workspace();
    let Granted { partner, program, warnings } = grant(change, wish).await?;
    let partner = partner.ok_or_else(|| ApiError::field("/partner", "required", "is required"))?;
    let before = db::links::lock(change.db(), workspace, link).await?.ok_or(ApiError::NotFound("link"))?;
    if let Some(program) = program.as_ref().filter(|_| wish.apply_program_defaults) {
        let mut after = before.clone();
        links::apply_defaults(&mut after, program)?;
        if (&after.utm, &after.custom_query) != (&before.utm, &before.custom_query) {
            links::update(change, &before, &mut after).await?;
        }
    }
    let assignment = assign(change, by, link, partner, program.as_ref()).await?;
    if before.assignment.is_none_or(|before| before.id != assignment.id) {
        db::outbox::touch_link(change.db(), workspace, link).await?;
    }
    Ok(Warned { object: assignment, warnings })
}

/// Assigns a locked or new link. The same partner and program again change nothing. The caller touches the
/// link's record.
///
/// # Errors
/// The database's.
pub async fn assign(
    change: &mut Mutation,
    by: ApiKeyId,
    link: LinkId,
    partner: Named<'static, Partner>,
    program: Option<&Program>,
) -> Result<Assignment, ApiError> {
    let workspace = change.workspace();
    let program = program.map(|program| Named {
        id: program.id,
        key: program.key.clone().into(),
        name: program.name.clone().into(),
    });
    let latest = db::assignments::latest(change.db(), workspace, link).await?;
    let same = |there: &Assignment| {
        let programs = (there.program.as_ref().map(|p| p.id), program.as_ref().map(|p| p.id));
        there.ended_at.is_none() && there.partner.id == partner.id && programs.0 == programs.1
    };
    let latest = match latest {
        Some(there) if same(&there) => return Ok(there),
        other => other,
    };
    let (mut at, mut minted) = (db::assignments::moment(change.db()).await?, change.app().ambient.now());
    if let Some(latest) = latest {
        // Clocks of instances differ; a link's history is in order all the same, by time and by id.
        at = at.max(latest.ended_at.unwrap_or(latest.started_at));
        minted = minted.max(latest.id.time().plus(1));
        if latest.ended_at.is_none() {
            close(change, by, latest, at).await?;
        }
    }
    let assignment = Assignment {
        id: AssignmentId::mint(minted, random()),
        link_id: link,
        partner,
        program,
        started_at: at,
        ended_at: None,
        actor: by,
        ended_by: None,
    };
    db::assignments::insert(change.db(), workspace, &assignment).await?;
    change.audit("assignment.create", assignment.id, None::<&()>, Some(&assignment)).await?;
    Ok(assignment)
}

/// Ends the assignment of a link. Where none is active, nothing changes and the latest one is answered, so
/// that a repeated request is answered like the first.
///
/// # Errors
/// 404 where there is no such link, or it never had an assignment.
pub async fn end(change: &mut Mutation, by: ApiKeyId, link: LinkId) -> Result<Assignment, ApiError> {
    let workspace = change.workspace();
    db::links::lock(change.db(), workspace, link).await?.ok_or(ApiError::NotFound("link"))?;
    let latest = db::assignments::latest(change.db(), workspace, link).await?;
    let latest = latest.ok_or(ApiError::NotFound("assignment"))?;
    if latest.ended_at.is_some() {
        return Ok(latest);
    }
    let at = db::assignments::moment(change.db()).await?.max(latest.started_at);
    let ended = close(change, by, latest, at).await?;
    db::outbox::touch_link(change.db(), workspace, link).await?;
    Ok(ended)
}

async fn close(
    change: &mut Mutation,
    by: ApiKeyId,
    assignment: Assignment,
    at: crate::time::At,
) -> Result<Assignment, ApiError> {
    let workspace = change.workspace();
    db::assignments::close(change.db(), workspace, assignment.id, at, by).await?;
    let ended = Assignment { ended_at: Some(at), ended_by: Some(by), ..assignment.clone() };
    change.audit("assignment.end", ended.id, Some(&assignment), Some(&ended)).await?;
    Ok(ended)
}
