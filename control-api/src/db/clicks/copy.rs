//! The fast way into the store: a batch that holds nothing but new clicks, as Postgres' binary COPY reads it.
//!
//! COPY knows no `on conflict`: where one click is stored already, the whole transaction is at its end, and the batch is
//! stored anew by [`insert`](super::insert). Batches come again rarely, so that most pay nothing for it.

use shared::click::Click;
use sqlx::PgConnection;
use uuid::Uuid;

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
    let mut rows = Rows::with_room_for(clicks.len());
    clicks.iter().for_each(|click| rows.click(click));
    let copy = "copy clicks (workspace_id, click_id, link_id, domain, slug, destination, assignment_id, partner_id,
            partner_key, partner_name, program_id, program_key, program_name, trigger, source, utm_source, utm_medium,
            utm_campaign, utm_term, utm_content, experiment, variant, referrer_host, country, region, city, device,
            browser, os, bot_reason, token_reason, colo, record_version)
        from stdin (format binary)";
    match rows.write(db, copy).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return Ok(false),
        other => other?,
    }
    let mut rows = Rows::with_room_for(clicks.len());
    clicks.iter().for_each(|click| rows.delta(click));
    let copy = "copy click_deltas (workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, program_id,
            program_name, trigger, source, campaign, referrer_host, country, region, device, browser, os, bot)
        from stdin (format binary)";
    rows.write(db, copy).await?;
    Ok(true)
}

/// Rows in Postgres' binary format.
struct Rows(Vec<u8>);

impl Rows {
    fn with_room_for(many: usize) -> Self {
        let mut bytes = Vec::with_capacity(many * ROOM);
        // The signature, no flags, no extension.
        bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        bytes.extend_from_slice(&[0; 8]);
        Self(bytes)
    }

    async fn write(mut self, db: &mut PgConnection, copy: &str) -> sqlx::Result<()> {
        self.0.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut writer = db.copy_in_raw(copy).await?;
        writer.send(self.0).await?;
        writer.finish().await?;
        Ok(())
    }

    /// A row of `clicks`.
    fn click(&mut self, click: &Click<'_>) {
        let (partner, program, utm) = (click.partner.as_ref(), click.program.as_ref(), &click.utm);
        self.columns(33);
        self.id(Some(click.workspace.uuid()));
        self.id(Some(click.id.uuid()));
        self.id(Some(click.link.uuid()));
        self.text(&click.domain);
        self.text(&click.slug);
        self.text(&click.destination);
        self.id(click.assignment.map(shared::Id::uuid));
        self.id(partner.map(|p| p.id.uuid()));
        self.some(partner.map(|p| &*p.key));
        self.some(partner.map(|p| &*p.name));
        self.id(program.map(|p| p.id.uuid()));
        self.some(program.map(|p| &*p.key));
        self.some(program.map(|p| &*p.name));
        self.text(click.trigger.as_str());
        self.some(click.source.as_deref());
        self.some(utm.source.as_deref());
        self.some(utm.medium.as_deref());
        self.some(utm.campaign.as_deref());
        self.some(utm.term.as_deref());
        self.some(utm.content.as_deref());
        self.some(click.experiment.as_deref());
        self.some(click.variant.as_deref());
        self.some(click.referrer_host.as_deref());
        self.some(click.country.as_deref());
        self.some(click.region.as_deref());
        self.some(click.city.as_deref());
        self.text(click.device.as_str());
        self.text(click.browser.as_str());
        self.text(click.os.as_str());
        self.some(click.bot_reason.map(shared::click::BotReason::as_str));
        self.text(&click.token.to_string());
        self.some(click.colo.as_deref());
        self.field(&i64::try_from(click.record_version).unwrap_or(i64::MAX).to_be_bytes());
    }

    /// A row of `click_deltas`, as `insert.sql` makes it.
    fn delta(&mut self, click: &Click<'_>) {
        let (partner, program) = (click.partner.as_ref(), click.program.as_ref());
        self.columns(19);
        self.id(Some(click.workspace.uuid()));
        self.id(Some(click.id.uuid()));
        self.id(Some(click.link.uuid()));
        self.text(&click.domain);
        self.text(&click.slug);
        self.id(partner.map(|p| p.id.uuid()));
        self.some(partner.map(|p| &*p.name));
        self.id(program.map(|p| p.id.uuid()));
        self.some(program.map(|p| &*p.name));
        self.text(click.trigger.as_str());
        self.some(click.source.as_deref());
        self.some(click.utm.campaign.as_deref());
        self.some(click.referrer_host.as_deref());
        self.some(click.country.as_deref());
        self.some(click.region.as_deref());
        self.text(click.device.as_str());
        self.text(click.browser.as_str());
        self.text(click.os.as_str());
        self.field(&[u8::from(click.bot_reason.is_some())]);
    }

    /// Begins a row.
    fn columns(&mut self, many: i16) {
        self.0.extend_from_slice(&many.to_be_bytes());
    }

    fn field(&mut self, value: &[u8]) {
        // Within what one request may bring, 8 MiB.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn null(&mut self) {
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.field(value.as_bytes());
    }

    fn some(&mut self, value: Option<&str>) {
        match value {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    fn id(&mut self, value: Option<Uuid>) {
        match value {
            Some(id) => self.field(id.as_bytes()),
            None => self.null(),
        }
    }
}
