//! What a link may be, and what it is shown with.

mod create;

pub use create::{Links, NewLink};

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use shared::{
    destination::{Destination, Utm},
    id::{DomainId, LinkId},
    name::Slug,
    record::{ClickTokenMode, LinkStatus, Target, TargetRules},
    sensitive,
};

use crate::{
    error::Error,
    input::{
        Fault, Fields, Parsed, boolean, custom_query, fault, inner_faults, integer, line, tags, time, web_url, word,
    },
};
use model::time::Timestamp;
use store::{
    change::Change,
    links::{Link, Variant},
    programs::Program,
};

/// The longest destination once UTM values and custom query are merged into it, in bytes. Bounds what each
/// record and each click carry.
const MAX_MERGED: usize = 4_096;
/// The most variants of a link.
const MAX_VARIANTS: usize = 20;
/// The most custom parameters of a link.
const MAX_CUSTOM: usize = 20;

/// A link, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Link)]
pub struct Shown {
    /// The link.
    #[serde(flatten)]
    pub link: Link,
    /// What visitors open.
    #[schema(example = "https://go.acme.com/nomura")]
    pub short_url: String,
    /// Path of its QR code, as SVG; `.png` in place of `.svg` gives a PNG.
    pub qr_url: String,
    /// Whether human visitors carry a click token.
    pub token_append: LinkTokenAppend,
}

/// Whether a click token is appended to the destination, and why or why not.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TokenAppend {
    /// Whether it is.
    pub will_append: bool,
    /// `appended`, `tracking_disabled`, `never` or `query_sensitive:<rule>`.
    #[schema(example = "appended")]
    pub reason: String,
    /// The rule by which the destination is query-sensitive, also where `always` overrides it.
    pub rule: Option<String>,
}

/// The same of every place a link leads to.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LinkTokenAppend {
    /// Of the link's own destination.
    #[serde(flatten)]
    pub destination: TokenAppend,
    /// Of each variant. Where there are any, visitors go to one of them.
    pub variants: Vec<VariantTokenAppend>,
}

/// The same of one variant.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VariantTokenAppend {
    /// The variant.
    pub key: String,
    /// Of its destination.
    #[serde(flatten)]
    pub destination: TokenAppend,
}

impl TokenAppend {
    fn of(link: &Link, destination: &str) -> Self {
        let reason = target(link, destination).map(|target| target.token);
        Self {
            will_append: reason == Some(shared::click::TokenReason::Appended),
            reason: reason.map_or_else(|| "never".to_owned(), |reason| reason.to_string()),
            rule: sensitive::rule(destination).map(str::to_owned),
        }
    }
}

impl From<Link> for Shown {
    fn from(link: Link) -> Self {
        let variant = |variant: &Variant| VariantTokenAppend {
            key: variant.key.clone(),
            destination: TokenAppend::of(&link, &variant.destination),
        };
        let token_append = LinkTokenAppend {
            destination: TokenAppend::of(&link, &link.destination),
            variants: link.variants.iter().map(variant).collect(),
        };
        Self { short_url: short_url(&link), qr_url: format!("/v1/links/{}/qr.svg", link.id), token_append, link }
    }
}

/// What visitors open.
#[must_use]
pub fn short_url(link: &Link) -> String {
    format!("https://{}/{}", link.domain, link.slug)
}

/// A destination of a link, prepared. `None` for what isn't one: none such is ever stored.
fn target(link: &Link, destination: &str) -> Option<Target> {
    let rules = TargetRules {
        conversion_tracking: link.conversion_tracking,
        click_token: link.click_token,
        utm: &link.utm,
        custom_query: &link.custom_query,
    };
    Destination::parse(destination).ok().map(|destination| Target::prepare(&destination, rules))
}

/// An empty link, for a create to fill.
#[must_use]
pub fn draft(id: LinkId, now: Timestamp) -> Link {
    Link {
        id,
        domain: String::new(),
        domain_id: DomainId::from_uuid(uuid::Uuid::nil()),
        slug: String::new(),
        destination: String::new(),
        title: None,
        status: LinkStatus::Active,
        conversion_tracking: true,
        click_token: ClickTokenMode::Auto,
        utm: Utm::default(),
        custom_query: shared::destination::CustomQuery::new(),
        variants: vec![],
        experiment_key: None,
        forward_query: false,
        expires_at: None,
        expired_url: None,
        tags: vec![],
        assignment: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// Reads what a body says into a link.
pub fn read(fields: &mut Fields<'_>, link: &mut Link) {
    fields.set("destination", &mut link.destination, web_url);
    fields.set_option("title", &mut link.title, line(200));
    fields.set("status", &mut link.status, word);
    fields.set("conversion_tracking", &mut link.conversion_tracking, boolean);
    fields.set("click_token", &mut link.click_token, word);
    fields.utm(&mut link.utm);
    fields.merge("custom_query", &mut link.custom_query, custom_query);
    fields.set_or_empty("variants", &mut link.variants, variants);
    fields.set_option("experiment_key", &mut link.experiment_key, line(100));
    fields.set("forward_query", &mut link.forward_query, boolean);
    fields.set_option("expires_at", &mut link.expires_at, time);
    fields.set_option("expired_url", &mut link.expired_url, web_url);
    fields.set_or_empty("tags", &mut link.tags, tags);
    if !link.variants.is_empty() && link.experiment_key.is_none() && !fields.has("experiment_key") {
        fields.fault("experiment_key", "required", "is required with variants");
    }
    if let Some(bytes) = too_long(link) {
        fields.fault("custom_query", "length", bytes);
    }
}

/// What is wrong with a link whose merged URLs are too long.
fn too_long(link: &Link) -> Option<String> {
    let destinations = std::iter::once(&link.destination).chain(link.variants.iter().map(|v| &v.destination));
    let longest = destinations.filter_map(|destination| target(link, destination)).map(|t| t.url.len()).max()?;
    (longest > MAX_MERGED)
        .then(|| format!("with UTM values and custom query the destination has {longest} bytes; at most {MAX_MERGED}"))
}

/// Reads the variants whole: they are replaced, never merged, like any list.
fn variants(value: &Value) -> Parsed<Vec<Variant>> {
    let Value::Array(items) = value else { return fault("type", "must be a list of {key, destination, weight}") };
    if items.len() > MAX_VARIANTS {
        return fault("length", format!("must have at most {MAX_VARIANTS} variants"));
    }
    let (mut variants, mut keys, mut faults) = (vec![], BTreeSet::new(), vec![]);
    for (index, item) in items.iter().enumerate() {
        match variant(item) {
            Ok(variant) if !keys.insert(variant.key.clone()) => faults.push(Fault {
                at: format!("/{index}/key"),
                code: "duplicate".into(),
                detail: "must be unique within the link".to_owned(),
            }),
            Ok(variant) => variants.push(variant),
            Err(inner) => faults.extend(inner.into_iter().map(|f| Fault { at: format!("/{index}{}", f.at), ..f })),
        }
    }
    if faults.is_empty() { Ok(variants) } else { Err(faults) }
}

fn variant(value: &Value) -> Parsed<Variant> {
    let Ok(mut fields) = Fields::of(value) else { return fault("type", "must be an object") };
    let mut variant = Variant { key: String::new(), destination: String::new(), weight: 1 };
    fields.require(&["key", "destination", "weight"]);
    fields.set("key", &mut variant.key, line(64));
    fields.set("destination", &mut variant.destination, web_url);
    fields.set("weight", &mut variant.weight, |value| {
        integer(1..=1_000)(value).map(|weight| u32::try_from(weight).unwrap_or(1))
    });
    fields.finish().map(|()| variant).map_err(inner_faults)
}

/// Reads a slug.
pub fn slug(value: &Value) -> Parsed<Slug> {
    let Some(text) = value.as_str() else { return fault("type", "must be a string") };
    Slug::parse(text).or_else(|detail| fault("format", detail))
}

/// Copies a program's UTM values and custom query onto a link, over values of the same name. A copy: what the
/// program becomes later doesn't reach the link.
///
/// # Errors
/// 422 where the link would hold too much.
pub fn apply_defaults(link: &mut Link, program: &Program) -> Result<(), Error> {
    let (theirs, ours) = (&program.utm, &mut link.utm);
    for (theirs, ours) in [
        (&theirs.source, &mut ours.source),
        (&theirs.medium, &mut ours.medium),
        (&theirs.campaign, &mut ours.campaign),
        (&theirs.term, &mut ours.term),
        (&theirs.content, &mut ours.content),
    ] {
        if theirs.is_some() {
            ours.clone_from(theirs);
        }
    }
    link.custom_query.extend(program.custom_query.clone());
    let fault = if link.custom_query.len() > MAX_CUSTOM {
        Some(format!("the link would have {} custom parameters; at most {MAX_CUSTOM}", link.custom_query.len()))
    } else {
        too_long(link)
    };
    fault.map_or(Ok(()), |detail| Err(Error::field("/apply_program_defaults", "length", detail)))
}

/// Stores a changed link.
///
/// # Errors
/// The database's.
pub async fn update(change: &mut Change, before: &Link, link: &mut Link) -> Result<(), Error> {
    let workspace = change.workspace();
    let now = change.clock().at();
    store::links::update(change.db(), workspace, link, now).await?;
    store::outbox::touch_links(change.db(), workspace, &[link.id.uuid()]).await?;
    Ok(change.audit("link.update", link.id, Some(before), Some(link)).await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variants_name_every_fault() {
        let good = json!([{"key": "A", "destination": "https://a.com", "weight": 1}]);
        assert_eq!(variants(&good).unwrap().len(), 1);
        let bad = json!([
            {"key": "a", "destination": "https://a.com/?nim_ct=1", "weight": 0, "x": 1},
            {"key": "b", "destination": "https://a.com", "weight": 1_000},
            {"key": "b", "destination": "https://a.com", "weight": 1},
            5,
            {}
        ]);
        let faults = variants(&bad).unwrap_err();
        let found: Vec<_> = faults.iter().map(|f| (f.at.as_str(), f.code.as_ref())).collect();
        assert_eq!(
            found,
            [
                ("/0/destination", "reserved_parameter"),
                ("/0/weight", "range"),
                ("/0/x", "unknown_field"),
                ("/2/key", "duplicate"),
                ("/3", "type"),
                ("/4/key", "required"),
                ("/4/destination", "required"),
                ("/4/weight", "required"),
            ]
        );
    }
}
