//! The response to a request that memory alone could not answer.

use shared::redirect::{self, Unavailable};

use crate::{
    config::Config,
    control::endpoints,
    isolate::Isolate,
    lookup::{Lookup, NoAnswer},
    redirect::pack,
    route::Route,
    runtime::{self, Env, Request, Thrown},
    wire::{
        facts::{Address, Facts},
        respond,
    },
};

/// Answers a request: a packed redirect or a packed response.
pub(crate) async fn answer(request: &Request, packed: &str, env: &Env, config: &Config) -> Result<String, Thrown> {
    let facts = Facts::unpack(packed);
    let Some(address) = Address::of(facts.url) else { return Ok(respond::not_found()) };
    let visitor = request.header("cf-connecting-ip");
    let lookup = Lookup { env, config, visitor: visitor.as_deref() };
    let link = match Route::of(&facts, &address, config.takes_pushes) {
        Route::Control => return endpoints::answer(request, facts.method, &address, env, config).await,
        Route::Robots => return Ok(respond::robots()),
        Route::Nothing => return Ok(respond::not_found()),
        Route::OtherMethod => return Ok(respond::method_not_allowed("GET, HEAD")),
        Route::Root => {
            return Ok(match lookup.domain(&address.host).await {
                Ok(domain) => respond::fallback(redirect::root(domain.as_deref())),
                Err(why) => no_answer(why),
            });
        }
        Route::NoLink => None,
        Route::Link => match lookup.link(&address.host, &address.slug).await {
            Ok(link) => link,
            Err(why) => return Ok(no_answer(why)),
        },
    };
    let visit = facts.visit(&address);
    let why = match &link {
        Some(stored) => {
            let mut packed = String::new();
            match Isolate::with(|isolate| pack(isolate, stored, &visit, runtime::now(), &mut packed)) {
                Ok(()) => return Ok(packed),
                Err(why) => why,
            }
        }
        None => Unavailable::Unknown,
    };
    let link = link.as_ref().and_then(|stored| stored.record.as_ref());
    // Where the domain's own page can't be looked up, the worker's page is shown.
    let domain = lookup.domain(&address.host).await.unwrap_or_default();
    Ok(respond::fallback(redirect::fallback(why, link, domain.as_deref())))
}

fn no_answer(why: NoAnswer) -> String {
    match why {
        NoAnswer::Unreachable => respond::unavailable(),
        NoAnswer::Limited => respond::too_many(),
    }
}
