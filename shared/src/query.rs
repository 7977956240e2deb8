//! Query strings, read without changing a byte: pieces between `&`, names and values decoded on demand.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// One piece of a query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The bytes as they stand, `name=value` or `name`.
    pub raw: &'a str,
    name: &'a str,
    value: &'a str,
}

impl<'a> Pair<'a> {
    /// The decoded name.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        decode(self.name)
    }

    /// The decoded value; empty where there is no `=`.
    #[must_use]
    pub fn value(&self) -> Cow<'a, str> {
        decode(self.value)
    }
}

/// The non-empty pieces of a query string (without `?`).
pub fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    query.split('&').filter(|raw| !raw.is_empty()).map(|raw| {
        let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
        Pair { raw, name, value }
    })
}

/// Form-decoding (WHATWG URL, `application/x-www-form-urlencoded` parsing): `+` is a space, `%XX` a byte,
/// bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'+' || b == b'%') {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// Characters that stay themselves in a name or value we write: RFC 3986 unreserved.
const WRITTEN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes `name=value`, percent-encoded, to the end of `out`.
pub fn write_pair(name: &str, value: &str, out: &mut String) {
    out.extend(utf8_percent_encode(name, WRITTEN));
    out.push('=');
    out.extend(utf8_percent_encode(value, WRITTEN));
}
