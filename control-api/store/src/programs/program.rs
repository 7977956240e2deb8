//! A program, as the API shows it, and its row.

use serde::Serialize;
use shared::{
    click::Named,
    destination::{CustomQuery, Utm},
    id::{Program as Kind, ProgramId},
    reward::{AppliesTo, Basis},
};
use sqlx::types::Json;

use model::{status::Status, time::Timestamp};

shared::text_enum! {
    /// What kind of program it is.
    pub enum ProgramKind {
        /// Affiliates.
        Affiliate = "affiliate",
        /// Customers who refer others.
        Referral = "referral",
        /// Creators.
        Creator = "creator",
        /// Agencies.
        Agency = "agency",
        /// Ambassadors.
        Ambassador = "ambassador",
        /// Newsletters.
        Newsletter = "newsletter",
        /// Anything else.
        Other = "other",
    }
}

/// A program, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Program {
    /// Its id.
    #[schema(value_type = String, example = "prg_01h455vb4pex5vsknk084sn02q")]
    pub id: ProgramId,
    /// Its immutable key.
    #[schema(example = "creators-2026")]
    pub key: String,
    /// Its name.
    pub name: String,
    /// `active`, `paused` or `archived`.
    #[schema(value_type = String, example = "active")]
    pub status: Status,
    /// `affiliate`, `referral`, `creator`, `agency`, `ambassador`, `newsletter` or `other`.
    #[schema(value_type = String, example = "creator")]
    pub kind: ProgramKind,
    /// How partners see it called.
    pub public_label: Option<String>,
    /// Where its links lead unless they say otherwise.
    pub default_destination_url: Option<String>,
    /// Where partners get help.
    pub support_email: Option<String>,
    /// Its terms.
    pub terms_url: Option<String>,
    /// Its help pages.
    pub help_url: Option<String>,
    /// Where partners apply.
    pub application_url: Option<String>,
    /// UTM values that `apply_program_defaults` copies onto a link.
    #[schema(value_type = Object)]
    pub utm: Utm,
    /// Query parameters that `apply_program_defaults` copies onto a link, at most 20.
    #[schema(value_type = Object)]
    pub custom_query: CustomQuery,
    /// The reward terms in force.
    pub reward_terms: Option<RewardTerms>,
    /// Days in which a conversion counts for a click; `null`: the workspace's.
    pub attribution_window_days: Option<i32>,
    /// Raised by every change.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Program {
    /// As other objects show it.
    #[must_use]
    pub fn named(&self) -> Named<'static, Kind> {
        Named { id: self.id, key: self.key.clone().into(), name: self.name.clone().into() }
    }
}

/// Reward terms, for reconciliation elsewhere. Each change makes a new version; a conversion is estimated by
/// the version in force when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RewardTerms {
    /// Counted from 1.
    pub version: i32,
    /// `percentage` or `fixed`.
    #[schema(value_type = String, example = "percentage")]
    pub basis: Basis,
    /// Hundredths of a percent, 0 to 10,000; with `percentage`.
    pub rate_bps: Option<i32>,
    /// Minor units; with `fixed`.
    pub amount_minor: Option<i64>,
    /// ISO 4217; with `fixed`.
    pub currency: Option<String>,
    /// The types they apply to: `sale`, `lead`.
    #[schema(value_type = Vec<String>)]
    pub applies_to: Vec<AppliesTo>,
    /// Days to wait before a row is due.
    pub hold_days: i32,
    /// For people.
    pub note: Option<String>,
    /// Since when this version is in force.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
}

pub(super) struct Row {
    pub(super) id: ProgramId,
    pub(super) key: String,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) kind: ProgramKind,
    pub(super) public_label: Option<String>,
    pub(super) default_destination_url: Option<String>,
    pub(super) support_email: Option<String>,
    pub(super) terms_url: Option<String>,
    pub(super) help_url: Option<String>,
    pub(super) application_url: Option<String>,
    pub(super) utm: Json<Utm>,
    pub(super) custom_query: Json<CustomQuery>,
    pub(super) attribution_window_days: Option<i32>,
    pub(super) version: i64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) terms_version: Option<i32>,
    pub(super) basis: Option<Basis>,
    pub(super) rate_bps: Option<i32>,
    pub(super) amount_minor: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) applies_to: Option<Vec<String>>,
    pub(super) hold_days: Option<i32>,
    pub(super) note: Option<String>,
    pub(super) started_at: Option<Timestamp>,
}

impl From<Row> for Program {
    fn from(row: Row) -> Self {
        let reward_terms = match (row.terms_version, row.basis, row.started_at) {
            (Some(version), Some(basis), Some(started_at)) => Some(RewardTerms {
                version,
                basis,
                rate_bps: row.rate_bps,
                amount_minor: row.amount_minor,
                currency: row.currency,
                applies_to: row.applies_to.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect(),
                hold_days: row.hold_days.unwrap_or_default(),
                note: row.note,
                started_at,
            }),
            _ => None,
        };
        Self {
            id: row.id,
            key: row.key,
            name: row.name,
            status: row.status,
            kind: row.kind,
            public_label: row.public_label,
            default_destination_url: row.default_destination_url,
            support_email: row.support_email,
            terms_url: row.terms_url,
            help_url: row.help_url,
            application_url: row.application_url,
            utm: row.utm.0,
            custom_query: row.custom_query.0,
            reward_terms,
            attribution_window_days: row.attribution_window_days,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
