//! The words of user agents: what each says about browser, device and system, or what kind of bot it names.
//!
//! The table is plain data, found through an index that the compiler computes. A bot has a row where its name
//! doesn't show what it is, or where its [build](built_like_a_bot) would give another reason than the true one.

use crate::classify::bot_reason::BotReason::{self, Automation, Crawler, Library, Monitor, Preview};

/// A set of things that words say about browser, device and system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traits(u32);

macro_rules! traits {
    ($($name:ident = $bit:literal),+ $(,)?) => {
        #[allow(missing_docs, reason = "each is what it is named after")]
        impl Traits { $(pub const $name: Self = Self(1 << $bit);)+ }
    };
}
traits! {
    ANDROID = 0, IPHONE = 1, IPAD = 2, WINDOWS = 3, MACINTOSH = 4, CROS = 5, LINUX = 6, MOBILE = 7, TABLET = 8,
    CHROME = 9, SAFARI = 10, FIREFOX = 11, EDGE = 12, OPERA = 13, SAMSUNG = 14, YANDEX = 15, UC = 16, IN_APP = 17,
    TV = 18, WINDOWS_PHONE = 19, ENGINE = 20, COMPATIBLE = 21, TRIDENT = 22,
}

impl Traits {
    const NONE: Self = Self(0);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `others` is in the set.
    #[must_use]
    pub const fn any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The set as bits, in the order of declaration.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// What a word says.
#[derive(Debug, Clone, Copy)]
pub struct Meaning {
    /// About browser, device and system.
    pub traits: Traits,
    /// The kind of bot that it names.
    pub bot: Option<BotReason>,
}

/// Words of one meaning, in lower case.
struct Row {
    meaning: Meaning,
    words: &'static [&'static str],
}

const fn says(traits: Traits, words: &'static [&'static str]) -> Row {
    Row { meaning: Meaning { traits, bot: None }, words }
}

/// A browser's family, by whose name alone an agent may be a browser's.
const fn family(traits: Traits, words: &'static [&'static str]) -> Row {
    says(traits.with(Traits::ENGINE), words)
}

const fn names(bot: BotReason, words: &'static [&'static str]) -> Row {
    Row { meaning: Meaning { traits: Traits::NONE, bot: Some(bot) }, words }
}

const ROWS: &[Row] = &[
    says(Traits::ANDROID, &["android"]),
    says(Traits::IPHONE, &["iphone", "ipod"]),
    says(Traits::IPAD, &["ipad"]),
    says(Traits::WINDOWS, &["windows"]),
    says(Traits::MACINTOSH, &["macintosh"]),
    says(Traits::CROS, &["cros"]),
    says(Traits::LINUX, &["linux", "x11"]),
    says(Traits::MOBILE, &["mobile", "mobi"]),
    says(Traits::TABLET, &["tablet"]),
    says(Traits::TV, &["tv", "smart-tv", "smarttv", "googletv", "appletv", "web0s", "tizen", "bravia"]),
    says(
        Traits::IN_APP,
        &[
            "fban",
            "fbav",
            "fb_iab",
            "metaiab",
            "instagram",
            "bytedancewebview",
            "bytelocale",
            "musical_ly",
            "line",
            "micromessenger",
            "snapchat",
            "pinterest",
            "twitter",
            "linkedinapp",
            "baiduboxapp",
            "gsa",
        ],
    ),
    family(Traits::CHROME, &["chrome", "crios", "chromium"]),
    family(Traits::SAFARI, &["safari"]),
    family(Traits::FIREFOX, &["firefox", "fxios", "focus"]),
    family(Traits::EDGE, &["edg", "edge", "edga", "edgios"]),
    family(Traits::OPERA, &["opr", "opera", "opt", "opios", "presto"]),
    family(Traits::SAMSUNG, &["samsungbrowser"]),
    family(Traits::YANDEX, &["yabrowser"]),
    family(Traits::UC, &["ucbrowser", "ubrowser", "ucweb"]),
    family(Traits::TRIDENT, &["msie", "trident", "konqueror"]),
    family(Traits::TRIDENT.with(Traits::WINDOWS_PHONE), &["iemobile"]),
    // Engines, and what old phones say in place of one.
    says(
        Traits::ENGINE,
        &[
            "applewebkit",
            "webkit",
            "khtml",
            "gecko",
            "goanna",
            "silk",
            "netfront",
            "obigo",
            "dolfin",
            "blackberry",
            "midp",
        ],
    ),
    says(Traits::COMPATIBLE, &["compatible"]),
    // A maker of phones, not a bot: "Linux; Android 13; CUBOT KINGKONG 7".
    says(Traits::NONE, &["cubot"]),
    // Link previews: fetched when somebody pastes a link, before anybody clicks it.
    names(
        Preview,
        &[
            "facebookexternalhit",
            "facebookcatalog",
            "meta-externalfetcher",
            "slackbot-linkexpanding",
            "slack-imgproxy",
            "twitterbot",
            "linkedinbot",
            "telegrambot",
            "discordbot",
            "pinterestbot",
            "redditbot",
            "whatsapp",
            "skypeuripreview",
            "snapchatads",
            "viber",
            "iframely",
            "embedly",
            "vkshare",
            "bitlybot",
            "bluesky",
            "mastodon",
            "cardyb",
            "google-pagerenderer",
        ],
    ),
    // Crawlers whose names aren't built like one. `http`, `https` and `www` begin the address of an operator.
    // `yandex` is a crawler only as a word of its own: Yandex's browser says YaBrowser.
    names(
        Crawler,
        &[
            "http",
            "https",
            "www",
            "slurp",
            "yandex",
            "google-extended",
            "google-inspectiontool",
            "googleother",
            "google-read-aloud",
            "bingpreview",
            "ia_archiver",
            "archive",
            "heritrix",
            "nutch",
            "sogou",
            "meta-externalagent",
            "chatgpt-user",
            "perplexity-user",
            "claude-user",
            "claude-web",
            "feedly",
            "lighthouse",
            "chrome-lighthouse",
            "pagespeed",
        ],
    ),
    names(
        Monitor,
        &[
            "uptimerobot",
            "statuscake",
            "site24x7",
            "newrelicpinger",
            "gtmetrix",
            "checkly",
            "hetrixtools",
            "zabbix",
            "nagios",
            "check_http",
            "ptst",
        ],
    ),
    names(
        Library,
        &[
            "curl",
            "wget",
            "libwww-perl",
            "python-requests",
            "python",
            "java",
            "apache-httpclient",
            "axios",
            "node-fetch",
            "node",
            "got",
            "ruby",
            "php",
            "perl",
            "lwp",
            "scrapy",
            "dart",
            "deno",
            "bun",
        ],
    ),
    names(Automation, &["headlesschrome", "phantomjs", "slimerjs", "puppeteer", "playwright", "selenium", "cypress"]),
];

/// What names of bots are built with, by first letter, anywhere in a word.
const fn stems(first: u8) -> &'static [(&'static [u8], BotReason)] {
    match first {
        b'-' => &[(b"-google", Crawler), (b"-agent", Crawler)],
        b'a' => &[(b"archiv", Crawler), (b"analyz", Crawler)],
        b'c' => &[(b"crawl", Crawler), (b"checker", Monitor), (b"collector", Crawler)],
        b'd' => &[(b"download", Library)],
        b'f' => &[(b"fetch", Crawler), (b"feed", Crawler)],
        b'h' => &[(b"http", Library), (b"harvest", Crawler)],
        b'i' => &[(b"indexer", Crawler), (b"inspect", Crawler)],
        b'm' => &[(b"monitor", Monitor)],
        b'o' => &[(b"optimiz", Crawler)],
        b'p' => &[(b"preview", Preview), (b"proxy", Crawler), (b"pingdom", Monitor)],
        b'r' => &[(b"robot", Crawler)],
        b's' => &[(b"spider", Crawler), (b"scrap", Crawler), (b"scanner", Crawler), (b"synthetics", Monitor)],
        b'u' => &[(b"uptime", Monitor)],
        b'v' => &[(b"validat", Crawler)],
        b'w' => &[(b"watcher", Monitor)],
        _ => &[],
    }
}

const SHORTEST_STEM: usize = 4;

/// The kind of bot that a word is named like, though no row knows it.
pub(super) fn built_like_a_bot(word: &[u8]) -> Option<BotReason> {
    // No stem is shorter than "feed". The second letter rules out nearly all places before whole texts are compared.
    let begins = |rest: &[u8], stem: &[u8]| rest[1] == stem[1] && rest.starts_with(stem);
    let stem = |rest: &[u8]| stems(rest[0]).iter().find(|(stem, _)| begins(rest, stem)).map(|(_, bot)| *bot);
    let mut places = 0..(word.len() + 1).saturating_sub(SHORTEST_STEM);
    let stemmed = places.find_map(|at| stem(&word[at..]));
    stemmed.or_else(|| {
        let named = word.ends_with(b"bot") || word.ends_with(b"bots") || word.starts_with(b"bot-");
        (named && !word.starts_with(b"cubot")).then_some(Crawler)
    })
}

/// Every word with its meaning, for those who want to classify elsewhere.
pub fn all() -> impl Iterator<Item = (&'static str, Meaning)> {
    ROWS.iter().flat_map(|row| row.words.iter().map(|word| (*word, row.meaning)))
}

/// Every stem with the kind of bot that it shows, for the same.
pub fn all_stems() -> impl Iterator<Item = (&'static str, BotReason)> {
    (0..=u8::MAX).flat_map(stems).filter_map(|(stem, bot)| Some((std::str::from_utf8(stem).ok()?, *bot)))
}

// The index: a table of slots, each empty or the place of a word. A word stands in the slot of its hash or, where
// that is taken, in the next free one.

const WORDS: usize = {
    let (mut words, mut row) = (0, 0);
    while row < ROWS.len() {
        words += ROWS[row].words.len();
        row += 1;
    }
    words
};
const SLOTS: usize = (WORDS * 2).next_power_of_two();
/// Row and number of a word, both from 1; a row of 0 is an empty slot.
static INDEX: [(u8, u8); SLOTS] = index();

/// FNV-1a (Fowler, Noll, Vo), 32 bits.
pub(super) const HASH_SEED: u32 = 0x811c_9dc5;

/// The hash of a word and one more byte of it.
pub(super) const fn hash_on(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

const fn slot(hash: u32) -> usize {
    (hash ^ (hash >> 15)) as usize % SLOTS
}

#[allow(clippy::cast_possible_truncation, reason = "rows and the words of each are far fewer than 255")]
const fn index() -> [(u8, u8); SLOTS] {
    let mut index = [(0, 0); SLOTS];
    let mut row = 0;
    while row < ROWS.len() {
        let mut word = 0;
        while word < ROWS[row].words.len() {
            let bytes = ROWS[row].words[word].as_bytes();
            let (mut hash, mut at) = (HASH_SEED, 0);
            while at < bytes.len() {
                hash = hash_on(hash, bytes[at]);
                at += 1;
            }
            let mut place = slot(hash);
            while index[place].0 != 0 {
                place = (place + 1) % SLOTS;
            }
            index[place] = (row as u8 + 1, word as u8);
            word += 1;
        }
        row += 1;
    }
    index
}

/// The meaning of a word, given with its hash.
pub(super) fn find(word: &[u8], hash: u32) -> Option<Meaning> {
    let mut place = slot(hash);
    loop {
        let (row, at) = INDEX[place];
        let row = ROWS.get(usize::from(row).checked_sub(1)?)?;
        if row.words.get(usize::from(at))?.as_bytes() == word {
            return Some(row.meaning);
        }
        place = (place + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_is_said_once() {
        for (word, meaning) in all() {
            let hash = word.bytes().fold(HASH_SEED, hash_on);
            let found = find(word.as_bytes(), hash).unwrap();
            assert_eq!((found.traits, found.bot), (meaning.traits, meaning.bot), "{word}");
            assert_eq!(all().filter(|(other, _)| *other == word).count(), 1, "{word}");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b)), "{word}");
        }
        for word in ["", "nothing", "androi", "androidx"] {
            assert!(find(word.as_bytes(), word.bytes().fold(HASH_SEED, hash_on)).is_none(), "{word}");
        }
    }

    #[test]
    fn stems_stand_under_their_first_letter() {
        for first in 0..=u8::MAX {
            assert!(stems(first).iter().all(|(stem, _)| stem[0] == first && stem.len() >= SHORTEST_STEM));
        }
    }
}
