//! Packs that were read lately, in the instance's memory. A pack is never changed, only taken away and made anew under another
//! id. So an id that the database still knows says what the pack holds, and nothing here is ever out of date.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use quick_cache::{Weighter, unsync};
use uuid::Uuid;

/// See the module.
pub struct Cache(Mutex<unsync::Cache<Uuid, Bytes, Length>>);

impl Cache {
    /// One of at most so many bytes. What was read once makes room for what is read often.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Mutex::new(unsync::Cache::with_weighter(1_000, bytes, Length)))
    }

    pub(super) fn get(&self, pack: Uuid) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&pack).cloned()
    }

    pub(super) fn keep(&self, pack: Uuid, cells: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pack, cells);
    }
}

#[derive(Clone)]
struct Length;

impl Weighter<Uuid, Bytes> for Length {
    fn weight(&self, _: &Uuid, cells: &Bytes) -> u64 {
        // What it takes to keep it at all, too.
        cells.len() as u64 + 100
    }
}
