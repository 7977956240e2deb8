//! Objects made together: what each is to be, what speaks against it, and what came of it.
//!
//! A single create is one of these with one object, so that every way to make an object (a `POST`, a bulk request, an
//! imported file) follows the same rules.

use serde_json::Value;
use shared::id::ApiKeyId;

use crate::{
    context::Context,
    error::{Error, FieldFault},
};
use model::access::Caller;
use store::change::Change;

/// What speaks against an object, all of it.
#[derive(Debug, Default)]
pub struct Rejection {
    /// What its own fields lack.
    faults: Vec<FieldFault>,
    /// What stands against it in the workspace: the field and the refusal.
    refusals: Vec<(&'static str, Error)>,
}

impl Rejection {
    /// Whether nothing speaks against the object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty() && self.refusals.is_empty()
    }

    /// Whether something is said of this field, of a part of it, or of the object as a whole.
    #[must_use]
    pub fn concerns(&self, pointer: &str) -> bool {
        self.faults.iter().any(|fault| is_within(pointer, &fault.pointer) || is_within(&fault.pointer, pointer))
    }

    /// Notes what ended the reading of the fields.
    pub fn note(&mut self, read: Result<(), Error>) {
        if let Err(error) = read {
            self.faults.extend(error.field_faults());
        }
    }

    /// Notes what of the object could not be read at all: what its fields were found to lack there only follows.
    pub fn note_unreadable(&mut self, faults: Vec<FieldFault>) {
        self.faults.retain(|found| !faults.iter().any(|fault| is_within(&found.pointer, &fault.pointer)));
        self.faults.extend(faults);
    }

    /// Notes a refusal because of a field.
    pub fn refuse(&mut self, pointer: &'static str, error: Error) {
        self.refusals.push((pointer, error));
    }

    /// The stable code of the whole.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.refusals.first() {
            Some((_, error)) if self.faults.is_empty() => error.code(),
            _ => "validation_failed",
        }
    }

    /// Every fault.
    #[must_use]
    pub fn into_faults(self) -> Vec<FieldFault> {
        let refused = self.refusals.into_iter().flat_map(|(pointer, error)| match error {
            Error::Validation(faults) => faults,
            error => vec![FieldFault::new(pointer, error.code(), error.to_string())],
        });
        self.faults.into_iter().chain(refused).collect()
    }

    /// As the answer to a request for this object alone.
    #[must_use]
    pub fn into_error(mut self) -> Error {
        if self.faults.is_empty() && !self.refusals.is_empty() {
            return self.refusals.swap_remove(0).1;
        }
        Error::Validation(self.faults)
    }
}

fn is_within(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An object to be, and what already speaks against it.
pub struct Wanted<D> {
    /// What it is to be, as far as its fields could be read.
    pub draft: D,
    /// Not empty: it can't be made. It is still checked on, so that all faults are named at once.
    pub rejection: Rejection,
}

impl<D> Wanted<D> {
    /// The draft, if nothing speaks against it so far.
    ///
    /// # Errors
    /// 422 with every fault.
    pub fn sound(self) -> Result<Self, Error> {
        if self.rejection.is_empty() { Ok(self) } else { Err(self.rejection.into_error()) }
    }
}

/// What came of an object.
pub type Outcome<M> = Result<M, Rejection>;

/// A kind of object that can be made in numbers.
pub trait Bulk {
    /// What one is to be.
    type Draft: Send;
    /// One that was made, as the API shows it.
    type Made: serde::Serialize + Send;
    /// What one is called in answers.
    const ONE: &'static str;
    /// What several are called in requests.
    const ALL: &'static str;

    /// Reads drafts, in their order.
    fn read(context: &Context, values: &[Value]) -> Vec<Wanted<Self::Draft>>;

    /// Whether the caller may make these.
    ///
    /// # Errors
    /// 403.
    fn allow(caller: &Caller, wanted: &[Wanted<Self::Draft>]) -> Result<(), Error>;

    /// Makes all of them that can be made, and answers what came of each, in their order.
    fn make(
        change: &mut Change,
        by: ApiKeyId,
        wanted: Vec<Wanted<Self::Draft>>,
    ) -> impl Future<Output = Result<Vec<Outcome<Self::Made>>, Error>> + Send;

    /// The id of one that was made, and what people tell it by: name and value.
    fn named(made: &Self::Made) -> (String, (&'static str, String));
}

/// The one outcome of one object.
///
/// # Errors
/// What spoke against it.
pub fn only<M>(outcomes: Vec<Outcome<M>>) -> Result<M, Error> {
    match outcomes.into_iter().next() {
        Some(outcome) => outcome.map_err(Rejection::into_error),
        None => Err(Error::Internal(anyhow::anyhow!("an object was asked for and nothing came of it"))),
    }
}
