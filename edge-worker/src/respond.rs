//! The small responses that are not redirects. Nothing a visitor has sent is ever repeated in one.

use shared::redirect::Fallback;
use worker::{Response, ResponseBuilder, Result, wasm_bindgen::JsValue, web_sys};

use crate::answer;

/// What the entry gets: a packed redirect, or a whole response.
pub(crate) enum Answer {
    Redirect(String),
    Response(Response),
}

impl Answer {
    /// The form in which it crosses to the entry: a string or a `Response`.
    pub(crate) fn into_js(self) -> JsValue {
        match self {
            Self::Redirect(packed) => packed.into(),
            Self::Response(response) => web_sys::Response::from(response).into(),
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// A fallback: a redirect that is not a click, or a page.
pub(crate) fn fallback(fallback: Fallback<'_>) -> Result<Answer> {
    match fallback {
        Fallback::To(url) => Ok(Answer::Redirect(answer::pack_fallback(url))),
        Fallback::Page(410) => Ok(page(410, "This link has ended", "It no longer leads anywhere.")?.into()),
        Fallback::Page(_) => Ok(page(404, "There is no such link", "Please check the address for typos.")?.into()),
    }
}

/// Nothing is known of the link and nobody is there to ask.
pub(crate) fn unavailable() -> Result<Response> {
    let response = page(503, "Please try again in a moment", "This link can't be looked up right now.")?;
    response.headers().set("retry-after", "5")?;
    Ok(response)
}

/// The path answers other methods.
pub(crate) fn method_not_allowed(allow: &str) -> Result<Response> {
    plain(405)?.with_header("allow", allow)?.ok("Method Not Allowed\n")
}

/// Nothing here, for programs rather than people.
pub(crate) fn not_found() -> Result<Response> {
    plain(404)?.ok("Not Found\n")
}

/// Link previews and crawlers may follow short links; they are counted as bots.
pub(crate) fn robots() -> Result<Response> {
    ResponseBuilder::new()
        .with_header("content-type", "text/plain; charset=utf-8")?
        .with_header("cache-control", "public, max-age=86400")?
        .ok("User-agent: *\nDisallow:\n")
}

/// JSON between our own parts.
pub(crate) fn json(status: u16, body: &impl serde::Serialize) -> Result<Response> {
    let text = serde_json::to_string(body)?;
    plain(status)?.with_header("content-type", "application/json")?.ok(text)
}

fn plain(status: u16) -> Result<ResponseBuilder> {
    ResponseBuilder::new()
        .with_status(status)
        .with_header("content-type", "text/plain; charset=utf-8")?
        .with_header("cache-control", "no-store")?
        .with_header("x-content-type-options", "nosniff")
}

fn page(status: u16, title: &str, text: &str) -> Result<Response> {
    let html = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>",
        title,
        "</title><style>body{font:1.1rem/1.5 system-ui,sans-serif;margin:20vh auto;max-width:30rem;padding:0 1rem;\
         color-scheme:light dark}h1{font-size:1.4rem}</style><h1>",
        title,
        "</h1><p>",
        text,
    ];
    plain(status)?
        .with_header("content-type", "text/html; charset=utf-8")?
        .with_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")?
        .with_header("x-robots-tag", "noindex")?
        .ok(html.concat())
}
