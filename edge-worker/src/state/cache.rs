//! The first tier of a look-up: a bounded memory of versioned records, and one of absent keys. Pure; the clock is passed in.

use std::{collections::HashMap, rc::Rc};

use shared::{
    Millis,
    record::{DomainRecord, LinkRecord, Versioned},
};

/// How long a record is served without asking the next tier, in milliseconds.
const FRESH: i64 = 10 * Millis::SECOND;
/// How long one request may refresh a record while others are served the stale one, in milliseconds.
const CLAIM: i64 = Millis::SECOND;
/// How long a stale record is served while one request refreshes it, in milliseconds. A record unused for longer may be
/// arbitrarily old, so then every request asks.
const GRACE: i64 = 50 * Millis::SECOND;
/// How long a record counts as fresh after the next tier has failed, in milliseconds.
const RETRY: i64 = Millis::SECOND;
/// How long a key counts as absent, in milliseconds.
const ABSENT: i64 = 10 * Millis::SECOND;

/// The share of a record in a memory's bound.
pub(crate) trait Room {
    /// At least 1, and roughly its bytes divided by [`ROOM`].
    fn rooms(&self) -> usize;
}

/// The bytes of an ordinary link with its key.
const ROOM: usize = 2_000;

impl Room for LinkRecord {
    fn rooms(&self) -> usize {
        let variants: usize = self.variants.iter().map(|variant| 200 + variant.target.url.len()).sum();
        1 + (self.target.url.len() + self.expired_url.as_ref().map_or(0, String::len) + variants) / ROOM
    }
}

impl Room for DomainRecord {
    fn rooms(&self) -> usize {
        1
    }
}

struct Entry<T> {
    stored: Rc<Versioned<T>>,
    rooms: usize,
    fresh_until: Millis,
    claimed_until: Millis,
}

/// A bounded map of records by key.
///
/// Eviction is by generations: when the young generation holds half of the bound, it becomes the old one and the previous old
/// one is dropped. A used record moves to the young generation, so recently used records survive, at the cost of one more
/// look-up and without a list to maintain.
pub(crate) struct Memory<T> {
    young: HashMap<Box<str>, Entry<T>>,
    old: HashMap<Box<str>, Entry<T>>,
    /// The rooms of the young generation.
    rooms: usize,
    half: usize,
}

impl<T: Room> Memory<T> {
    /// An empty memory of at most `bound` [rooms](Room).
    pub(crate) fn new(bound: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), rooms: 0, half: bound / 2 }
    }

    fn entry(&mut self, key: &str) -> Option<&mut Entry<T>> {
        if !self.young.contains_key(key) {
            let (key, entry) = self.old.remove_entry(key)?;
            self.insert(key, entry);
        }
        self.young.get_mut(key)
    }

    fn insert(&mut self, key: Box<str>, entry: Entry<T>) {
        if self.rooms + entry.rooms > self.half {
            self.old = std::mem::take(&mut self.young);
            self.rooms = 0;
        }
        self.rooms += entry.rooms;
        self.young.insert(key, entry);
    }

    /// The record, if it may be served without asking the next tier.
    pub(crate) fn servable(&mut self, key: &str, now: Millis) -> Option<&Rc<Versioned<T>>> {
        let entry = self.entry(key)?;
        let served = now < entry.fresh_until || (now < entry.claimed_until && now < entry.fresh_until.plus(GRACE));
        served.then_some(&entry.stored)
    }

    /// Claims the refresh of a record that is not [`servable`](Self::servable), and returns the stale record, to be served if
    /// the next tiers fail. A claim expires: the request that holds it may be cancelled.
    pub(crate) fn claim(&mut self, key: &str, now: Millis) -> Option<Rc<Versioned<T>>> {
        let entry = self.entry(key)?;
        entry.claimed_until = now.plus(CLAIM);
        Some(Rc::clone(&entry.stored))
    }

    /// Stores a record from another tier unless a newer version is here already, and returns the newer one.
    pub(crate) fn offer(&mut self, key: &str, stored: Versioned<T>, now: Millis) -> Rc<Versioned<T>> {
        let fresh_until = now.plus(FRESH);
        match self.entry(key) {
            Some(entry) if stored.version <= entry.stored.version => {
                entry.fresh_until = fresh_until;
                Rc::clone(&entry.stored)
            }
            _ => {
                self.forget(key);
                let rooms = stored.record.as_ref().map_or(1, Room::rooms);
                let stored = Rc::new(stored);
                let entry = Entry { stored: Rc::clone(&stored), rooms, fresh_until, claimed_until: now };
                self.insert(key.into(), entry);
                stored
            }
        }
    }

    /// Lets a stale record be served a little longer because the next tier failed.
    pub(crate) fn extend(&mut self, key: &str, now: Millis) {
        if let Some(entry) = self.entry(key) {
            entry.fresh_until = now.plus(RETRY);
        }
    }

    /// Drops a record that no longer exists.
    pub(crate) fn forget(&mut self, key: &str) {
        if let Some(entry) = self.young.remove(key) {
            self.rooms -= entry.rooms;
        }
        self.old.remove(key);
    }

    /// Whether a record is held, fresh or not.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }
}

/// Keys that are absent, for a while. Apart from the records, so that a scan of made-up slugs can't evict real ones.
pub(crate) struct Absent {
    until: HashMap<Box<str>, Millis>,
    bound: usize,
}

impl Absent {
    /// An empty set of at most `bound` keys.
    pub(crate) fn new(bound: usize) -> Self {
        Self { until: HashMap::new(), bound }
    }

    /// Whether the key was absent a short while ago.
    pub(crate) fn contains(&self, key: &str, now: Millis) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    /// Adds an absent key. A set full of unexpired keys is emptied: asking again costs little.
    pub(crate) fn insert(&mut self, key: &str, now: Millis) {
        if self.until.len() >= self.bound {
            self.until.retain(|_, until| now < *until);
            if self.until.len() >= self.bound {
                self.until.clear();
            }
        }
        self.until.insert(key.into(), now.plus(ABSENT));
    }

    /// Removes a key that exists now.
    pub(crate) fn remove(&mut self, key: &str) {
        self.until.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Room for &'static str {
        fn rooms(&self) -> usize {
            self.len().div_ceil(10)
        }
    }

    fn stored(version: u64, record: &'static str) -> Versioned<&'static str> {
        Versioned { version, record: Some(record) }
    }

    fn served(memory: &mut Memory<&'static str>, key: &str, now: i64) -> Option<&'static str> {
        memory.servable(key, Millis(now)).and_then(|stored| stored.record)
    }

    #[test]
    fn serves_for_ten_seconds_then_asks() {
        let mut memory = Memory::new(10);
        memory.offer("a", stored(1, "one"), Millis(0));
        for (now, expected) in [(0, Some("one")), (9_999, Some("one")), (10_000, None)] {
            assert_eq!(served(&mut memory, "a", now), expected, "{now}");
        }
        assert_eq!(served(&mut memory, "b", 0), None);
    }

    #[test]
    fn one_request_refreshes_while_others_are_served() {
        let mut memory = Memory::new(10);
        memory.offer("a", stored(1, "one"), Millis(0));
        assert!(memory.claim("a", Millis(10_000)).is_some());
        assert_eq!(served(&mut memory, "a", 10_500), Some("one"), "claimed");
        assert_eq!(served(&mut memory, "a", 11_000), None, "the claim expired");
        memory.offer("a", stored(2, "two"), Millis(11_000));
        assert_eq!(served(&mut memory, "a", 20_999), Some("two"));

        memory.claim("a", Millis(120_000));
        assert_eq!(served(&mut memory, "a", 120_000), None, "long unused: the stale record is served to nobody");
    }

    #[test]
    fn serves_the_stale_record_while_the_next_tier_fails() {
        let mut memory = Memory::new(10);
        memory.offer("a", stored(1, "one"), Millis(0));
        let hours = 5 * Millis::HOUR;
        assert_eq!(memory.claim("a", Millis(hours)).unwrap().record, Some("one"));
        memory.extend("a", Millis(hours));
        assert_eq!(served(&mut memory, "a", hours + 999), Some("one"));
        assert_eq!(served(&mut memory, "a", hours + 1_000), None, "then asks again");
    }

    #[test]
    fn an_older_version_never_wins() {
        let mut memory = Memory::new(10);
        for (version, record, kept) in
            [(2, "two", "two"), (1, "one", "two"), (2, "other", "two"), (3, "three", "three")]
        {
            assert_eq!(memory.offer("a", stored(version, record), Millis(0)).record, Some(kept));
        }
        let tombstone = Versioned { version: 4, record: None };
        assert_eq!(memory.offer("a", tombstone, Millis(0)).record, None);
        assert_eq!(memory.offer("a", stored(3, "three"), Millis(0)).record, None, "a removal is a version too");
    }

    #[test]
    fn stays_within_its_bound_and_keeps_used_records() {
        let mut memory = Memory::new(100);
        memory.offer("hot", stored(1, "hot"), Millis(0));
        for n in 0..10_000 {
            memory.offer(&format!("k{n}"), stored(1, "cold"), Millis(0));
            assert_eq!(served(&mut memory, "hot", 1), Some("hot"));
            assert!(memory.young.len() + memory.old.len() <= 100);
        }
        assert!(memory.holds("k9999") && !memory.holds("k0"));
        memory.forget("hot");
        assert!(!memory.holds("hot"));
        // A large record takes more of the bound, also where it replaces a small one.
        let mut memory = Memory::new(100);
        for n in 0..1_000 {
            memory.offer(&format!("k{n}"), stored(1, "small"), Millis(0));
            memory.offer(&format!("k{n}"), stored(2, "a record of more than forty bytes, five rooms"), Millis(0));
            assert!(memory.young.len() + memory.old.len() <= 20);
        }
    }

    #[test]
    fn absent_keys_expire_and_are_bounded() {
        let mut absent = Absent::new(3);
        for (key, now) in [("a", 0), ("b", 5_000)] {
            absent.insert(key, Millis(now));
        }
        assert!(absent.contains("a", Millis(9_999)) && !absent.contains("a", Millis(10_000)));
        absent.insert("c", Millis(10_000));
        absent.insert("d", Millis(10_000));
        assert!(absent.contains("b", Millis(10_000)), "an expired key made room");
        absent.insert("e", Millis(10_000));
        assert!(absent.until.len() <= 3 && absent.contains("e", Millis(10_000)));
        absent.remove("e");
        assert!(!absent.contains("e", Millis(10_000)));
    }
}
