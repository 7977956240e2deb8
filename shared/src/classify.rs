//! What kind of client a request came from: bot or human, device, browser, operating system.
//!
//! One pass over the user agent cuts it into words (letters, digits, `-`, `_`) and looks each one up in a table
//! ([`words`]); no regular expressions. A word that isn't there may still be built like a crawler's name. What no
//! word gives away, the whole may: browsers name an engine, and none carries an address to write to.
//! Clicks are flagged with a reason and never dropped, so that a wrong row can be found and corrected.
//!
//! `tests/agents.rs` measures all this on public lists of agents.

mod bot_reason;
#[cfg(test)]
mod tests;
pub mod words;

pub use self::bot_reason::BotReason;
use self::words::{Meaning, Traits};

/// Version of the tables and rules, to be raised whenever one changes. Every click carries it, so that what an older table
/// said can be told from what this one says.
pub const VERSION: i32 = 3;

text_enum! {
    /// Kind of device.
    pub enum Device {
        /// A phone.
        Mobile = "mobile",
        /// A tablet.
        Tablet = "tablet",
        /// A computer.
        Desktop = "desktop",
        /// Anything else, or unknown.
        Other = "other",
    }
}

text_enum! {
    /// Browser family.
    pub enum Browser {
        /// Google Chrome.
        Chrome = "chrome",
        /// Apple Safari.
        Safari = "safari",
        /// Mozilla Firefox.
        Firefox = "firefox",
        /// Microsoft Edge.
        Edge = "edge",
        /// Opera.
        Opera = "opera",
        /// Samsung Internet.
        Samsung = "samsung",
        /// Yandex Browser.
        Yandex = "yandex",
        /// UC Browser.
        Uc = "uc",
        /// A browser inside an app.
        InApp = "in_app",
        /// Anything else, or unknown.
        Other = "other",
    }
}

text_enum! {
    /// Operating system family.
    pub enum Os {
        /// Apple iOS and iPadOS.
        Ios = "ios",
        /// Android.
        Android = "android",
        /// Microsoft Windows.
        Windows = "windows",
        /// Apple macOS.
        Macos = "macos",
        /// Google ChromeOS.
        Chromeos = "chromeos",
        /// Other Linux.
        Linux = "linux",
        /// Anything else, or unknown.
        Other = "other",
    }
}

/// What a user agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Kind of device.
    pub device: Device,
    /// Browser family.
    pub browser: Browser,
    /// Operating system family.
    pub os: Os,
    /// Why it is a bot, if it is one.
    pub bot: Option<BotReason>,
}

/// The longest word looked up, in bytes; of a longer one only the start counts.
const MAX_WORD: usize = 40;
/// How much of an agent is read, in bytes. Real ones end far earlier.
const MAX_AGENT: usize = 1_024;

/// Classifies a user agent.
#[must_use]
pub fn classify(agent: &str) -> Client {
    let agent = &agent.as_bytes()[..agent.len().min(MAX_AGENT)];
    let mut seen = Seen::default();
    let mut word = Word::default();
    let mut before = b' ';
    for &byte in agent.iter().chain(b" ") {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            // A crawler's operator can be written to: `bot@example.com`. `android@150.0` is no address.
            if before == b'@' && byte.is_ascii_alphabetic() {
                seen.suspect(BotReason::Crawler);
            }
            word.push(byte);
        } else if word.length > 0 {
            seen.word(&word);
            word.clear();
        }
        before = byte;
    }
    let os = seen.os();
    Client { device: seen.device(os), browser: seen.browser(), os, bot: seen.bot(agent, os) }
}

/// A word being read, in lower case, with its hash.
struct Word {
    bytes: [u8; MAX_WORD],
    length: usize,
    hash: u32,
}

impl Default for Word {
    fn default() -> Self {
        Self { bytes: [0; MAX_WORD], length: 0, hash: words::HASH_SEED }
    }
}

impl Word {
    /// Makes room for the next one; the bytes may stay.
    fn clear(&mut self) {
        self.length = 0;
        self.hash = words::HASH_SEED;
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte.to_ascii_lowercase();
            self.hash = words::hash_on(self.hash, *slot);
            self.length += 1;
        }
    }
}

/// What an agent's words have said so far.
#[derive(Default)]
struct Seen {
    traits: Traits,
    bot: Option<BotReason>,
}

impl Seen {
    fn word(&mut self, word: &Word) {
        let text = &word.bytes[..word.length];
        match words::find(text, word.hash) {
            Some(Meaning { traits, bot }) => {
                self.traits = self.traits.with(traits);
                if let Some(reason) = bot {
                    self.suspect(reason);
                }
            }
            None => {
                if let Some(reason) = words::built_like_a_bot(text) {
                    self.suspect(reason);
                }
            }
        }
    }

    /// The first word that names a bot gives the reason; a preview outranks the crawlers it imitates.
    fn suspect(&mut self, reason: BotReason) {
        if self.bot.is_none() || reason == BotReason::Preview {
            self.bot = Some(reason);
        }
    }

    fn bot(&self, agent: &[u8], os: Os) -> Option<BotReason> {
        if self.bot.is_some() {
            self.bot
        } else if agent.iter().all(u8::is_ascii_whitespace) {
            Some(BotReason::EmptyAgent)
        } else if !self.traits.any(Traits::ENGINE) && (os == Os::Other || !agent.starts_with(b"Mozilla/")) {
            // Every browser names its engine, its family or one it imitates; privacy tools cut that off behind the
            // system's name. What names neither is a program.
            Some(BotReason::Library)
        } else if self.traits.any(Traits::COMPATIBLE) && !self.traits.any(Traits::TRIDENT) {
            // Only Internet Explorer and Konqueror call themselves "compatible" of old, and crawlers.
            Some(BotReason::Crawler)
        } else {
            None
        }
    }

    fn os(&self) -> Os {
        let any = |traits| self.traits.any(traits);
        if any(Traits::IPHONE.with(Traits::IPAD)) {
            Os::Ios
        } else if any(Traits::ANDROID) {
            Os::Android
        } else if any(Traits::WINDOWS.with(Traits::WINDOWS_PHONE)) {
            Os::Windows
        } else if any(Traits::MACINTOSH) {
            Os::Macos
        } else if any(Traits::CROS) {
            Os::Chromeos
        } else if any(Traits::LINUX) {
            Os::Linux
        } else {
            Os::Other
        }
    }

    fn device(&self, os: Os) -> Device {
        let any = |traits| self.traits.any(traits);
        if any(Traits::TV) {
            return Device::Other;
        }
        match os {
            _ if any(Traits::IPAD.with(Traits::TABLET)) => Device::Tablet,
            Os::Ios => Device::Mobile,
            // Android's own rule: phones say "Mobile", tablets don't.
            Os::Android if any(Traits::MOBILE) => Device::Mobile,
            Os::Android => Device::Tablet,
            _ if any(Traits::WINDOWS_PHONE.with(Traits::MOBILE)) => Device::Mobile,
            Os::Windows | Os::Macos | Os::Chromeos | Os::Linux => Device::Desktop,
            Os::Other => Device::Other,
        }
    }

    /// Most agents name several browsers; the rarest name is the true one.
    fn browser(&self) -> Browser {
        for (traits, browser) in [
            (Traits::IN_APP, Browser::InApp),
            (Traits::EDGE, Browser::Edge),
            (Traits::OPERA, Browser::Opera),
            (Traits::SAMSUNG, Browser::Samsung),
            (Traits::YANDEX, Browser::Yandex),
            (Traits::UC, Browser::Uc),
            (Traits::FIREFOX, Browser::Firefox),
            (Traits::CHROME, Browser::Chrome),
            (Traits::SAFARI, Browser::Safari),
        ] {
            if self.traits.any(traits) {
                return browser;
            }
        }
        Browser::Other
    }
}
