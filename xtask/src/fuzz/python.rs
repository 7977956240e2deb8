//! Python, which schemathesis runs on: found, never installed. The packages go into a virtual environment below
//! `.nimriz/tools`.

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
pub(super) const REMEDY: &str = "Install Python 3.10 or newer with its venv module (Debian: `apt install python3-venv`) and make sure `python3` is on PATH";

/// Between asking schemathesis to end and ending it.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What says that an interpreter will do: its version, and the module that makes environments.
const PROBE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// The interpreter, or in words why there is none.
pub(super) async fn find() -> Result<PathBuf, String> {
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

/// Makes sure that schemathesis is installed, in exactly the pinned versions.
pub(super) async fn ensure(context: &Context, interpreter: &Path) -> anyhow::Result<PathBuf> {
    let requirements = context.path("xtask/fuzz/requirements.txt");
    let pinned = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let digest = Sha256::digest(&pinned);
    let home = context
        .state(&format!("tools/schemathesis-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]))?;
    let (program, complete) = (home.join("bin/schemathesis"), home.join("complete"));
    if complete.is_file() {
        return Ok(program);
    }
    let step = Step::start("Installing schemathesis");
    let mut venv = Command::new(interpreter);
    venv.args(["-m", "venv", "--clear"]).arg(&home);
    process::output(venv).await.context(REMEDY)?;
    let mut pip = Command::new(home.join("bin/python3"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--quiet", "-r"]);
    pip.arg(&requirements);
    process::output(pip).await.context("installing schemathesis failed; is the Python package index reachable?")?;
    fs::write(&complete, "").with_context(|| format!("cannot write {}", complete.display()))?;
    step.done("");
    Ok(program)
}
