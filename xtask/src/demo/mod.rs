//! The demonstration that ends a start: a workspace as a customer would set it up, clicks as visitors make
//! them, events as a customer's server signs them, and the report that follows from them.
//!
//! Everything goes through the public doors, so that each start also proves that they work. No SQL here, and
//! no knowledge that a reader of the API's documentation would not have.

pub(crate) mod api;
mod drive;
mod report;
mod seed;

use anyhow::Context as _;

use crate::{context::Context, demo::api::Api, ui::Step};

pub(crate) use seed::Workspace;

/// Where the doors of the running stack are.
pub(crate) struct Doors {
    /// `http://127.0.0.1:8080`
    pub(crate) api: String,
    /// `http://127.0.0.1:8787`
    pub(crate) edge: String,
    /// Opens workspaces
    pub(crate) operator_key: String,
}

/// Seeds the workspace on the first start, drives new traffic on every start, prints what came of it.
pub(crate) async fn run(context: &Context, doors: &Doors) -> anyhow::Result<Workspace> {
    let http = reqwest::Client::builder()
        // The redirect is the product: look at it instead of following it.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let operator = Api::new(&http, &doors.api, &doors.operator_key);

    let step = Step::start("Setting up the demo workspace");
    let workspace = seed::workspace(context, &operator).await.context("the demo workspace could not be set up")?;
    let api = Api::new(&http, &doors.api, &workspace.api_key);
    seed::objects(&api, &workspace).await.context("the demo's programs, partners and links could not be set up")?;
    step.done(&workspace.domain);

    let step = Step::start("Driving clicks through the edge and signed events through the API");
    let before = report::Counts::read(&api).await?;
    let sent = drive::traffic(&http, doors, &workspace).await.context("the demo's traffic did not get through")?;
    step.done(&format!("{} clicks, {} events", sent.clicks, sent.events));

    let step = Step::start("Waiting for them in the report");
    report::wait_for(&api, &before, &sent).await?;
    step.done("");

    let step =
        Step::start("Exporting the conversions (an export is of six seconds ago, so that nothing can still slip in)");
    let csv = report::export(context, &api).await.context("the demo's export failed")?;
    step.done("");
    report::print(&api, doors, &workspace, &csv).await?;
    Ok(workspace)
}
