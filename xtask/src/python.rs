//! Tools that are published as Python packages. Python itself is found, never installed; each tool gets a virtual
//! environment of its own below `.nimriz/tools`, which `reset` spares.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::{context::Context, process, ui::Step};

/// What to do where Python is missing.
pub(crate) const REMEDY: &str = "Install Python 3.10 or newer with its venv module (Debian: `apt install python3-venv`) and make sure `python3` is on PATH";

/// Time between asking a tool to end and ending it.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Exits with 0 if the interpreter will do: its version, and the module that makes environments.
const PROBE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// A tool and its pinned packages.
pub(crate) struct Tool {
    /// The command, below the environment's `bin`.
    pub(crate) program: &'static str,
    /// The list of its packages, all of them in exact versions, below the root.
    pub(crate) requirements: &'static str,
}

/// Returns the interpreter, or in words why there is none.
pub(crate) async fn find() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
    let interpreter = found.ok_or("there is no `python3` on PATH")?;
    let mut probe = Command::new(&interpreter);
    probe.args(["-c", PROBE]);
    match process::output(probe).await {
        Ok(_) => Ok(interpreter),
        Err(_) => Err(format!("{} is older than 3.10 or lacks the venv module", interpreter.display())),
    }
}

/// Makes sure that a tool is installed in exactly the pinned versions, and returns the path of its command.
pub(crate) async fn ensure(context: &Context, interpreter: &Path, tool: &Tool) -> anyhow::Result<PathBuf> {
    let Tool { program: name, requirements } = tool;
    let requirements = context.path(requirements);
    let pinned = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let digest = Sha256::digest(&pinned);
    let home =
        context.state(&format!("tools/{name}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]))?;
    let (program, complete) = (home.join("bin").join(name), home.join("complete"));
    if complete.is_file() {
        return Ok(program);
    }
    let step = Step::start(format!("Installing {name}"));
    let mut venv = Command::new(interpreter);
    venv.args(["-m", "venv", "--clear"]).arg(&home);
    process::output(venv).await.context(REMEDY)?;
    let mut pip = Command::new(home.join("bin/python3"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--quiet", "-r"]);
    pip.arg(&requirements);
    let installed = process::output(pip).await;
    installed.with_context(|| format!("installing {name} failed; is the Python package index reachable?"))?;
    fs::write(&complete, "").with_context(|| format!("cannot write {}", complete.display()))?;
    step.done("");
    Ok(program)
}
