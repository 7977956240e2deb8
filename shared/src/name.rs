//! Names that people type and machines match: slugs, hostnames, keys. Parsed once, then trusted.

use std::fmt;

use serde::Serialize;

macro_rules! name_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// The path of a short link, without the leading `/`. Case-sensitive.
    Slug
}
name_type! {
    /// A lower-case ASCII hostname (IDN as punycode), without port.
    Hostname
}
name_type! {
    /// The immutable key of a partner or program.
    Key
}

impl Slug {
    /// The longest slug, in characters.
    pub const MAX: usize = 190;
    /// Slugs that the edge keeps for itself, with everything below the ones that end in `/`.
    const RESERVED: [&'static str; 3] = ["robots.txt", "favicon.ico", ".well-known"];

    /// Reads a slug.
    ///
    /// # Errors
    /// A sentence that names the rule.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err("must have 1 to 190 characters");
        }
        if !text.bytes().all(|b| is_unreserved(b) || b == b'/') {
            return Err("may only use letters, digits, `.`, `_`, `~`, `-`, and `/` inside");
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("must not start or end with `/` nor hold an empty, `.` or `..` segment");
        }
        let first = text.split('/').next().unwrap_or_default();
        if text.starts_with("_nim") || first == ".well-known" || Self::RESERVED.contains(&text) {
            return Err("is reserved (`_nim…`, `.well-known/…`, `robots.txt`, `favicon.ico`)");
        }
        Ok(Self(text.to_owned()))
    }

    /// The slug a request path stands for: without its leading `/`, unreserved characters' percent-escapes
    /// decoded once (RFC 3986, section 2.3: such URIs are equivalent). Anything else is kept and then
    /// matches no link.
    #[must_use]
    pub fn of_path(path: &str) -> std::borrow::Cow<'_, str> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if !path.contains('%') {
            return path.into();
        }
        let mut out = String::with_capacity(path.len());
        let mut rest = path;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let escape = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match escape.filter(|byte| is_unreserved(*byte)) {
                Some(byte) => {
                    out.push(char::from(byte));
                    rest = &rest[at + 3..];
                }
                None => {
                    out.push('%');
                    rest = &rest[at + 1..];
                }
            }
        }
        out.push_str(rest);
        out.into()
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

impl Hostname {
    /// Reads a hostname that is ASCII already (RFC 1123): upper case is lowered.
    ///
    /// # Errors
    /// A sentence that names the rule.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let host = text.to_ascii_lowercase();
        if host.is_empty() || host.len() > 253 {
            return Err("must have 1 to 253 characters");
        }
        let label_fits = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !host.contains('.') || !host.split('.').all(label_fits) {
            return Err("must be a hostname such as go.example.com, without scheme, port or path");
        }
        if host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return Err("must be a hostname, not an IP address");
        }
        Ok(Self(host))
    }
}

impl Key {
    /// Reads a key: `^[a-z0-9][a-z0-9_-]{0,62}$`.
    ///
    /// # Errors
    /// A sentence that names the rule.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fits = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 63 characters of a-z, 0-9, `_` and `-`, and start with a letter or digit")
        }
    }

    /// A key made of a name: its ASCII letters and digits, lowered, other runs as one `-`. A name without
    /// any gives `fallback`.
    #[must_use]
    pub fn from_name(name: &str, fallback: &str) -> Self {
        let mut key = String::new();
        for letter in name.chars() {
            if letter.is_ascii_alphanumeric() {
                key.push(letter.to_ascii_lowercase());
            } else if !key.is_empty() && !key.ends_with('-') {
                key.push('-');
            }
        }
        // Room is left for a suffix that makes the key unique.
        key.truncate(50);
        let key = key.trim_end_matches('-');
        Self(if key.is_empty() { fallback.to_owned() } else { key.to_owned() })
    }

    /// This key with a number behind it.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        Self(format!("{}-{number}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["a", "Nomura", "a/b/c", "v1.2", "~x_y-z", "nim", "well-known/x", "robots.txt/x"] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(191);
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a b",
            "a%20b",
            "é",
            "a?b",
            "_nim",
            "_nim/x",
            "_nimble",
            ".well-known",
            ".well-known/acme",
            "robots.txt",
            "favicon.ico",
            &long,
        ] {
            assert!(Slug::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_decode_unreserved_escapes_once() {
        for (path, slug) in [
            ("/nomura", "nomura"),
            ("/Nomura", "Nomura"),
            ("/%6Eomura", "nomura"),
            ("/a%2Db", "a-b"),
            ("/a%2db", "a-b"),
            ("/a%2Fb", "a%2Fb"),
            ("/a%252Db", "a%252Db"),
            ("/a%", "a%"),
            ("/a%4", "a%4"),
            ("/%zz", "%zz"),
            ("/%é", "%é"),
            ("/a/", "a/"),
            ("/", ""),
        ] {
            assert_eq!(Slug::of_path(path), slug, "{path}");
        }
    }

    #[test]
    fn hostnames() {
        assert_eq!(Hostname::parse("GO.Acme.com").unwrap().as_str(), "go.acme.com");
        assert!(Hostname::parse("xn--bcher-kva.example").is_ok());
        for bad in [
            "",
            "localhost",
            "a..b",
            "-a.com",
            "a-.com",
            "a_b.com",
            "a.com:80",
            "https://a.com",
            "10.0.0.1",
            "a.com.",
            "é.com",
        ] {
            assert!(Hostname::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys() {
        assert!(Key::parse("a").is_ok() && Key::parse("9_-").is_ok());
        for bad in ["", "-a", "_a", "A", "a b", &"a".repeat(64)] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
        for (name, key) in [("Nomura Securities, Ltd.", "nomura-securities-ltd"), ("野村", "partner"), ("--x--", "x")]
        {
            assert_eq!(Key::from_name(name, "partner").as_str(), key);
        }
        assert!(Key::parse(Key::from_name(&"x".repeat(300), "p").numbered(999).as_str()).is_ok());
    }
}
