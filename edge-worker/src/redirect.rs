//! A link's record and the facts of a visit, made into a redirect: the hot path, without I/O and without `await`.

use shared::{
    Millis,
    record::{LinkRecord, Versioned},
    redirect::{self, Decision, Unavailable, Visit},
};

use crate::{
    isolate::Isolate,
    wire::facts::{Address, Facts},
};

/// Packs the redirect of a visit whose link is in memory and fresh. `None` for anything else: the caller then takes the
/// path that may wait.
pub(crate) fn from_memory(isolate: &Isolate, packed: &str, now: Millis, out: &mut String) -> Option<()> {
    let facts = Facts::unpack(packed);
    if !facts.is_visit() {
        return None;
    }
    let address = Address::of(facts.url)?;
    let mut links = isolate.links.borrow_mut();
    let stored = links.servable(&address.link(), now)?;
    pack(isolate, stored, &facts.visit(&address), now, out).ok()
}

/// Packs the redirect that a link's record decides on, or says why there is none. Packed, a redirect is the location, a
/// newline (which neither a location nor compact JSON can hold), and the click as JSON.
pub(crate) fn pack(
    isolate: &Isolate,
    stored: &Versioned<LinkRecord>,
    visit: &Visit<'_>,
    now: Millis,
    out: &mut String,
) -> Result<(), Unavailable> {
    let link = stored.record.as_ref().ok_or(Unavailable::Unknown)?;
    // Records get into memory by requests that have read the settings.
    let config = isolate.known_config().ok_or(Unavailable::Unknown)?;
    let mut keys = isolate.token_keys.borrow_mut();
    let key = keys.of(link.workspace, &config.token_secrets);
    let random = isolate.random.borrow_mut().draw();
    match redirect::decide((link, stored.version), visit, now, random, key) {
        Decision::Redirect { location, mut click } => {
            let number = || isolate.random.borrow_mut().number();
            click.minted = Some(isolate.sequence.borrow_mut().next(now, number));
            out.push_str(&location);
            out.push('\n');
            click.write_json(out);
            Ok(())
        }
        Decision::Unavailable(why) => Err(why),
    }
}
