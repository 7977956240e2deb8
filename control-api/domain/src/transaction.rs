//! Transactions that store facts: begun anew where others stood in their way.

use store::copy::InsertMode;

use crate::Error;

/// How often a transaction is begun before [`Error::Contended`] is answered. Transactions take their locks in one order as
/// far as that goes; where they meet in a circle all the same, the database ends one of them.
const ATTEMPTS: u32 = 4;

/// Attempts of one transaction that stores rows:
///
/// ```text
/// let mut attempts = Attempts::of("clicks", rows, InsertMode::SkipExisting);
/// let stored = loop {
///     match write(attempts.mode()).await {
///         Ok(stored) => break stored,
///         Err(error) => attempts.again(error)?,
///     }
/// };
/// ```
pub(crate) struct Attempts {
    transaction: &'static str,
    made: u32,
    mode: InsertMode,
    contended: InsertMode,
}

impl Attempts {
    /// Attempts of the named transaction, which stores so many rows. Where it is [contended](Error::Contended), it is begun
    /// anew in the mode `contended`.
    pub(crate) const fn of(transaction: &'static str, rows: usize, contended: InsertMode) -> Self {
        Self { transaction, made: 1, mode: InsertMode::for_rows(rows), contended }
    }

    /// The mode of this attempt.
    pub(crate) const fn mode(&self) -> InsertMode {
        self.mode
    }

    /// Goes on to another attempt, where that may help.
    ///
    /// # Errors
    /// The error of this attempt, where it is the last.
    pub(crate) fn again(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Contended(cause) if self.made < ATTEMPTS => {
                let Self { transaction, made: attempt, mode, .. } = *self;
                tracing::debug!(monotonic_counter.transaction_retries = 1, transaction, attempt, ?mode, cause);
                self.made += 1;
                self.mode = self.contended;
                Ok(())
            }
            error => Err(error),
        }
    }
}

/// What an optimistic insert has found, as an error that begins the transaction anew.
pub(crate) fn expected_new<T>(stored: Option<T>) -> Result<T, Error> {
    stored.ok_or_else(|| Error::Contended("some rows are stored already".to_owned()))
}
