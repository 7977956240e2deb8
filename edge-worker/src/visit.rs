//! A request that memory alone could not answer, from its facts to its answer.

use shared::{
    name::{Hostname, Slug},
    redirect::{self, Unavailable},
};

use crate::{
    answer,
    config::Config,
    facts::{Address, Facts},
    isolate::Isolate,
    lookup::{Lookup, Unreachable},
    replicate, respond,
    runtime::{self, Env, Request, Thrown},
};

/// Answers a request: a packed redirect or a packed response.
pub(crate) async fn answer(request: &Request, packed: &str, env: &Env, config: &Config) -> Result<String, Thrown> {
    let facts = Facts::unpack(packed);
    let Some(address) = Address::of(facts.url) else { return Ok(respond::not_found()) };
    match address.path {
        replicate::PATH if config.takes_pushes => return replicate::answer(request, facts.method, env, config).await,
        path if path.starts_with("/_nim") => return Ok(respond::not_found()),
        _ if !facts.is_visit() => return Ok(respond::method_not_allowed("GET, HEAD")),
        "/robots.txt" => return Ok(respond::robots()),
        "/favicon.ico" => return Ok(respond::not_found()),
        path if path.starts_with("/.well-known/") => return Ok(respond::not_found()),
        _ => {}
    }
    if Hostname::parse(&address.host).is_err() {
        return Ok(respond::not_found());
    }
    let lookup = Lookup { env, config };
    if matches!(address.path, "" | "/") {
        return match lookup.domain(&address.host).await {
            Ok(domain) => Ok(respond::fallback(redirect::root(domain.as_deref()))),
            Err(Unreachable) => Ok(respond::unavailable()),
        };
    }
    // What can't be a slug is not looked up.
    let link = if Slug::parse(&address.slug).is_ok() {
        match lookup.link(&address.host, &address.slug).await {
            Ok(link) => link,
            Err(Unreachable) => return Ok(respond::unavailable()),
        }
    } else {
        None
    };
    let visit = facts.visit(&address);
    let why = match &link {
        Some(stored) => {
            let mut packed = String::new();
            match Isolate::with(|isolate| answer::redirect(isolate, stored, &visit, runtime::now(), &mut packed)) {
                Ok(()) => return Ok(packed),
                Err(why) => why,
            }
        }
        None => Unavailable::Unknown,
    };
    let link = link.as_ref().and_then(|stored| stored.record.as_ref());
    // The domain's own page is a courtesy: where it can't be had, ours will do.
    let domain = lookup.domain(&address.host).await.unwrap_or_default();
    Ok(respond::fallback(redirect::fallback(why, link, domain.as_deref())))
}
