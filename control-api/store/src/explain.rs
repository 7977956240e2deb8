//! The facts behind explanations, read in one snapshot. Every statement is bounded: by keys, by indexes made for it, or
//! by a number of rows that it looks at.

mod conversion;
mod link;

pub use conversion::{ClickFacts, ConversionFacts, Event, Holder, Original, SourceFacts, Terms, Windows, conversion};
pub use link::{Clicked, LOOK_BACK_DAYS, LinkFacts, Replication, Sources, Used, link};
