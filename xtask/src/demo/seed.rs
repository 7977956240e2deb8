//! What the demo workspace holds, created where it is missing.

use std::{fs, io::ErrorKind};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    context::{Context, write_private},
    demo::api::{Api, text},
};

/// The demo workspace with the secrets that the API shows once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Workspace {
    /// `ws_…`
    pub(crate) id: String,
    /// An admin key of it
    pub(crate) api_key: String,
    /// `src_…`, where its server sends events
    pub(crate) source_id: String,
    /// `whsec_…`, which signs them
    pub(crate) source_secret: String,
    /// The hostname of its short links
    pub(crate) domain: String,
}

/// A short link of the demo and the partner it belongs to.
pub(crate) struct Link {
    pub(crate) slug: &'static str,
    pub(crate) partner: Option<&'static str>,
    destination: &'static str,
}

/// The demo's links.
pub(crate) const LINKS: [Link; 5] = [
    Link { slug: "nomura", partner: Some("nomura"), destination: "https://shop.example.com/kyoto?ref=blog" },
    Link { slug: "nomura/spring", partner: Some("nomura"), destination: "https://shop.example.com/spring#offers" },
    Link { slug: "atlas", partner: Some("atlas"), destination: "https://shop.example.com/business" },
    Link { slug: "lumen", partner: Some("lumen"), destination: "https://shop.example.com/studio?view=grid" },
    Link { slug: "press", partner: None, destination: "https://shop.example.com/press" },
];

const WORKSPACES: u32 = 100;

/// The demo workspace of this checkout: the one remembered, or a new one.
pub(crate) async fn workspace(context: &Context, operator: &Api) -> anyhow::Result<Workspace> {
    let path = context.state("demo.json")?;
    match fs::read(&path) {
        Ok(bytes) => {
            let known: Workspace =
                serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged; delete it", path.display()))?;
            if operator.with_key(&known.api_key).accepts_key().await? {
                return Ok(known);
            }
            // Another database than the one it was made in.
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let created = create(operator).await?;
    write_private(&path, &serde_json::to_vec_pretty(&created)?)?;
    Ok(created)
}

/// A workspace whose secrets were lost stays as it is; the next one gets a number.
async fn create(operator: &Api) -> anyhow::Result<Workspace> {
    for number in 1..=WORKSPACES {
        let slug = if number == 1 { "demo".to_owned() } else { format!("demo-{number}") };
        let body = json!({"name": "Demo", "slug": slug, "plan": "professional"});
        let Some(workspace) = operator.create("/v1/workspaces", &body).await? else { continue };
        let api_key = text(&workspace, "/api_key/key")?;
        let api = operator.with_key(&api_key);
        let body = json!({"name": "Demo shop", "kind": "signed"});
        let source = api.create("/v1/sources", &body).await?.context("a new workspace already has a source")?;
        return Ok(Workspace {
            id: text(&workspace, "/id")?,
            api_key,
            source_id: text(&source, "/id")?,
            source_secret: text(&source, "/secret")?,
            domain: format!("go.{slug}.localhost"),
        });
    }
    bail!("this database holds {WORKSPACES} demo workspaces; `cargo xtask reset` starts afresh")
}

/// Domain, programs, partners and assigned links. Creating what is there is answered by a conflict, which is
/// as good.
pub(crate) async fn objects(api: &Api, workspace: &Workspace) -> anyhow::Result<()> {
    api.create("/v1/domains", &json!({"hostname": workspace.domain})).await?;
    let percentage = json!({"basis": "percentage", "rate_bps": 1_500, "applies_to": ["sale"], "hold_days": 30});
    let per_lead =
        json!({"basis": "fixed", "amount_minor": 2_500, "currency": "EUR", "applies_to": ["lead"], "hold_days": 14});
    for (key, name, kind, reward_terms) in
        [("creators", "Creators", "creator", percentage), ("agencies", "Agencies", "agency", per_lead)]
    {
        let body = json!({"key": key, "name": name, "kind": kind, "reward_terms": reward_terms});
        api.create("/v1/programs", &body).await?;
    }
    for (key, name, program) in [
        ("nomura", "Nomura Travels", "creators"),
        ("atlas", "Atlas Agency", "agencies"),
        ("lumen", "Studio Lumen", "creators"),
    ] {
        let program = format!("key:{program}");
        let body = json!({"key": key, "display_name": name, "relationship": "approved", "primary_program": program});
        api.create("/v1/partners", &body).await?;
    }
    for link in &LINKS {
        let body = json!({
            "domain": workspace.domain,
            "slug": link.slug,
            "destination": link.destination,
            "conversion_tracking": true,
        });
        let Some(created) = api.create("/v1/links", &body).await? else { continue };
        if let Some(partner) = link.partner {
            let path = format!("/v1/links/{}/assignment", text(&created, "/id")?);
            api.put(&path, &json!({"partner": format!("key:{partner}")})).await?;
        }
    }
    Ok(())
}

/// The display name of a report's group.
pub(crate) fn label(group: &Value) -> &str {
    match group["label"].as_str() {
        Some(label) if !label.is_empty() => label,
        _ => "(no partner)",
    }
}
