//! Words of conversion events and of their attribution.

shared::text_enum! {
    /// The types of events.
    pub enum EventType {
        /// A lead.
        Lead = "lead",
        /// A sale.
        Sale = "sale",
        /// Money given back.
        Refund = "refund",
        /// An order cancelled.
        Cancellation = "cancellation",
        /// A conversion undone.
        Reversal = "reversal",
    }
}

impl EventType {
    /// Whether it undoes another conversion.
    #[must_use]
    pub const fn is_follow_on(self) -> bool {
        matches!(self, Self::Refund | Self::Cancellation | Self::Reversal)
    }
}

shared::text_enum! {
    /// How far attribution has come.
    pub enum Status {
        /// A partner is known.
        Attributed = "attributed",
        /// The click has not arrived yet.
        PendingClick = "pending_click",
        /// The original has not arrived yet.
        PendingOriginal = "pending_original",
        /// There is no partner.
        Unattributed = "unattributed",
    }
}

impl Status {
    /// Whether it will never change.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Attributed | Self::Unattributed)
    }
}

shared::text_enum! {
    /// What led to the partner.
    pub enum Method {
        /// The event's own click token.
        Token = "token",
        /// The customer's latest attributed touch.
        Customer = "customer",
        /// The conversion it reverses.
        Original = "original",
    }
}

shared::text_enum! {
    /// Why there is no partner.
    pub enum Reason {
        /// No token, and no touch of the customer.
        NoToken = "no_token",
        /// A token that is not one of this workspace.
        TokenInvalid = "token_invalid",
        /// The click never arrived.
        ClickNotReceived = "click_not_received",
        /// It happened before the click.
        BeforeClick = "before_click",
        /// It happened after the window had closed.
        OutsideWindow = "outside_window",
        /// The link does not track conversions.
        TrackingDisabled = "tracking_disabled",
        /// The link belonged to nobody at the click.
        NoPartnerAssignment = "no_partner_assignment",
        /// The original never arrived.
        OriginalNotFound = "original_not_found",
        /// Several originals fit, of different partners.
        OriginalAmbiguous = "original_ambiguous",
    }
}
