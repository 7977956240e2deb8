//! TCP ports on loopback: which to take, whether it is free, and who has it if not.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// A port that a command insists on, and the environment variable that moves it.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// What listens there, in words.
    pub(crate) what: &'static str,
    /// The environment variable that changes the port.
    pub(crate) variable: &'static str,
    /// The port unless the variable says otherwise.
    pub(crate) default: u16,
}

impl Wanted {
    /// The port to listen on.
    pub(crate) fn port(&self) -> anyhow::Result<u16> {
        match env::var(self.variable) {
            Ok(text) => text.parse().with_context(|| format!("{}={text} is not a port", self.variable)),
            Err(_) => Ok(self.default),
        }
    }

    /// The port, after making sure that nobody listens there.
    pub(crate) fn claim(&self) -> anyhow::Result<u16> {
        let port = self.port()?;
        // What an `up` that was killed a moment ago leaves behind is on its way out.
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            if is_free(port) {
                return Ok(port);
            }
            if Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let holder = holder(port).map_or_else(String::new, |name| format!(" by {name}"));
        bail!(
            "port {port}, wanted by {}, is in use{holder}; stop that, or choose another port: {}={} cargo xtask up",
            self.what,
            self.variable,
            port.saturating_add(1)
        )
    }
}

/// The first free port from `start` on.
pub(crate) fn free_from(start: u16) -> anyhow::Result<u16> {
    (start..start.saturating_add(100))
        .find(|port| is_free(*port))
        .with_context(|| format!("no free port from {start} on"))
}

/// Any free port. Somebody else may take it before it is used; good enough for servers that fail loudly.
pub(crate) fn any_free() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

fn is_free(port: u16) -> bool {
    // Binding alone would succeed beside a server on all interfaces; so ask for those as well.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// The process that listens on `port`, as far as Linux tells us; `None` is no statement.
fn holder(port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let listens = columns.get(1)?.ends_with(&suffix) && *columns.get(3)? == LISTEN;
        listens.then(|| columns.get(9).map(|inode| format!("socket:[{inode}]")))?
    })?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy() == inode))?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {id})", name.trim()))
    })
}
