//! Counts of clicks.

use std::collections::HashMap;

use super::scope::Bots;

/// Clicks by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClickCounts {
    /// Humans through short links.
    pub human_link: i64,
    /// Humans through QR codes.
    pub human_qr: i64,
    /// Bots through short links.
    pub bot_link: i64,
    /// Bots through QR codes.
    pub bot_qr: i64,
    /// Of those of humans, the ones that had a partner.
    pub human_partner: i64,
}

impl ClickCounts {
    /// Those that `bots` selects.
    #[must_use]
    pub const fn selected(self, bots: Bots) -> i64 {
        let (human, bot) = (self.human_link + self.human_qr, self.bot_link + self.bot_qr);
        match bots {
            Bots::All => human + bot,
            Bots::Human => human,
            Bots::Bot => bot,
        }
    }

    /// Adds other counts.
    pub const fn add(&mut self, other: Self) {
        self.human_link += other.human_link;
        self.human_qr += other.human_qr;
        self.bot_link += other.bot_link;
        self.bot_qr += other.bot_qr;
        self.human_partner += other.human_partner;
    }
}

/// Clicks by group.
#[derive(Debug, Default)]
pub struct ClickGroups {
    /// All clicks in scope, each once.
    pub totals: ClickCounts,
    /// Key, label and counts, by what `bots` selects, greatest first.
    pub groups: Vec<(String, Option<String>, ClickCounts)>,
    /// The sum of the groups over the limit.
    pub other: Option<ClickCounts>,
}

/// Humans' clicks that had a partner: what conversions are measured against.
#[derive(Debug, Default)]
pub struct Reach {
    /// All in scope, each once.
    pub total: i64,
    /// By key of the group.
    pub by_key: HashMap<String, i64>,
}
