//! One `up` per checkout at a time.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
};

use anyhow::{Context as _, bail};

use crate::context::Context;

/// Held by a running `up`, and by `reset` while it works. The kernel frees it however we end.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock or names the process that has it.
    pub(crate) fn take(context: &Context) -> anyhow::Result<Self> {
        let path = context.state("up.lock")?;
        let mut file = File::options().create(true).read(true).write(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                bail!(
                    "`cargo xtask up` is running here already (process {}); stop it with Ctrl-C first",
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock .nimriz/up.lock"),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}
