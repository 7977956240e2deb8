//! Edge records: made of the setup as it is now, for fills and for replication.

use shared::{
    destination::{CustomQuery, Destination, Utm},
    record::{
        Assigned, DomainRecord, Entry, Fill, LinkRecord, LinkStatus, Target, TargetRules, Variant, Versioned,
        domain_key, link_key,
    },
};

use crate::{context::Context, error::Error};
use store::{
    outbox::Place,
    records::{DomainRow, LinkRow},
};

/// The records of a host and slug.
///
/// # Errors
/// The database's.
pub async fn fill(context: &Context, host: &str, slug: &str) -> Result<Fill, Error> {
    let Some(domain) = store::records::domain_by_hostname(&context.db, host).await? else {
        return Ok(Fill { domain: None, link: None });
    };
    let link = store::records::link_by_slug(&context.db, domain.workspace_id, domain.id, slug).await?;
    let link = link.map(link_record).transpose()?;
    Ok(Fill { domain: Some(domain_record(domain)), link })
}

/// The entry that must stand at each of these places now, in their order; `None` where the rows there make no record,
/// which is logged and must not hold up the others.
///
/// # Errors
/// The database's.
pub async fn entries(context: &Context, places: &[&Place]) -> Result<Vec<Option<Entry>>, Error> {
    let mut entries = Vec::with_capacity(places.len());
    for &place in places {
        let entry = match place.link_id {
            Some(link) => match store::records::link(&context.db, place.workspace_id, link).await? {
                Some(found) => {
                    let key = link_key(&found.hostname, &found.slug);
                    match link_record(found) {
                        Ok(record) => Entry { key, value: serde_json::to_string(&record)? },
                        Err(error) => {
                            tracing::error!(key, ?error, "no record can be made of a link");
                            entries.push(None);
                            continue;
                        }
                    }
                }
                None => tombstone(context, place)?,
            },
            None => match store::records::domain(&context.db, place.workspace_id, place.domain_id).await? {
                Some(found) => {
                    let key = domain_key(&found.hostname);
                    Entry { key, value: serde_json::to_string(&domain_record(found))? }
                }
                None => tombstone(context, place)?,
            },
        };
        entries.push(Some(entry));
    }
    Ok(entries)
}

/// For what is gone from the store altogether. Its version is the time, above any that the record had, and below that of
/// one that is made under the same key later.
fn tombstone(context: &Context, place: &Place) -> Result<Entry, Error> {
    let version = context.clock.now().0.unsigned_abs();
    let value = serde_json::to_string(&Versioned::<LinkRecord> { version, record: None })?;
    Ok(Entry { key: place.kv_key.clone(), value })
}

fn domain_record(row: DomainRow) -> Versioned<DomainRecord> {
    let record = (row.status == "active")
        .then_some(DomainRecord { root_redirect_url: row.root_redirect_url, not_found_url: row.not_found_url });
    Versioned { version: row.record_version.unsigned_abs(), record }
}

fn link_record(row: LinkRow) -> Result<Versioned<LinkRecord>, Error> {
    let utm: Utm = row.utm.0;
    let custom_query: CustomQuery = row.custom_query.0;
    let rules = TargetRules {
        conversion_tracking: row.conversion_tracking,
        click_token: row.click_token,
        utm: &utm,
        custom_query: &custom_query,
    };
    let target = |destination: &str| {
        let destination = Destination::parse(destination)
            .map_err(|fault| anyhow::anyhow!("link {} holds a destination that is none ({fault})", row.id))?;
        Ok::<_, Error>(Target::prepare(&destination, rules))
    };
    let variants = row
        .variants
        .0
        .iter()
        .map(|variant| {
            Ok(Variant { key: variant.key.clone(), weight: variant.weight, target: target(&variant.destination)? })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    // A link of an archived domain is as good as archived itself.
    let status = if row.domain_active { row.status } else { LinkStatus::Archived };
    let record = LinkRecord {
        link: shared::Id::from_uuid(row.id),
        workspace: shared::Id::from_uuid(row.workspace_id),
        status,
        target: target(&row.destination)?,
        variants,
        experiment: row.experiment_key,
        forward_query: row.forward_query,
        expires_at: row.expires_at.map(model::time::Timestamp::millis),
        expired_url: row.expired_url,
        assignment: row.assignment.map(|assignment| Assigned {
            id: assignment.id,
            partner: assignment.partner,
            program: assignment.program,
        }),
        utm,
    };
    Ok(Versioned { version: row.record_version.unsigned_abs(), record: Some(record) })
}
