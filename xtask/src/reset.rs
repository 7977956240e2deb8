//! `cargo xtask reset`: a fresh start without a fresh installation.

use std::fs;

use anyhow::Context as _;

use crate::{context::Context, lock::Lock, postgres};

/// Removes all local state except the installed tools and the lock that is held meanwhile.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    let _lock = Lock::take(context)?;
    postgres::remove_data(context)?;
    let home = context.path(".nimriz");
    for entry in fs::read_dir(&home).with_context(|| format!("cannot read {}", home.display()))? {
        let entry = entry?;
        if entry.file_name() == "tools" || entry.file_name() == "up.lock" {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    println!("The local data is gone; the installed tools are still there. `cargo xtask up` starts afresh.");
    Ok(())
}
