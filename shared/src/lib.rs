//! The pure domain of Nimriz Partners, used by the edge worker and the control plane alike.
//!
//! **Lives here:** ids, the redirect decision, destination rules, the click token, signing, client
//! classification, reward arithmetic, and the wire types between the parts.
//!
//! **Never here:** I/O, clocks, randomness (both are passed in; `clippy.toml` forbids them), SQL, HTTP types.
//!
//! Where to look:
//! - [`redirect::decide`]: what a visitor gets, from a [`record::LinkRecord`] and the facts of the visit.
//! - [`destination`] and [`sensitive`]: which bytes of a destination may be touched, and where.
//! - [`token`]: the `nim_ct` click token. [`webhook`]: signed events. [`internal`]: our own two doors.
//! - [`click`]: the snapshot that travels from the edge to the store. [`reward`]: what a row may be worth.

#[macro_use]
mod text_enum;

pub mod classify;
pub mod click;
pub mod destination;
pub mod id;
pub mod internal;
pub mod json;
pub mod name;
pub mod query;
pub mod record;
pub mod redirect;
pub mod reward;
pub mod ring;
pub mod sensitive;
pub mod time;
pub mod token;
pub mod webhook;

#[cfg(feature = "sqlx")]
#[doc(hidden)]
pub use sqlx;

pub use id::Id;
pub use ring::KeyRing;
pub use time::Millis;
