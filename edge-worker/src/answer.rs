//! From a record to what the entry needs for its response: the hot path, without I/O and without `await`.

use shared::{
    Millis,
    click::Click,
    record::{LinkRecord, Versioned},
    redirect::{self, Decision, Unavailable, Visit},
};

use crate::{
    facts::{Address, Facts},
    isolate::Isolate,
    log,
};

/// A redirect, packed into one string: the location, a newline (which neither a location nor compact JSON can
/// hold), and the click as JSON.
fn pack(location: &str, click: &Click<'_>) -> String {
    let click = serde_json::to_string(click).unwrap_or_else(|error| {
        // Texts, numbers and enums always have JSON. Should this be wrong one day, the visitor still goes on.
        log::error("click_lost", &format!("unwritable: {error}"));
        String::new()
    });
    [location, "\n", &click].concat()
}

/// A redirect that is not a click.
pub(crate) fn pack_fallback(location: &str) -> String {
    [location, "\n"].concat()
}

/// The redirect of a visit whose link is in memory and fresh. `None` for anything else: the caller then takes
/// the path that may wait.
pub(crate) fn from_memory(isolate: &Isolate, packed: &str, now: Millis) -> Option<String> {
    let facts = Facts::unpack(packed);
    if !facts.is_visit() {
        return None;
    }
    let address = Address::of(facts.url)?;
    let mut links = isolate.links.borrow_mut();
    let stored = links.servable(&address.link(), now)?;
    redirect(isolate, stored, &facts.visit(&address), now).ok()
}

/// The redirect that a link's record decides on, or why there is none.
pub(crate) fn redirect(
    isolate: &Isolate,
    stored: &Versioned<LinkRecord>,
    visit: &Visit<'_>,
    now: Millis,
) -> Result<String, Unavailable> {
    let link = stored.record.as_ref().ok_or(Unavailable::Unknown)?;
    // Records get into memory by requests that have read the settings.
    let config = isolate.known_config().ok_or(Unavailable::Unknown)?;
    let mut keys = isolate.token_keys.borrow_mut();
    let key = keys.of(link.workspace, &config.token_secrets);
    let random = isolate.random.borrow_mut().draw();
    match redirect::decide((link, stored.version), visit, now, random, key) {
        Decision::Redirect { location, click } => Ok(pack(&location, &click)),
        Decision::Unavailable(why) => Err(why),
    }
}
