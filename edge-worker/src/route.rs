//! The route of a request, found from its facts alone, so that a request which can't be for a link is refused before
//! anything is looked up. Pure.

use shared::name::{Hostname, Slug};

use crate::{
    control::endpoints,
    wire::facts::{Address, Facts},
};

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// A signed request of the control plane.
    Control,
    /// A crawler asks for its rules.
    Robots,
    /// A domain's root.
    Root,
    /// A link that may exist.
    Link,
    /// A path at which no link can be. The domain may have a page for that.
    NoLink,
    /// No resource, nor could there be one.
    Nothing,
    /// A method that a short link doesn't answer.
    OtherMethod,
}

impl Route {
    /// Finds the route. Method and path decide. The host must have the form of a hostname, since it is looked up; it is
    /// never repeated in a response.
    pub(crate) fn of(facts: &Facts<'_>, address: &Address<'_>, takes_pushes: bool) -> Self {
        match address.path {
            path if takes_pushes && endpoints::is_endpoint(path) => return Self::Control,
            path if path.starts_with("/_nim") => return Self::Nothing,
            _ if !facts.is_visit() => return Self::OtherMethod,
            "/robots.txt" => return Self::Robots,
            "/favicon.ico" => return Self::Nothing,
            path if path.starts_with("/.well-known/") => return Self::Nothing,
            _ => {}
        }
        if Hostname::parse(&address.host).is_err() {
            return Self::Nothing;
        }
        match address.path {
            "" | "/" => Self::Root,
            _ if Slug::parse(&address.slug).is_ok() => Self::Link,
            _ => Self::NoLink,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, url: &str) -> (Route, String) {
        let packed = format!("{method}\n{url}");
        let facts = Facts::unpack(&packed);
        let address = Address::of(facts.url).unwrap();
        (Route::of(&facts, &address, true), address.link())
    }

    #[test]
    fn paths() {
        let long = "x".repeat(Slug::MAX);
        let longer = "x".repeat(16 << 10);
        for (path, expected, key) in [
            ("", Route::Root, ""),
            ("/", Route::Root, ""),
            ("/?qr=1", Route::Root, ""),
            ("/nomura", Route::Link, "nomura"),
            // Slugs are case-sensitive.
            ("/Nomura", Route::Link, "Nomura"),
            ("/a/b.c/~d_e-f", Route::Link, "a/b.c/~d_e-f"),
            ("/v1.2", Route::Link, "v1.2"),
            // Escapes of unreserved characters are decoded once and only once.
            ("/No%6Dura", Route::Link, "Nomura"),
            ("/no%6dura", Route::Link, "nomura"),
            ("/%2e%2e/x", Route::NoLink, "../x"),
            ("/a%2Fb", Route::NoLink, "a%2Fb"),
            ("/a%252Fb", Route::NoLink, "a%252Fb"),
            ("/no%256Dura", Route::NoLink, "no%256Dura"),
            ("/a%0d%0aset-cookie:x", Route::NoLink, "a%0d%0aset-cookie:x"),
            ("/a%00", Route::NoLink, "a%00"),
            ("/a%", Route::NoLink, "a%"),
            ("/a%zz", Route::NoLink, "a%zz"),
            ("/stra%C3%9Fe", Route::NoLink, "stra%C3%9Fe"),
            // Where other servers find a way out.
            ("//evil.com", Route::NoLink, "/evil.com"),
            ("//evil.com/%2f..", Route::NoLink, "/evil.com/%2f.."),
            ("/\\evil.com", Route::NoLink, "\\evil.com"),
            ("/https://evil.com", Route::NoLink, "https://evil.com"),
            ("/../x", Route::NoLink, "../x"),
            ("/a/./b", Route::NoLink, "a/./b"),
            ("/a//b", Route::NoLink, "a//b"),
            ("/a/", Route::NoLink, "a/"),
            // Oversized.
            (&format!("/{long}"), Route::Link, &long),
            (&format!("/{long}x"), Route::NoLink, &format!("{long}x")),
            (&format!("/{longer}"), Route::NoLink, &longer),
            // Reserved.
            ("/robots.txt", Route::Robots, "robots.txt"),
            ("/favicon.ico", Route::Nothing, "favicon.ico"),
            ("/.well-known/x", Route::Nothing, ".well-known/x"),
            ("/%2Ewell-known/x", Route::NoLink, ".well-known/x"),
            ("/_nim", Route::Nothing, "_nim"),
            ("/_nim/replicate", Route::Control, "_nim/replicate"),
            ("/_nim/replicate?x", Route::Control, "_nim/replicate"),
            ("/_nim/records", Route::Control, "_nim/records"),
            ("/_nim/drain", Route::Control, "_nim/drain"),
            ("/_nim/replicate/", Route::Nothing, "_nim/replicate/"),
            ("/%5Fnim/replicate", Route::NoLink, "_nim/replicate"),
        ] {
            let (found, link) = route("GET", &format!("https://go.acme.com{path}"));
            assert_eq!((found, &*link), (expected, &*format!("go.acme.com/{key}")), "{path}");
        }
    }

    #[test]
    fn hosts() {
        let long = format!("{}.com", "a.".repeat(124) + "ab");
        for (host, expected, key) in [
            ("go.acme.com", Route::Link, "go.acme.com"),
            ("GO.Acme.COM", Route::Link, "go.acme.com"),
            ("go.acme.com.", Route::Link, "go.acme.com"),
            ("go.acme.com:8443", Route::Link, "go.acme.com"),
            ("xn--bcher-kva.example", Route::Link, "xn--bcher-kva.example"),
            ("10.0.0.1", Route::Nothing, "10.0.0.1"),
            ("[::1]", Route::Nothing, "[::1]"),
            ("[::1]:8787", Route::Nothing, "[::1]"),
            ("go.acme.com@evil.com", Route::Nothing, "go.acme.com@evil.com"),
            ("go..acme.com", Route::Nothing, "go..acme.com"),
            ("go.acme.com%00.evil.com", Route::Nothing, "go.acme.com%00.evil.com"),
            ("-acme.com", Route::Nothing, "-acme.com"),
            ("l:acme.com", Route::Nothing, "l"),
            ("", Route::Nothing, ""),
            (&format!("{long}x"), Route::Nothing, &format!("{long}x")),
        ] {
            let (found, link) = route("GET", &format!("https://{host}/x"));
            assert_eq!((found, &*link), (expected, &*format!("{key}/x")), "{host}");
        }
    }

    #[test]
    fn methods() {
        for (method, expected) in [
            ("GET", Route::Link),
            ("HEAD", Route::Link),
            ("POST", Route::OtherMethod),
            ("OPTIONS", Route::OtherMethod),
            ("get", Route::OtherMethod),
            ("", Route::OtherMethod),
        ] {
            assert_eq!(route(method, "https://go.acme.com/x").0, expected, "{method}");
        }
        assert_eq!(route("POST", "https://go.acme.com/_nim/replicate").0, Route::Control);
        let facts = Facts::unpack("POST\nhttps://go.acme.com/_nim/replicate");
        assert_eq!(
            Route::of(&facts, &Address::of(facts.url).unwrap(), false),
            Route::Nothing,
            "the endpoints are closed"
        );
    }
}
