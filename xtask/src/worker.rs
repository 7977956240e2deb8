//! The build of the edge worker: cargo, wasm-bindgen, wasm-opt, esbuild, one after the other.
//!
//! What comes out is what is deployed and nothing else: `edge-worker/build/worker.mjs` and
//! `edge-worker/build/worker.wasm`. The JavaScript that wasm-bindgen writes lies in `build/glue/index.js`, where
//! the hand-written entry `edge-worker/js/entry.mjs` imports it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::{cargo, context::Context, node::Tools, process, ui::Step};

/// WebAssembly features that Rust emits and workerd runs. Named one by one: `--all-features` would let a
/// newer binaryen use encodings that the runtime does not know yet.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds the worker, skipping everything after cargo when its inputs are the ones of the last build.
pub(crate) async fn build(context: &Context, tools: &Tools) -> anyhow::Result<()> {
    cargo::ensure_wasm_target(context).await?;
    let step = Step::announce("Building the edge worker");
    let raw = cargo::build_wasm(context).await?;
    let output = context.path("edge-worker/build");
    let stamp = output.join("last-build");
    let inputs = digest_inputs(context, &raw)?;
    let complete = output.join("worker.mjs").is_file() && output.join("worker.wasm").is_file();
    let last = fs::read_to_string(&stamp).ok().filter(|_| complete);
    if let Some(sizes) = last.as_deref().and_then(|last| last.strip_prefix(&format!("{inputs}\n"))) {
        step.done(sizes);
        return Ok(());
    }
    // An interrupted build must not look like a finished one.
    let _ = fs::remove_file(&stamp);
    assemble(context, tools, &raw, &output).await?;
    let sizes = sizes(&output)?;
    fs::write(&stamp, format!("{inputs}\n{sizes}"))?;
    step.done(&sizes);
    Ok(())
}

async fn assemble(context: &Context, tools: &Tools, raw: &Path, output: &Path) -> anyhow::Result<()> {
    let glue = output.join("glue");
    let _ = fs::remove_dir_all(&glue);
    fs::create_dir_all(&glue)?;

    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(raw)
        .out_name("index")
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    // After a panic the instance is poisoned: the handler notices, and the reset function starts a new one.
    bindgen.module(true)?.reset_state_function(true).force_enable_abort_handler(true);
    bindgen.generate(&glue).context("wasm-bindgen could not process the worker")?;

    // workerd hands out a compiled module for a plain import; it does not know source-phase imports. The
    // module's place is beside the bundle.
    let script = glue.join("index.js");
    let text = fs::read_to_string(&script)?;
    fs::write(&script, text.replace("import source ", "import ").replace("./index_bg.wasm", "./worker.wasm"))?;

    let module = output.join("worker.wasm");
    fs::rename(glue.join("index_bg.wasm"), &module)?;
    optimise(context, tools, &module).await?;

    let mut bundle = tools.command(context, context.npm_command("esbuild"));
    bundle
        .arg(context.path("edge-worker/js/entry.mjs"))
        .arg(format!("--outfile={}", output.join("worker.mjs").display()));
    bundle.args(["--bundle", "--minify", "--format=esm", "--target=es2024", "--log-level=warning"]);
    bundle.args(["--external:cloudflare:*", "--external:./worker.wasm"]);
    process::output(bundle).await?;
    Ok(())
}

/// Optimises a module in its place.
pub(crate) async fn optimise(context: &Context, tools: &Tools, module: &Path) -> anyhow::Result<()> {
    let mut optimise = tools.command(context, context.npm_command("wasm-opt"));
    optimise.arg(module).arg("-o").arg(module).arg("-O3").args(FEATURES);
    process::output(optimise).await?;
    Ok(())
}

/// Everything that decides what comes out: the compiled module, the JavaScript, the tools' versions, this file.
fn digest_inputs(context: &Context, raw: &Path) -> anyhow::Result<String> {
    let mut files = vec![raw.to_owned(), context.path("package-lock.json")];
    files.extend(scripts(&context.path("edge-worker/js"))?);
    let mut digest = Sha256::new();
    digest.update(include_bytes!("worker.rs"));
    for file in files {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        digest.update(content.len().to_le_bytes());
        digest.update(content);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn scripts(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn sizes(output: &Path) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    for name in ["worker.wasm", "worker.mjs"] {
        let content = fs::read(output.join(name))?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&content)?;
        let packed = gzip.finish()?.len();
        parts.push(format!("{name} {} kB ({} kB gzipped)", content.len().div_ceil(1_000), packed.div_ceil(1_000)));
    }
    Ok(parts.join(", "))
}
