//! A request that memory alone could not answer, from its facts to its answer.

use shared::{
    name::{Hostname, Slug},
    redirect::{self, Unavailable},
};
use worker::{Env, Request, Result};

use crate::{
    answer, clock,
    config::Config,
    facts::{Address, Facts},
    isolate::Isolate,
    lookup::{Lookup, Unreachable},
    replicate,
    respond::{self, Answer},
};

/// Answers a request.
pub(crate) async fn answer(request: Request, packed: &str, env: &Env, config: &Config) -> Result<Answer> {
    let facts = Facts::unpack(packed);
    let Some(address) = Address::of(facts.url) else { return Ok(respond::not_found()?.into()) };
    match address.path {
        replicate::PATH if config.takes_pushes => return Ok(replicate::answer(request, env, config).await?.into()),
        path if path.starts_with("/_nim") => return Ok(respond::not_found()?.into()),
        _ if !facts.is_visit() => return Ok(respond::method_not_allowed("GET, HEAD")?.into()),
        "/robots.txt" => return Ok(respond::robots()?.into()),
        "/favicon.ico" => return Ok(respond::not_found()?.into()),
        path if path.starts_with("/.well-known/") => return Ok(respond::not_found()?.into()),
        _ => {}
    }
    if Hostname::parse(&address.host).is_err() {
        return Ok(respond::not_found()?.into());
    }
    let lookup = Lookup { env, config };
    if matches!(address.path, "" | "/") {
        return match lookup.domain(&address.host).await {
            Ok(domain) => respond::fallback(redirect::root(domain.as_deref())),
            Err(Unreachable) => Ok(respond::unavailable()?.into()),
        };
    }
    // What can't be a slug is not looked up.
    let link = if Slug::parse(&address.slug).is_ok() {
        match lookup.link(&address.host, &address.slug).await {
            Ok(link) => link,
            Err(Unreachable) => return Ok(respond::unavailable()?.into()),
        }
    } else {
        None
    };
    let visit = facts.visit(&address);
    let why = match &link {
        Some(stored) => match Isolate::with(|isolate| answer::redirect(isolate, stored, &visit, clock::now())) {
            Ok(packed) => return Ok(Answer::Redirect(packed)),
            Err(why) => why,
        },
        None => Unavailable::Unknown,
    };
    let link = link.as_ref().and_then(|stored| stored.record.as_ref());
    // The domain's own page is a courtesy: where it can't be had, ours will do.
    let domain = lookup.domain(&address.host).await.unwrap_or_default();
    respond::fallback(redirect::fallback(why, link, domain.as_deref()))
}
