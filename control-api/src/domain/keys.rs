//! Keys of programs and partners: asked for, or made of the name.

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

/// The key a create asks for, taken or not, or one made of the name that is free until this transaction ends.
///
/// # Errors
/// The database's.
pub async fn free(change: &mut Mutation, of: Of, asked: Option<Key>, name: &str) -> Result<Key, ApiError> {
    if let Some(key) = asked {
        return Ok(key);
    }
    let base = Key::from_name(name, of.word());
    // Two creates of one name take turns, so that neither is told of a conflict over a key it never chose.
    let turn = format!("{} {} {base}", change.workspace(), of.word());
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", turn).fetch_one(change.db()).await?;
    if !is_taken(change, of, &base).await? {
        return Ok(base);
    }
    for number in NUMBERS {
        let key = base.numbered(number);
        if !is_taken(change, of, &key).await? {
            return Ok(key);
        }
    }
    Ok(base.numbered(u32::from_be_bytes(random())))
}

async fn is_taken(change: &mut Mutation, of: Of, key: &Key) -> sqlx::Result<bool> {
    let workspace = change.workspace();
    match of {
        Of::Program => db::programs::key_is_taken(change.db(), workspace, key.as_str()).await,
        Of::Partner => db::partners::key_is_taken(change.db(), workspace, key.as_str()).await,
    }
}
