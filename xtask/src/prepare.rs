//! Generated files that are committed: `.sqlx`, by which queries are checked without a database, and
//! `openapi.json`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::{
    cargo,
    context::Context,
    node::Tools,
    ports,
    postgres::{Postgres, Purpose},
    process,
    secrets::Secrets,
    ui::Step,
};

/// sqlx's own table of applied migrations, which the control API looks into to know whether it is ready.
const MIGRATIONS_TABLE: &str = "create table _sqlx_migrations (
    version bigint primary key,
    description text not null,
    installed_on timestamptz not null default now(),
    success boolean not null,
    checksum bytea not null,
    execution_time bigint not null
)";

/// Regenerates `.sqlx`: every query is described by a real Postgres with the current migrations.
pub(crate) async fn queries(context: &Context) -> anyhow::Result<()> {
    let _tools = Tools::ensure(context).await?;
    let step = Step::start("Applying the migrations to a scratch Postgres");
    let password = Secrets::generate()?.database_password;
    let postgres = Postgres::start(context, Purpose::Scratch, ports::any_free()?, &password).await?;
    let database = postgres.url("postgres");
    // Not by control-api, which may not compile before its queries are described.
    postgres.execute("postgres", MIGRATIONS_TABLE).await?;
    for migration in files(&context.path("migrations"))?.values() {
        if migration.extension().is_some_and(|extension| extension == "sql") {
            let sql = fs::read_to_string(migration)?;
            let applied = postgres.execute("postgres", &sql).await;
            applied.with_context(|| format!("{} does not apply", migration.display()))?;
        }
    }
    step.done("");

    let step = Step::announce("Describing the queries");
    let fresh = context.state(&format!("sqlx-{}", std::process::id()))?;
    fs::create_dir_all(&fresh)?;
    // The macros write a description only when they run, and cargo only runs them when a source is newer.
    for root in ["control-api/store/src/lib.rs", "control-api/tests/it/main.rs"].map(|root| context.path(root)) {
        if root.is_file() {
            fs::File::options().write(true).open(&root)?.set_modified(SystemTime::now())?;
        }
    }
    let mut check = cargo::cargo(context);
    check.arg("check").args(cargo::NATIVE).arg("--all-targets");
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &fresh).env("DATABASE_URL", &database);
    let checked = process::run(check).await;
    if checked.is_err() {
        fs::remove_dir_all(&fresh)?;
    }
    checked?;
    let (added, removed) = replace(&fresh, &context.path(".sqlx"))?;
    step.done(&format!("{added} new, {removed} gone"));
    Ok(())
}

/// Makes `target` hold what `fresh` holds and counts the differences.
fn replace(fresh: &Path, target: &Path) -> anyhow::Result<(usize, usize)> {
    fs::create_dir_all(target)?;
    let (new, old) = (files(fresh)?, files(target)?);
    ensure!(!new.is_empty(), "no query was described; did another build compile the same sources meanwhile?");
    let gone: Vec<_> = old.keys().filter(|name| !new.contains_key(*name)).collect();
    for name in &gone {
        fs::remove_file(&old[*name])?;
    }
    for (name, path) in &new {
        fs::copy(path, target.join(name))?;
    }
    let added = new.keys().filter(|name| !old.contains_key(*name)).count();
    fs::remove_dir_all(fresh)?;
    Ok((added, gone.len()))
}

fn files(folder: &Path) -> anyhow::Result<BTreeMap<OsString, PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| (entry.file_name(), entry.path())).collect())
}

/// Writes `openapi.json` as the control API describes itself.
pub(crate) async fn openapi(context: &Context) -> anyhow::Result<()> {
    let mut command = Command::new(cargo::build_control_api(context).await?);
    command.arg("openapi");
    let description = process::output(command).await?;
    let path = context.path("openapi.json");
    fs::write(&path, description).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
