//! The memory through which facts and redirects cross between the entry and the module: the entry writes the facts into
//! the inbox, calls [`hot`](crate::hot) with their length, and reads as many bytes of the outbox as that returns. Nothing
//! is allocated for a crossing, and it takes one call.

use std::cell::RefCell;

/// The longest facts that fit the inbox, in bytes. A URL alone may be longer; such a request takes the path that may wait.
const INBOX: usize = 16 << 10;

/// The two buffers. They stay where they are for as long as the instance lives.
pub(crate) struct Buffers {
    inbox: RefCell<Box<[u8]>>,
    outbox: RefCell<String>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { inbox: RefCell::new(vec![0; INBOX].into()), outbox: RefCell::new(String::with_capacity(8 << 10)) }
    }
}

impl Buffers {
    /// The inbox's address.
    pub(crate) fn inbox(&self) -> *const u8 {
        self.inbox.borrow_mut().as_mut_ptr().cast_const()
    }

    /// The inbox's length in bytes.
    pub(crate) const fn inbox_length() -> usize {
        INBOX
    }

    /// The outbox's address. An answer may move it.
    pub(crate) fn outbox(&self) -> *const u8 {
        self.outbox.borrow().as_ptr()
    }

    /// Lets `answer` turn the first `length` bytes of the inbox into the text of the outbox, and returns that text's length;
    /// 0 where there is no answer.
    pub(crate) fn exchange(&self, length: usize, answer: impl FnOnce(&str, &mut String) -> Option<()>) -> usize {
        let inbox = self.inbox.borrow();
        let Some(facts) = inbox.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return 0 };
        let mut outbox = self.outbox.borrow_mut();
        outbox.clear();
        match answer(facts, &mut outbox) {
            Some(()) => outbox.len(),
            None => 0,
        }
    }
}
