//! Sums of conversions.

use std::collections::BTreeMap;

/// What conversions add up to. Sums of 64-bit amounts may be greater than 64 bits.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Leads.
    pub leads: i64,
    /// Sales.
    pub sales: i64,
    /// Refunds.
    pub refunds: i64,
    /// Cancellations.
    pub cancellations: i64,
    /// Reversals.
    pub reversals: i64,
    /// By currency: amounts of leads and sales, and of follow-ons, 0 or less.
    pub revenue: BTreeMap<String, (i128, i128)>,
    /// By currency of the reward: estimated commissions less clawbacks.
    pub reward: BTreeMap<String, i128>,
}

/// A group that is shown.
#[derive(Debug)]
pub struct ShownGroup {
    /// Its key.
    pub key: String,
    /// The name at its latest click, else what names it by itself; nothing where there is no value.
    pub label: Option<String>,
    /// Its sums.
    pub sums: Sums,
}

/// Conversions by group.
#[derive(Debug)]
pub struct ConversionGroups {
    /// All partner-attributed conversions in scope, each once.
    pub totals: Sums,
    /// Most sales first, then most leads.
    pub groups: Vec<ShownGroup>,
    /// The sum of the groups over the limit.
    pub other: Option<Sums>,
}
