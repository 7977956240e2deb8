//! What the traffic export holds.

use chrono::NaiveDate;
use futures::stream::BoxStream;
use shared::id::{LinkId, PartnerId, ProgramId};
use sqlx::PgConnection;

use crate::reports::clicks::first_id;
use analytics::scope::Scope;
use model::time::Timestamp;

/// Clicks of a day on a link, under the names of the time.
#[derive(Debug)]
#[allow(missing_docs)] // Named as the columns of `clicks`.
pub struct Row {
    pub date: NaiveDate,
    pub partner_id: Option<PartnerId>,
    pub partner_key: Option<String>,
    pub partner_name: Option<String>,
    pub program_id: Option<ProgramId>,
    pub program_key: Option<String>,
    pub program_name: Option<String>,
    pub link_id: LinkId,
    pub domain: String,
    pub slug: String,
    pub clicks: i64,
    pub human: i64,
    pub qr_scan: i64,
}

/// The clicks in scope as of its moment, by day, partner, program and link.
pub fn stream<'a>(db: &'a mut PgConnection, scope: &Scope, as_of: Timestamp) -> BoxStream<'a, sqlx::Result<Row>> {
    sqlx::query_as!(
        Row,
        r#"select (uuid_extract_timestamp(click_id) at time zone $5)::date as "date!",
           partner_id as "partner_id: PartnerId", partner_key, partner_name,
           program_id as "program_id: ProgramId", program_key, program_name,
           link_id as "link_id: LinkId", domain, slug,
           count(*) as "clicks!", count(*) filter (where bot_reason is null) as "human!",
           count(*) filter (where trigger = 'qr') as "qr_scan!"
           from clicks
           where workspace_id = $1 and click_id >= $2 and click_id < $3 and recorded_at < $4
             and ($6::uuid is null or partner_id = $6) and ($7::uuid is null or program_id = $7)
           group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
           order by 1, 2, 5, 8, 4, 7"#,
        scope.workspace.uuid(),
        first_id(scope.from),
        first_id(scope.to),
        as_of.end_of_millisecond().0,
        scope.tz.name(),
        scope.filter.partner.map(PartnerId::uuid),
        scope.filter.program.map(ProgramId::uuid),
    )
    .fetch(db)
}
