//! The state of programs, partners and links.

shared::text_enum! {
    /// The state of a program or partner.
    pub enum Status {
        /// In use.
        Active = "active",
        /// Off for now: no new assignments.
        Paused = "paused",
        /// Off for good.
        Archived = "archived",
    }
}
