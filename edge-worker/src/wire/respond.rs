//! Responses without a click, packed for the entry. They never repeat what a visitor has sent.

use shared::redirect::Fallback;

/// A fallback: a redirect that is not a click, or a page.
pub(crate) fn fallback(fallback: Fallback<'_>) -> String {
    match fallback {
        Fallback::To(url) => redirect(url),
        Fallback::Page(410) => page(410, "", "This link has ended", "It no longer leads anywhere."),
        Fallback::Page(_) => page(404, "", "There is no such link", "Please check the address for typos."),
    }
}

/// The link is not known here and the control plane does not answer.
pub(crate) fn unavailable() -> String {
    let (title, text) = ("Please try again in a moment", "This link can't be looked up right now.");
    page(503, "\nretry-after: 5", title, text)
}

/// The visitor asks for many unknown links.
pub(crate) fn too_many() -> String {
    let (title, text) = ("Too many attempts", "Please check the address, and try again in a minute.");
    page(429, "\nretry-after: 60", title, text)
}

/// The path takes other methods.
pub(crate) fn method_not_allowed(allow: &str) -> String {
    plain(405, &["\nallow: ", allow].concat(), "Method Not Allowed\n")
}

/// No resource, in plain text: programs ask for such paths.
pub(crate) fn not_found() -> String {
    plain(404, "", "Not Found\n")
}

/// Link previews and crawlers may follow short links; they are counted as bots.
pub(crate) fn robots() -> String {
    let headers = "content-type: text/plain; charset=utf-8\ncache-control: public, max-age=86400";
    pack(200, headers, "User-agent: *\nDisallow:\n")
}

/// JSON for the control plane.
pub(crate) fn json(status: u16, body: &str) -> String {
    no_store(status, "application/json", "", body)
}

/// A redirect in its packed form, without a click.
fn redirect(location: &str) -> String {
    [location, "\n"].concat()
}

fn plain(status: u16, more: &str, body: &str) -> String {
    no_store(status, "text/plain; charset=utf-8", more, body)
}

fn page(status: u16, more: &str, title: &str, text: &str) -> String {
    let html = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>",
        title,
        "</title><style>body{font:1.1rem/1.5 system-ui,sans-serif;margin:20vh auto;max-width:30rem;padding:0 1rem;\
         color-scheme:light dark}h1{font-size:1.4rem}</style><h1>",
        title,
        "</h1><p>",
        text,
    ];
    let policy = "\ncontent-security-policy: default-src 'none'; style-src 'unsafe-inline'\nx-robots-tag: noindex";
    no_store(status, "text/html; charset=utf-8", &[policy, more].concat(), &html.concat())
}

fn no_store(status: u16, content_type: &str, more: &str, body: &str) -> String {
    let headers =
        ["content-type: ", content_type, "\ncache-control: no-store\nx-content-type-options: nosniff", more].concat();
    pack(status, &headers, body)
}

/// A response in the form in which it crosses to the entry: a newline, which no redirect begins with, the status, and
/// the headers, each on its line, then an empty line and the body.
fn pack(status: u16, headers: &str, body: &str) -> String {
    ["\n", &status.to_string(), "\n", headers, "\n\n", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_responses() {
        assert_eq!(
            method_not_allowed("GET, HEAD"),
            "\n405\ncontent-type: text/plain; charset=utf-8\ncache-control: no-store\nx-content-type-options: nosniff\n\
             allow: GET, HEAD\n\nMethod Not Allowed\n"
        );
        assert_eq!(fallback(Fallback::To("https://acme.com/")), "https://acme.com/\n");
        for (packed, status) in [(fallback(Fallback::Page(410)), 410), (unavailable(), 503), (not_found(), 404)] {
            let (head, body) = packed.split_once("\n\n").unwrap();
            assert!(head.starts_with(&format!("\n{status}\n")) && !body.is_empty());
            assert!(head.lines().skip(2).all(|line| line.contains(": ")), "{head}");
        }
        assert!(unavailable().contains("\nretry-after: 5\n"));
    }
}
