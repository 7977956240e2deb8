//! Where things are in this checkout. Paths only: nothing here creates or starts anything but folders.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// The checkout a command works on.
pub(crate) struct Context {
    /// The repository's root.
    pub(crate) root: PathBuf,
}

impl Context {
    /// Finds the root from where this crate was compiled; a checkout that moved is found by the folder one is in.
    pub(crate) fn discover() -> anyhow::Result<Self> {
        let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let here = std::env::current_dir().context("the current folder is gone")?;
        compiled
            .into_iter()
            .chain(here.ancestors())
            .find(|folder| folder.join("wrangler.toml").is_file() && folder.join("xtask").is_dir())
            .map(|root| Self { root: root.to_owned() })
            .context("run this inside the checkout")
    }

    /// A path below the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path below `.nimriz`, the git-ignored home of all local state. Creates the folder it is in.
    pub(crate) fn state(&self, relative: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(".nimriz").join(relative);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(path)
    }

    /// Where the installed npm packages put their commands.
    pub(crate) fn npm_command(&self, name: &str) -> PathBuf {
        self.root.join("node_modules/.bin").join(name)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    // A leftover may have other permissions, and `mode` applies to new files only.
    let _ = fs::remove_file(&temporary);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
