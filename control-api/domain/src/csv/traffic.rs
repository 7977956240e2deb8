//! The traffic export: clicks per day, partner, program and link, under the names they went by at the clicks. A
//! rename therefore starts a new row.

use super::{Table, conversions::short_url};
use store::exports::traffic::Row;

/// The columns, in their order. `date` is a day of the workspace's time zone.
pub const COLUMNS: [&str; 14] = [
    "date",
    "partner_id",
    "partner_key",
    "partner_name",
    "program_id",
    "program_key",
    "program_name",
    "link_id",
    "short_url",
    "clicks",
    "human",
    "bot",
    "short_link",
    "qr_scan",
];

/// Adds a row.
///
/// # Errors
/// Never, as long as it is as wide as [`COLUMNS`].
pub fn push(table: &mut Table, row: &Row) -> anyhow::Result<()> {
    table.word(Some(row.date))?;
    table.word(row.partner_id)?;
    table.text(row.partner_key.as_deref())?;
    table.text(row.partner_name.as_deref())?;
    table.word(row.program_id)?;
    table.text(row.program_key.as_deref())?;
    table.text(row.program_name.as_deref())?;
    table.word(Some(row.link_id))?;
    table.text(short_url(Some(&row.domain), Some(&row.slug)).as_deref())?;
    for number in [row.clicks, row.human, row.clicks - row.human, row.clicks - row.qr_scan, row.qr_scan] {
        table.number(Some(number))?;
    }
    table.end_row()
}
