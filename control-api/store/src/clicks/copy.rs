//! The fast way into the store: a batch that holds nothing but new clicks.

use shared::click::Click;
use sqlx::PgConnection;

use crate::copy::Rows;

/// Bytes that one click takes in either table, more or less.
const ROOM: usize = 512;

/// Stores clicks, sorted by their key, and a delta of each. False: one of them is stored already, and the transaction is
/// good for nothing but its end.
///
/// # Errors
/// The database's.
pub async fn append(db: &mut PgConnection, clicks: &[&Click<'_>]) -> sqlx::Result<bool> {
    if clicks.is_empty() {
        return Ok(true);
    }
    let mut rows = Rows::with_room_for(clicks.len() * ROOM);
    clicks.iter().for_each(|click| row(&mut rows, click));
    let copy = "copy clicks (workspace_id, click_id, link_id, domain, slug, destination, assignment_id, partner_id,
            partner_key, partner_name, program_id, program_key, program_name, trigger, source, utm_source, utm_medium,
            utm_campaign, utm_term, utm_content, experiment, variant, referrer_host, country, region, city, device,
            browser, os, bot_reason, token_reason, colo, record_version, classifier)
        from stdin (format binary)";
    if !rows.write(db, copy).await? {
        return Ok(false);
    }
    let mut rows = Rows::with_room_for(clicks.len() * ROOM);
    clicks.iter().for_each(|click| delta(&mut rows, click));
    let copy = "copy click_deltas (workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, program_id,
            program_name, trigger, source, campaign, referrer_host, country, region, device, browser, os, bot)
        from stdin (format binary)";
    rows.write(db, copy).await
}

/// A row of `clicks`.
fn row(rows: &mut Rows, click: &Click<'_>) {
    let (partner, program, utm) = (click.partner.as_ref(), click.program.as_ref(), &click.utm);
    rows.columns(34);
    rows.id(Some(click.workspace.uuid()));
    rows.id(Some(click.id.uuid()));
    rows.id(Some(click.link.uuid()));
    rows.text(&click.domain);
    rows.text(&click.slug);
    rows.text(&click.destination);
    rows.id(click.assignment.map(shared::Id::uuid));
    rows.id(partner.map(|p| p.id.uuid()));
    rows.some(partner.map(|p| &*p.key));
    rows.some(partner.map(|p| &*p.name));
    rows.id(program.map(|p| p.id.uuid()));
    rows.some(program.map(|p| &*p.key));
    rows.some(program.map(|p| &*p.name));
    rows.text(click.trigger.as_str());
    rows.some(click.source.as_deref());
    rows.some(utm.source.as_deref());
    rows.some(utm.medium.as_deref());
    rows.some(utm.campaign.as_deref());
    rows.some(utm.term.as_deref());
    rows.some(utm.content.as_deref());
    rows.some(click.experiment.as_deref());
    rows.some(click.variant.as_deref());
    rows.some(click.referrer_host.as_deref());
    rows.some(click.country.as_deref());
    rows.some(click.region.as_deref());
    rows.some(click.city.as_deref());
    rows.text(click.device.as_str());
    rows.text(click.browser.as_str());
    rows.text(click.os.as_str());
    rows.some(click.bot_reason.map(shared::classify::BotReason::as_str));
    rows.text(&click.token.to_string());
    rows.some(click.colo.as_deref());
    rows.long(Some(i64::try_from(click.record_version).unwrap_or(i64::MAX)));
    rows.int(Some(click.classifier));
}

/// A row of `click_deltas`, as `insert.sql` makes it.
fn delta(rows: &mut Rows, click: &Click<'_>) {
    let (partner, program) = (click.partner.as_ref(), click.program.as_ref());
    rows.columns(19);
    rows.id(Some(click.workspace.uuid()));
    rows.id(Some(click.id.uuid()));
    rows.id(Some(click.link.uuid()));
    rows.text(&click.domain);
    rows.text(&click.slug);
    rows.id(partner.map(|p| p.id.uuid()));
    rows.some(partner.map(|p| &*p.name));
    rows.id(program.map(|p| p.id.uuid()));
    rows.some(program.map(|p| &*p.name));
    rows.text(click.trigger.as_str());
    rows.some(click.source.as_deref());
    rows.some(click.utm.campaign.as_deref());
    rows.some(click.referrer_host.as_deref());
    rows.some(click.country.as_deref());
    rows.some(click.region.as_deref());
    rows.text(click.device.as_str());
    rows.text(click.browser.as_str());
    rows.text(click.os.as_str());
    rows.bytes(&[u8::from(click.bot_reason.is_some())]);
}
