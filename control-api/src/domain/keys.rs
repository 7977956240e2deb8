//! Keys of programs and partners: asked for, or made of the name.

use std::collections::HashSet;

use shared::name::Key;

use crate::{db, error::ApiError, http::mutation::Mutation, time::random};

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
pub async fn free(change: &mut Mutation, of: Of, wishes: &[Wish<'_>]) -> Result<Vec<Result<Key, ApiError>>, ApiError> {
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
            Err(ApiError::Conflict { code: "conflict", detail: format!("the key {key} is taken; choose another") })
        }
        (Wish::Asked(key), _) if !seen.insert(key.to_string()) => {
            Err(ApiError::field("/key", "duplicate", format!("the key {key} stands in this request before")))
        }
        (Wish::Asked(key), _) => Ok((*key).clone()),
    };
    Ok(wishes.iter().zip(bases.clone()).map(choose).collect())
}

/// Two creates of one name take turns, so that neither is told of a conflict over a key it never chose. Creates of
/// several names queue in one order.
async fn take_turns(change: &mut Mutation, of: Of, bases: &[Option<Key>]) -> Result<(), ApiError> {
    let turns: Vec<String> =
        bases.iter().flatten().map(|base| format!("{} {} {base}", change.workspace(), of.word())).collect();
    if !turns.is_empty() {
        sqlx::query!(
            "select pg_advisory_xact_lock(turn) from \
               (select distinct hashtextextended(name, 0) as turn from unnest($1::text[]) as name order by 1) as turns",
            &turns,
        )
        .fetch_all(change.db())
        .await?;
    }
    Ok(())
}

/// In Latin letters: `Café Ünal` becomes `cafe-unal`.
fn made_of(name: &str, of: Of) -> Key {
    Key::from_name(&deunicode::deunicode(name), of.word())
}

async fn taken(change: &mut Mutation, of: Of, keys: &[String]) -> sqlx::Result<HashSet<String>> {
    let workspace = change.workspace();
    let taken = match of {
        Of::Program => db::programs::taken_keys(change.db(), workspace, keys).await?,
        Of::Partner => db::partners::taken_keys(change.db(), workspace, keys).await?,
    };
    Ok(taken.into_iter().collect())
}
