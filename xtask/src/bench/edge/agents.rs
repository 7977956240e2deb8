//! How long it takes to tell what kind of client an agent is of, in wasm. Node runs it: its engine is that of workerd.

use wasm_bindgen_cli_support::Bindgen;

use crate::{cargo, context::Context, node::Tools, process, worker};

pub(super) async fn run(context: &Context, tools: &Tools) -> anyhow::Result<()> {
    let raw = cargo::build_wasm_example(context, "agents").await?;
    let script = context.state("bench/agents/run.mjs")?;
    let glue = script.with_file_name("glue");
    Bindgen::new().input_path(raw).out_name("agents").typescript(false).nodejs(true)?.generate(&glue)?;
    worker::optimise(context, tools, &glue.join("agents_bg.wasm")).await?;
    std::fs::write(&script, include_str!("agents.mjs"))?;
    let mut node = tools.command(context, tools.node());
    node.arg(&script).arg(context.path("node_modules"));
    print!("{}", process::output(node).await?);
    Ok(())
}
