//! Storing clicks, and appending what the rollups must still count: by COPY where a batch holds new clicks alone, else by
//! one statement that finds out which are new.

mod copy;

use shared::click::Click;
use sqlx::PgConnection;
use uuid::Uuid;

pub use copy::append;

use model::time::Timestamp;

/// The columns of a batch, each as an array: one round trip, one plan, whatever the number of rows.
#[derive(Default)]
pub struct Columns<'a> {
    workspace_id: Vec<Uuid>,
    click_id: Vec<Uuid>,
    link_id: Vec<Uuid>,
    domain: Vec<&'a str>,
    slug: Vec<&'a str>,
    destination: Vec<&'a str>,
    assignment_id: Vec<Option<Uuid>>,
    partner_id: Vec<Option<Uuid>>,
    partner_key: Vec<Option<&'a str>>,
    partner_name: Vec<Option<&'a str>>,
    program_id: Vec<Option<Uuid>>,
    program_key: Vec<Option<&'a str>>,
    program_name: Vec<Option<&'a str>>,
    trigger: Vec<&'a str>,
    source: Vec<Option<&'a str>>,
    utm_source: Vec<Option<&'a str>>,
    utm_medium: Vec<Option<&'a str>>,
    utm_campaign: Vec<Option<&'a str>>,
    utm_term: Vec<Option<&'a str>>,
    utm_content: Vec<Option<&'a str>>,
    experiment: Vec<Option<&'a str>>,
    variant: Vec<Option<&'a str>>,
    referrer_host: Vec<Option<&'a str>>,
    country: Vec<Option<&'a str>>,
    region: Vec<Option<&'a str>>,
    city: Vec<Option<&'a str>>,
    device: Vec<&'a str>,
    browser: Vec<&'a str>,
    os: Vec<&'a str>,
    bot_reason: Vec<Option<&'a str>>,
    token_reason: Vec<String>,
    colo: Vec<Option<&'a str>>,
    record_version: Vec<i64>,
    classifier: Vec<i32>,
}

impl<'a> Columns<'a> {
    /// Clicks as columns, in their order.
    #[must_use]
    pub fn of(clicks: &[&'a Click<'_>]) -> Self {
        let mut columns = Self::default();
        for &click in clicks {
            let (partner, program, utm) = (click.partner.as_ref(), click.program.as_ref(), &click.utm);
            columns.workspace_id.push(click.workspace.uuid());
            columns.click_id.push(click.id.uuid());
            columns.link_id.push(click.link.uuid());
            columns.domain.push(&click.domain);
            columns.slug.push(&click.slug);
            columns.destination.push(&click.destination);
            columns.assignment_id.push(click.assignment.map(shared::Id::uuid));
            columns.partner_id.push(partner.map(|p| p.id.uuid()));
            columns.partner_key.push(partner.map(|p| &*p.key));
            columns.partner_name.push(partner.map(|p| &*p.name));
            columns.program_id.push(program.map(|p| p.id.uuid()));
            columns.program_key.push(program.map(|p| &*p.key));
            columns.program_name.push(program.map(|p| &*p.name));
            columns.trigger.push(click.trigger.as_str());
            columns.source.push(click.source.as_deref());
            columns.utm_source.push(utm.source.as_deref());
            columns.utm_medium.push(utm.medium.as_deref());
            columns.utm_campaign.push(utm.campaign.as_deref());
            columns.utm_term.push(utm.term.as_deref());
            columns.utm_content.push(utm.content.as_deref());
            columns.experiment.push(click.experiment.as_deref());
            columns.variant.push(click.variant.as_deref());
            columns.referrer_host.push(click.referrer_host.as_deref());
            columns.country.push(click.country.as_deref());
            columns.region.push(click.region.as_deref());
            columns.city.push(click.city.as_deref());
            columns.device.push(click.device.as_str());
            columns.browser.push(click.browser.as_str());
            columns.os.push(click.os.as_str());
            columns.bot_reason.push(click.bot_reason.map(shared::classify::BotReason::as_str));
            columns.token_reason.push(click.token.to_string());
            columns.colo.push(click.colo.as_deref());
            columns.record_version.push(i64::try_from(click.record_version).unwrap_or(i64::MAX));
            columns.classifier.push(click.classifier);
        }
        columns
    }
}

/// Stores what is new of a batch, and answers the keys of that.
///
/// # Errors
/// The database's.
pub async fn insert(db: &mut PgConnection, columns: &Columns<'_>) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    let c = columns;
    let rows = sqlx::query_file!(
        "src/clicks/insert.sql",
        &c.workspace_id,
        &c.click_id,
        &c.link_id,
        &c.domain as _,
        &c.slug as _,
        &c.destination as _,
        &c.assignment_id as _,
        &c.partner_id as _,
        &c.partner_key as _,
        &c.partner_name as _,
        &c.program_id as _,
        &c.program_key as _,
        &c.program_name as _,
        &c.trigger as _,
        &c.source as _,
        &c.utm_source as _,
        &c.utm_medium as _,
        &c.utm_campaign as _,
        &c.utm_term as _,
        &c.utm_content as _,
        &c.experiment as _,
        &c.variant as _,
        &c.referrer_host as _,
        &c.country as _,
        &c.region as _,
        &c.city as _,
        &c.device as _,
        &c.browser as _,
        &c.os as _,
        &c.bot_reason as _,
        &c.token_reason,
        &c.colo as _,
        &c.record_version,
        &c.classifier,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.workspace_id, row.click_id)).collect())
}

/// Of these workspaces, those that exist.
///
/// # Errors
/// The database's.
pub async fn known_workspaces(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("select id from workspaces where id = any($1)", ids).fetch_all(db).await
}

/// Writes down clicks that are refused for good; one that was written down before is not counted again.
///
/// # Errors
/// The database's.
pub async fn reject(
    db: &mut PgConnection,
    keys: &[Uuid],
    workspaces: &[Option<Uuid>],
    reasons: &[&str],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into click_rejections (click_key, workspace_id, reason, clicked_at)
         select key, workspace, reason,
           case when uuid_extract_version(key) = 7 then uuid_extract_timestamp(key) end
         from unnest($1::uuid[], $2::uuid[], $3::text[]) as refused (key, workspace, reason)
         -- What the edge gave up may have been stored all the same, when only the answer was lost.
         where not exists (select from clicks where workspace_id = workspace and click_id = key)
         order by key
         on conflict do nothing",
        keys,
        workspaces as _,
        reasons as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes the partition of the month that holds a time, if it is missing.
///
/// # Errors
/// The database's.
pub async fn ensure_partition(db: &mut PgConnection, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("select ensure_click_partition($1)", at.0).fetch_one(db).await?;
    Ok(())
}
