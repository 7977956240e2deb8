//! JSON written straight into a text: what the worker says to anybody, clicks above all.
//!
//! Serde writes JSON too, and reads all of it here. But a click is written for every visitor, and each isolate loads the
//! code that does it.

use crate::id::{Id, Kind};

/// Writes an array, each item by `write`.
pub fn list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// An object being written. Names of members are ours and need no escaping.
///
/// A click has some thirty members: what writes one stands in the worker once, not thirty times.
pub struct Object<'a> {
    out: &'a mut String,
    before: &'static str,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub fn open(out: &'a mut String) -> Self {
        Self { out, before: "{\"" }
    }

    /// Ends it.
    pub fn close(self) {
        self.out.push('}');
    }

    /// Writes the name of a member, whose value goes to the end of what is returned.
    #[inline(never)]
    pub fn name(&mut self, name: &str) -> &mut String {
        self.out.push_str(self.before);
        self.out.push_str(name);
        self.out.push_str("\":");
        self.before = ",\"";
        self.out
    }

    /// An id.
    pub fn id<K: Kind>(&mut self, name: &str, id: Id<K>) {
        let out = self.name(name);
        out.push('"');
        id.write(out);
        out.push('"');
    }

    /// A text that needs no escaping.
    #[inline(never)]
    pub fn word(&mut self, name: &str, word: &str) {
        let out = self.name(name);
        out.push('"');
        out.push_str(word);
        out.push('"');
    }

    /// A text.
    pub fn text(&mut self, name: &str, text: &str) {
        escape(text, self.name(name));
    }

    /// A text, where there is one.
    #[inline(never)]
    pub fn some(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A number.
    #[inline(never)]
    pub fn number(&mut self, name: &str, number: u64) {
        self.name(name).push_str(&number.to_string());
    }
}

/// Writes a text in quotes (RFC 8259, section 7).
pub fn escape(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            control => {
                let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
                out.push_str("\\u00");
                out.push(digit(control >> 4));
                out.push(digit(control));
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
