//! `POST /_nim/replicate`: the control plane's signed push of records, for runtimes without a KV API of their
//! own. An older version never replaces a newer one, so a push may be repeated and may arrive late.

use futures_util::future::join_all;
use serde::{Serialize, de::DeserializeOwned};
use shared::{
    Millis,
    internal::{self, Direction, Refusal, SIGNATURE_HEADER, TIMESTAMP_HEADER},
    record::{Entry, Replication, version_of},
};

use crate::{
    cache::Memory,
    config::Config,
    isolate::Isolate,
    respond,
    runtime::{self, Env, Request, Thrown},
};

/// The path of this door.
pub(crate) const PATH: &str = "/_nim/replicate";

/// The longest body taken, in bytes; some thousand records.
const MAX_BODY: u32 = 8 << 20;
/// How many keys are written at once.
const AT_ONCE: usize = 16;

#[derive(Serialize)]
struct Receipt {
    /// Written.
    stored: usize,
    /// The store had this version or a newer one.
    skipped: usize,
}

#[derive(Serialize)]
struct Fault<'a> {
    code: &'a str,
    detail: &'a str,
}

/// Takes a push.
pub(crate) async fn answer(request: &Request, method: &str, env: &Env, config: &Config) -> Result<String, Thrown> {
    if method != "POST" {
        return Ok(respond::method_not_allowed("POST"));
    }
    let Some(body) = request.body(MAX_BODY).await? else {
        return Ok(fault(413, "payload_too_large", "at most 8 MiB"));
    };
    let (timestamp, signature) = (request.header(TIMESTAMP_HEADER), request.header(SIGNATURE_HEADER));
    let signed = internal::Request { method: "POST", target: PATH, body: &body };
    let verified = internal::verify(
        &config.edge_secrets,
        Direction::ControlToEdge,
        signed,
        timestamp.as_deref(),
        signature.as_deref(),
        runtime::now(),
    );
    if let Err(refusal) = verified {
        let code = match refusal {
            Refusal::Missing => "signature_missing",
            Refusal::Invalid => "signature_invalid",
            Refusal::Expired => "signature_expired",
        };
        return Ok(fault(401, code, &refusal.to_string()));
    }
    let push: Replication = match serde_json::from_slice(&body) {
        Ok(push) => push,
        Err(error) => return Ok(fault(400, "invalid_json", &error.to_string())),
    };
    // All or nothing where it is a mistake: nobody would look for the one entry that was left out.
    let mut entries = Vec::with_capacity(push.entries.len());
    for entry in &push.entries {
        match Versioned::of(entry) {
            Some(versioned) => entries.push(versioned),
            None => return Ok(fault(422, "validation_failed", &["not a record: ", &entry.key].concat())),
        }
    }
    let mut receipt = Receipt { stored: 0, skipped: 0 };
    for some in entries.chunks(AT_ONCE) {
        for written in join_all(some.iter().map(|entry| write(env, entry))).await {
            if written? {
                receipt.stored += 1;
            } else {
                receipt.skipped += 1;
            }
        }
    }
    Ok(respond::json(200, &receipt))
}

fn fault(status: u16, code: &str, detail: &str) -> String {
    respond::json(status, &Fault { code, detail })
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

/// Writes one record unless the store has it or a newer one.
async fn write(env: &Env, entry: &Versioned<'_>) -> Result<bool, Thrown> {
    let held = env.read_through(entry.key).await?;
    let is_new = held.as_deref().and_then(version_of).is_none_or(|held| held < entry.version);
    if is_new {
        env.write(entry.key, entry.value).await?;
    }
    // Another isolate may have written it, so this one's memory is told in any case.
    Isolate::with(|isolate| tell(isolate, entry, runtime::now()));
    Ok(is_new)
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

fn follow<T: DeserializeOwned>(memory: &mut Memory<T>, key: &str, value: &str, now: Millis) {
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
