//! Keys of programs and partners: asked for, or made of the name.

use std::collections::HashSet;

use shared::name::Key;

use crate::error::Error;
use model::time::random;
use store::change::Change;

/// Numbers tried behind a taken key before a random suffix is taken: many objects of one name stay cheap.
const NUMBERS: std::ops::RangeInclusive<u32> = 2..=20;

/// Whose key it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A program's.
    Program,
    /// A partner's.
    Partner,
}

impl Of {
    const fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Partner => "partner",
        }
    }
}

/// Which key an object is to have.
pub enum Wish<'a> {
    /// This one.
    Asked(&'a Key),
    /// One made of its name.
    Named(&'a str),
}

/// A key for each wish: the one it asks for, or one made of the name that is free until this transaction ends. In
/// the place of a key that is taken stands why it can't be had.
///
/// # Errors
/// The database's.
pub async fn free(change: &mut Change, of: Of, wishes: &[Wish<'_>]) -> Result<Vec<Result<Key, Error>>, Error> {
    let bases: Vec<Option<Key>> = wishes
        .iter()
        .map(|wish| match wish {
            Wish::Asked(_) => None,
            Wish::Named(name) => Some(made_of(name, of)),
        })
        .collect();
    take_turns(change, of, &bases).await?;
    let asked = wishes.iter().filter_map(|wish| match wish {
        Wish::Asked(key) => Some(key.to_string()),
        Wish::Named(_) => None,
    });
    let distinct: HashSet<&Key> = bases.iter().flatten().collect();
    let made = distinct
        .into_iter()
        .flat_map(|base| std::iter::once(base.to_string()).chain(NUMBERS.map(|n| base.numbered(n).to_string())));
    let stored = taken(change, of, &asked.clone().chain(made).collect::<Vec<_>>()).await?;
    // What one object of the request asks for is not made of another's name.
    let mut used: HashSet<String> = stored.iter().cloned().chain(asked).collect();
    let mut seen = HashSet::new();
    let choose = |(wish, base): (&Wish<'_>, Option<Key>)| match (wish, base) {
        (Wish::Named(_), Some(base)) => {
            let numbered = NUMBERS.map(|number| base.numbered(number));
            let random = std::iter::repeat_with(|| base.numbered(u32::from_be_bytes(random())));
            let mut candidates = std::iter::once(base.clone()).chain(numbered).chain(random);
            // The random ones don't end, so one is found.
            let key = candidates.find(|key| used.insert(key.to_string())).unwrap_or(base);
            Ok(key)
        }
        (Wish::Named(name), None) => Ok(made_of(name, of)),
        (Wish::Asked(key), _) if stored.contains(key.as_str()) => {
            Err(Error::Conflict { code: "conflict", detail: format!("the key {key} is taken; choose another") })
        }
        (Wish::Asked(key), _) if !seen.insert(key.to_string()) => {
            Err(Error::field("/key", "duplicate", format!("the key {key} stands in this request before")))
        }
        (Wish::Asked(key), _) => Ok((*key).clone()),
    };
    Ok(wishes.iter().zip(bases.clone()).map(choose).collect())
}

/// Two creates of one name take turns, so that neither is told of a conflict over a key it never chose. Creates of
/// several names queue in one order.
async fn take_turns(change: &mut Change, of: Of, bases: &[Option<Key>]) -> Result<(), Error> {
    let turns: Vec<String> =
        bases.iter().flatten().map(|base| format!("{} {} {base}", change.workspace(), of.word())).collect();
    if !turns.is_empty() {
        store::change::take_turns(change.db(), &turns).await?;
    }
    Ok(())
}

/// In Latin letters: `Café Ünal` becomes `cafe-unal`.
fn made_of(name: &str, of: Of) -> Key {
    Key::from_name(&deunicode::deunicode(name), of.word())
}

async fn taken(change: &mut Change, of: Of, keys: &[String]) -> store::Result<HashSet<String>> {
    let workspace = change.workspace();
    let taken = match of {
        Of::Program => store::programs::taken_keys(change.db(), workspace, keys).await?,
        Of::Partner => store::partners::taken_keys(change.db(), workspace, keys).await?,
    };
    Ok(taken.into_iter().collect())
}
