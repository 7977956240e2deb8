//! The reasons for which a click is not counted as a human's.

text_enum! {
    /// Why a click is not a human's.
    pub enum BotReason {
        /// A crawler or search engine.
        Crawler = "crawler",
        /// A link preview of a messenger or network.
        Preview = "preview",
        /// An uptime or page-speed monitor.
        Monitor = "monitor",
        /// An HTTP library or command-line tool.
        Library = "library",
        /// A browser that automation drives.
        Automation = "automation",
        /// A prefetch: nobody has clicked yet.
        Prefetch = "prefetch",
        /// No user agent at all.
        EmptyAgent = "empty_agent",
        /// A `HEAD` request.
        Probe = "probe",
        /// The network's own bot detection.
        BotManagement = "bot_management",
    }
}
