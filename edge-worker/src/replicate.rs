//! The control plane's push of records into this worker's store, and its look at what is there, for runtimes without a
//! KV API of their own. An older version never replaces a newer one, so a push may be repeated and may arrive late.

use serde::de::DeserializeOwned;
use shared::{
    Millis,
    json::Object,
    record::{Entry, Inquiry, Replication, version_of},
};

use crate::{
    cache::{Memory, Room},
    isolate::Isolate,
    runtime::{self, Env, Thrown},
};

/// How many keys are read or written at once.
const AT_ONCE: usize = 16;

/// What became of a push.
pub(crate) struct Receipt {
    /// Written.
    stored: usize,
    /// The store had this version or a newer one.
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

/// Stores a push, or names a key under which no record may stand. All or nothing where it is such a mistake: nobody would
/// look for the one entry that was left out.
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
        // Another isolate may have written the others, so this one's memory is told of all.
        Isolate::with(|isolate| some.iter().for_each(|entry| tell(isolate, entry, runtime::now())));
    }
    Ok(Ok(receipt))
}

/// What the store holds under these keys; those under which there is nothing are left out.
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
    /// The entry, if its key is one of a record and its value says its version. The record itself is not
    /// read: a newer control plane may write what this worker's successor will understand.
    fn of(Entry { key, value }: &'a Entry) -> Option<Self> {
        (key.starts_with("l:") || key.starts_with("d:")).then_some(())?;
        version_of(value).map(|version| Self { key, value, version })
    }
}

/// Memory follows at once where it holds the key, so that an edit is seen without waiting for its next look
/// into the store.
fn tell(isolate: &Isolate, entry: &Versioned<'_>, now: Millis) {
    let mut absent = isolate.absent.borrow_mut();
    if let Some(link) = entry.key.strip_prefix("l:") {
        absent.remove(link);
        // Its host has an owner, then.
        absent.remove(link.split('/').next().unwrap_or_default());
        follow(&mut isolate.links.borrow_mut(), link, entry.value, now);
    } else if let Some(host) = entry.key.strip_prefix("d:") {
        absent.remove(host);
        follow(&mut isolate.domains.borrow_mut(), host, entry.value, now);
    }
}

fn follow<T: DeserializeOwned + Room>(memory: &mut Memory<T>, key: &str, value: &str, now: Millis) {
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
