//! Records that the control plane pushes into this worker's KV, or reads from it, for runtimes without a KV API. An older
//! version never replaces a newer one, so a push may be repeated and may arrive late.

use serde::de::DeserializeOwned;
use shared::{
    Millis,
    json::Object,
    record::{Entry, Inquiry, Replication, version_of},
};

use crate::{
    isolate::Isolate,
    runtime::{self, Env, Thrown},
    state::cache::{Memory, Room},
};

/// How many keys are read or written at once.
const AT_ONCE: usize = 16;

/// The outcome of a push.
pub(crate) struct Receipt {
    /// Entries written.
    stored: usize,
    /// Entries of which KV held this version or a newer one.
    skipped: usize,
}

impl Receipt {
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::open(&mut out);
        object.number("stored", self.stored as u64);
        object.number("skipped", self.skipped as u64);
        object.close();
        out
    }
}

/// Stores a push, or names the first key that is not a record's. Such a key refuses the whole push: a single entry left
/// out would go unnoticed.
pub(crate) async fn store(push: &Replication, env: &Env) -> Result<Result<Receipt, String>, Thrown> {
    let mut entries = Vec::with_capacity(push.entries.len());
    for entry in &push.entries {
        match Versioned::of(entry) {
            Some(versioned) => entries.push(versioned),
            None => return Ok(Err(entry.key.clone())),
        }
    }
    let mut receipt = Receipt { stored: 0, skipped: 0 };
    for some in entries.chunks(AT_ONCE) {
        let held = env.read_through(some.iter().map(|entry| entry.key)).await?;
        let is_new = |held: Option<String>, entry: &Versioned<'_>| {
            held.as_deref().and_then(version_of).is_none_or(|held| held < entry.version)
        };
        let new = some.iter().zip(held).filter_map(|(entry, held)| is_new(held, entry).then_some(entry));
        let written = env.write(new.map(|entry| (entry.key, entry.value))).await?;
        receipt.stored += written;
        receipt.skipped += some.len() - written;
        // Another isolate may have written the skipped ones, so this isolate's memory takes all of them.
        Isolate::with(|isolate| some.iter().for_each(|entry| remember(isolate, entry, runtime::now())));
    }
    Ok(Ok(receipt))
}

/// Reads the entries of these keys. A key without a value is left out.
pub(crate) async fn look(inquiry: &Inquiry, env: &Env) -> Result<Replication, Thrown> {
    let mut entries = Vec::with_capacity(inquiry.keys.len());
    for some in inquiry.keys.chunks(AT_ONCE) {
        let found = env.read_through(some.iter().map(String::as_str)).await?;
        entries
            .extend(some.iter().zip(found).filter_map(|(key, value)| Some(Entry { key: key.clone(), value: value? })));
    }
    Ok(Replication { entries })
}

struct Versioned<'a> {
    key: &'a str,
    value: &'a str,
    version: u64,
}

impl<'a> Versioned<'a> {
    /// The entry, if its key is a record's and its value states a version. The record itself is not read: a newer control
    /// plane may write fields that only the next version of this worker understands.
    fn of(Entry { key, value }: &'a Entry) -> Option<Self> {
        (key.starts_with("l:") || key.starts_with("d:")).then_some(())?;
        version_of(value).map(|version| Self { key, value, version })
    }
}

/// Updates memory where it holds the key, so that an edit takes effect before memory's next read of KV.
fn remember(isolate: &Isolate, entry: &Versioned<'_>, now: Millis) {
    let mut absent = isolate.absent.borrow_mut();
    if let Some(link) = entry.key.strip_prefix("l:") {
        absent.remove(link);
        // The host of a link has an owner.
        absent.remove(link.split('/').next().unwrap_or_default());
        update(&mut isolate.links.borrow_mut(), link, entry.value, now);
    } else if let Some(host) = entry.key.strip_prefix("d:") {
        absent.remove(host);
        update(&mut isolate.domains.borrow_mut(), host, entry.value, now);
    }
}

fn update<T: DeserializeOwned + Room>(memory: &mut Memory<T>, key: &str, value: &str, now: Millis) {
    if !memory.holds(key) {
        return;
    }
    match serde_json::from_str(value) {
        Ok(stored) => {
            memory.offer(key, stored, now);
        }
        Err(_) => memory.forget(key),
    }
}
