//! What a report covers: a range of time, a zone, a filter.

use chrono_tz::Tz;
use model::time::Timestamp;
use shared::id::{LinkId, PartnerId, ProgramId, WorkspaceId};

/// What a report covers.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The first moment, a whole millisecond.
    pub from: Timestamp,
    /// The first moment after it, a whole millisecond.
    pub to: Timestamp,
    /// Where days, weeks and months begin.
    pub tz: Tz,
    /// Only what was known then; `None`: the latest state.
    pub as_of: Option<Timestamp>,
    /// Which rows.
    pub filter: Filter,
}

impl Scope {
    /// What was known at `as_of` was written before this moment.
    #[must_use]
    pub fn known_before(&self) -> Option<Timestamp> {
        self.as_of.map(Timestamp::end_of_millisecond)
    }
}

/// Which rows a report counts. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this partner.
    pub partner: Option<PartnerId>,
    /// Of this program.
    pub program: Option<ProgramId>,
    /// Of this link.
    pub link: Option<LinkId>,
    /// From this country.
    pub country: Option<String>,
    /// On this hostname.
    pub domain: Option<String>,
    /// Of partners that carry this tag now.
    pub tag: Option<String>,
}

impl Filter {
    /// The one dimension of the rollups that holds both this filter and a group of `grouped`, `all` where neither asks for
    /// one; `None` where several are in play, which the rollups don't hold.
    #[must_use]
    pub fn dimension_with(&self, grouped: Option<&'static str>) -> Option<&'static str> {
        let asked = [
            grouped,
            self.partner.map(|_| "partner"),
            self.tag.as_ref().map(|_| "partner"),
            self.program.map(|_| "program"),
            self.link.map(|_| "link"),
            self.country.as_ref().map(|_| "country"),
            self.domain.as_ref().map(|_| "domain"),
        ];
        let mut asked: Vec<&'static str> = asked.into_iter().flatten().collect();
        asked.dedup();
        match asked[..] {
            [] => Some("all"),
            [one] => Some(one),
            _ => None,
        }
    }
}

shared::text_enum! {
    /// Which clicks a report selects.
    #[derive(Default)]
    pub enum Bots {
        /// All of them.
        #[default]
        All = "all",
        /// Those of humans.
        Human = "human",
        /// Those of bots.
        Bot = "bot",
    }
}

impl Bots {
    /// Whether clicks of a bot, or of humans, are among them.
    #[must_use]
    pub const fn selects(self, bot: bool) -> bool {
        match self {
            Self::All => true,
            Self::Human => !bot,
            Self::Bot => bot,
        }
    }
}
