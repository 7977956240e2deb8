//! The texts that cross between the entry (`js/entry.mjs`) and this module.

pub(crate) mod facts;
pub(crate) mod respond;
