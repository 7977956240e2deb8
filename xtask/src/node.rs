//! Node and the npm packages: found where they are good enough, installed below the checkout where not.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::{context::Context, process, ui::Step};

/// What wrangler asks for.
const NEEDED: Version = Version(22, 12, 0);
/// The oldest Node whose npm can install the needed one.
const TOLERATED: Version = Version(20, 0, 0);
/// The Node that is installed beside an older one.
const BUNDLED: &str = "22.23.3";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The JavaScript side of the tools, installed and ready.
pub(crate) struct Tools {
    node: PathBuf,
    path: OsString,
}

impl Tools {
    /// Finds or installs Node, then the packages of `package-lock.json`.
    pub(crate) async fn ensure(context: &Context) -> anyhow::Result<Self> {
        let (on_path, version) = find_node().await?;
        let node = if version >= NEEDED { on_path } else { bundled_node(context, version).await? };
        let mut folders: Vec<_> = node.parent().map(Path::to_owned).into_iter().collect();
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let tools = Self { node, path: env::join_paths(folders)? };
        tools.install_packages(context).await?;
        Ok(tools)
    }

    /// The Node binary.
    pub(crate) fn node(&self) -> &Path {
        &self.node
    }

    /// A command in the root that finds the right Node first.
    pub(crate) fn command(&self, context: &Context, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&context.root).env("PATH", &self.path);
        command
    }

    async fn install_packages(&self, context: &Context) -> anyhow::Result<()> {
        let lock = fs::read(context.path("package-lock.json")).context("package-lock.json is missing")?;
        let wanted = Sha256::digest(&lock).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Inside node_modules, so that removing the folder removes the claim that it is complete.
        let stamp = context.path("node_modules/.nimriz-lock");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        let step = Step::start("Installing npm packages (workerd, wrangler, Postgres, wasm tools)");
        let mut npm = self.command(context, find("npm").context(NPM_REMEDY)?);
        // None of the packages needs its install script: their binaries are packages of their own.
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        process::output(npm).await.context("installing the npm packages failed; is the npm registry reachable?")?;
        fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
        step.done("");
        Ok(())
    }
}

const NODE_REMEDY: &str =
    "Node 22 (or at least 20) is needed; install it from https://nodejs.org and make sure `node` is on PATH";
const NPM_REMEDY: &str =
    "npm is needed and not on PATH; it comes with Node from https://nodejs.org (Debian: `apt install npm`)";

async fn find_node() -> anyhow::Result<(PathBuf, Version)> {
    let node = find("node").context(NODE_REMEDY)?;
    let mut ask = Command::new(&node);
    ask.arg("--version");
    let answer = process::output(ask).await.context(NODE_REMEDY)?;
    let version = parse_version(&answer)
        .with_context(|| format!("{} answers `{}` for its version", node.display(), answer.trim()))?;
    if version < TOLERATED {
        bail!("{} is version {version}. {NODE_REMEDY}", node.display());
    }
    Ok((node, version))
}

fn parse_version(text: &str) -> Option<Version> {
    let mut parts = text.trim().strip_prefix('v')?.split('.').map(|part| part.parse::<u32>().ok());
    Some(Version(parts.next()??, parts.next()??, parts.next()??))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Installs a newer Node from npm, where it is an ordinary package, into the folder that `reset` spares.
async fn bundled_node(context: &Context, found: Version) -> anyhow::Result<PathBuf> {
    let package = format!("node-{}-{}", npm_platform(), npm_architecture());
    let home = context.state(&format!("tools/node-{BUNDLED}"))?;
    let node = home.join("node_modules").join(&package).join("bin/node");
    if node.is_file() {
        return Ok(node);
    }
    let step = Step::start(format!("Installing Node {BUNDLED} (yours is {found}, wrangler needs {NEEDED})"));
    fs::create_dir_all(&home)?;
    let mut npm = Command::new(find("npm").context(NPM_REMEDY)?);
    npm.current_dir(&home).arg("install").arg("--prefix").arg(&home);
    npm.args(["--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    npm.arg(format!("{package}@{BUNDLED}"));
    process::output(npm).await.with_context(|| format!("could not install {package}; {NODE_REMEDY}"))?;
    step.done("");
    Ok(node)
}

/// The runtime's binary itself: npm's command is a script that would start it as a child.
pub(crate) fn workerd(context: &Context) -> PathBuf {
    let architecture = if npm_architecture() == "x64" { "64" } else { npm_architecture() };
    context.path(&format!("node_modules/@cloudflare/workerd-{}-{architecture}/bin/workerd", npm_platform()))
}

/// The names that npm packages give to operating systems.
pub(crate) fn npm_platform() -> &'static str {
    if env::consts::OS == "macos" { "darwin" } else { env::consts::OS }
}

/// The names that npm packages give to processors.
pub(crate) fn npm_architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        other => other,
    }
}
