//! What reports group by.

shared::text_enum! {
    /// What clicks can be grouped by.
    pub enum ClickGroup {
        /// The partner at the click.
        Partner = "partner",
        /// The program at the click.
        Program = "program",
        /// The link.
        Link = "link",
        /// ISO 3166-1 alpha-2.
        Country = "country",
        /// Country and region.
        Region = "region",
        /// The visitor's `utm_source`, else the link's.
        Source = "source",
        /// Host of the referring page.
        Referrer = "referrer",
        /// Kind of device.
        Device = "device",
        /// Browser family.
        Browser = "browser",
        /// Operating system family.
        Os = "os",
        /// Short link or QR code.
        Trigger = "trigger",
        /// Tags that the partner carries now.
        Tag = "tag",
        /// The link's `utm_campaign`.
        Campaign = "campaign",
        /// Hostname of the link.
        Domain = "domain",
        /// Hour.
        Hour = "hour",
        /// Calendar day.
        Day = "day",
        /// ISO 8601 week.
        Week = "week",
        /// Calendar month.
        Month = "month",
    }
}

impl ClickGroup {
    /// Whether it is a span of time.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Week | Self::Month)
    }

    /// The dimension of the rollups that holds it; `None` for spans of time, which every dimension holds.
    #[must_use]
    pub const fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Tag => Some("partner"),
            Self::Hour | Self::Day | Self::Week | Self::Month => None,
            _ => Some(self.as_str()),
        }
    }
}

shared::text_enum! {
    /// What conversions can be grouped by.
    pub enum ConversionGroup {
        /// The partner credited.
        Partner = "partner",
        /// The program at the click.
        Program = "program",
        /// The link clicked.
        Link = "link",
        /// `lead`, `sale`, `refund`, `cancellation`, `reversal`.
        Type = "type",
        /// The event's own name.
        EventName = "event_name",
        /// Currency of the amounts.
        Currency = "currency",
        /// Tags that the partner carries now.
        Tag = "tag",
        /// The link's `utm_campaign` at the click.
        Campaign = "campaign",
        /// Country of the click.
        Country = "country",
        /// Hostname of the link.
        Domain = "domain",
        /// Hour.
        Hour = "hour",
        /// Calendar day.
        Day = "day",
        /// ISO 8601 week.
        Week = "week",
        /// Calendar month.
        Month = "month",
    }
}

impl ConversionGroup {
    /// The same groups of clicks, where clicks have them.
    #[must_use]
    pub const fn of_clicks(self) -> Option<ClickGroup> {
        Some(match self {
            Self::Partner => ClickGroup::Partner,
            Self::Program => ClickGroup::Program,
            Self::Link => ClickGroup::Link,
            Self::Tag => ClickGroup::Tag,
            Self::Campaign => ClickGroup::Campaign,
            Self::Country => ClickGroup::Country,
            Self::Domain => ClickGroup::Domain,
            Self::Hour => ClickGroup::Hour,
            Self::Day => ClickGroup::Day,
            Self::Week => ClickGroup::Week,
            Self::Month => ClickGroup::Month,
            Self::Type | Self::EventName | Self::Currency => return None,
        })
    }

    /// The dimension of the rollups that holds it; `None` for spans of time.
    #[must_use]
    pub const fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Tag => Some("partner"),
            Self::Hour | Self::Day | Self::Week | Self::Month => None,
            _ => Some(self.as_str()),
        }
    }

    /// Whether its keys are ids, which people know by another name.
    #[must_use]
    pub const fn has_labels(self) -> bool {
        matches!(self, Self::Partner | Self::Tag | Self::Program | Self::Link)
    }

    /// Whether it is a span of time.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Week | Self::Month)
    }
}
