//! How facts and redirects cross between the entry and the module: the entry writes the facts into the inbox, calls
//! [`hot`](crate::hot) with their length, and reads as many bytes of the outbox as that returns. Nothing is allocated
//! for a crossing, and one call is all it takes.

use std::cell::RefCell;

use shared::Millis;
use wasm_bindgen::prelude::*;

use crate::{answer, isolate::Isolate};

/// The longest facts that come by mailbox, in bytes. A URL alone may be longer; such a visit takes the other path.
const INBOX: usize = 16 << 10;

/// See the module.
pub(crate) struct Mailbox {
    inbox: RefCell<Box<[u8]>>,
    outbox: RefCell<String>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { inbox: RefCell::new(vec![0; INBOX].into()), outbox: RefCell::new(String::with_capacity(8 << 10)) }
    }
}

/// The module's memory. What lies where in it: [`inbox`], [`inbox_length`], [`outbox`].
#[wasm_bindgen]
#[must_use]
pub fn linear_memory() -> JsValue {
    wasm_bindgen::memory()
}

/// Where the entry may write facts, for as long as the instance lives.
#[wasm_bindgen]
#[must_use]
pub fn inbox() -> *const u8 {
    Isolate::with(|isolate| isolate.mailbox.inbox.borrow_mut().as_mut_ptr().cast_const())
}

/// How many bytes of facts fit there.
#[wasm_bindgen]
#[must_use]
pub fn inbox_length() -> usize {
    INBOX
}

/// Where the last answer lies, until the next call.
#[wasm_bindgen]
#[must_use]
pub fn outbox() -> *const u8 {
    Isolate::with(|isolate| isolate.mailbox.outbox.borrow().as_ptr())
}

/// Answers the facts in the inbox, and returns the length of the answer; 0 where memory alone can't tell.
pub(crate) fn answer(isolate: &Isolate, length: usize, now: Millis) -> usize {
    let inbox = isolate.mailbox.inbox.borrow();
    let Some(facts) = inbox.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return 0 };
    let mut outbox = isolate.mailbox.outbox.borrow_mut();
    outbox.clear();
    match answer::from_memory(isolate, facts, now, &mut outbox) {
        Some(()) => outbox.len(),
        None => 0,
    }
}
