//! What kind of client a request came from: bot or human, device, browser, operating system.
//!
//! One pass over the user agent cuts it into words (letters, digits, `-`, `_`) and looks each one up in the
//! tables below; no regular expressions. A word that isn't in a table may still end like a crawler's name.
//! Clicks are flagged with a reason and never dropped, so that a wrong row can be found and mended.

use crate::click::BotReason;

/// Version of the tables, to be raised whenever a row changes.
pub const VERSION: u32 = 1;

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

/// Words seen in an agent that matter for device, browser and system.
#[derive(Default)]
struct Seen(u64);

macro_rules! seen {
    ($($name:ident = $bit:literal),+ $(,)?) => { $(const $name: u64 = 1 << $bit;)+ };
}
seen! {
    ANDROID = 0, IPHONE = 1, IPAD = 2, WINDOWS = 3, MACINTOSH = 4, CROS = 5, LINUX = 6, MOBILE = 7, TABLET = 8,
    CHROME = 9, SAFARI = 10, FIREFOX = 11, EDGE = 12, OPERA = 13, SAMSUNG = 14, YANDEX = 15, UC = 16, IN_APP = 17,
    TV = 18, WINDOWS_PHONE = 19,
}

impl Seen {
    const fn any(&self, bits: u64) -> bool {
        self.0 & bits != 0
    }
}

/// The words of browsers, devices and systems.
fn trait_of(word: &[u8]) -> u64 {
    match word {
        b"android" => ANDROID,
        b"iphone" | b"ipod" => IPHONE,
        b"ipad" => IPAD,
        b"windows" => WINDOWS,
        b"macintosh" => MACINTOSH,
        b"cros" => CROS,
        b"linux" | b"x11" => LINUX,
        b"mobile" | b"mobi" => MOBILE,
        b"tablet" => TABLET,
        b"chrome" | b"crios" | b"chromium" => CHROME,
        b"safari" => SAFARI,
        b"firefox" | b"fxios" | b"focus" => FIREFOX,
        b"edg" | b"edge" | b"edga" | b"edgios" => EDGE,
        b"opr" | b"opera" | b"opt" | b"opios" => OPERA,
        b"samsungbrowser" => SAMSUNG,
        b"yabrowser" => YANDEX,
        b"ucbrowser" | b"ubrowser" => UC,
        b"fban" | b"fbav" | b"fb_iab" | b"instagram" | b"bytedancewebview" | b"bytelocale" | b"musical_ly"
        | b"line" | b"micromessenger" | b"snapchat" | b"pinterest" | b"twitter" | b"linkedinapp" | b"baiduboxapp"
        | b"gsa" => IN_APP,
        b"tv" | b"smart-tv" | b"smarttv" | b"googletv" | b"appletv" | b"web0s" | b"tizen" | b"bravia" => TV,
        b"iemobile" => WINDOWS_PHONE,
        _ => 0,
    }
}

/// The words of bots, each with an agent it was seen in.
fn bot_of(word: &[u8]) -> Option<BotReason> {
    use BotReason::{Automation, Crawler, Library, Monitor, Preview};
    Some(match word {
        // Link previews: fetched when somebody pastes a link, before anybody clicks it.
        b"facebookexternalhit" | b"facebookcatalog" | b"meta-externalfetcher" // facebookexternalhit/1.1
        | b"slackbot-linkexpanding" | b"slack-imgproxy" // Slackbot-LinkExpanding 1.0
        | b"twitterbot" | b"linkedinbot" | b"telegrambot" | b"discordbot" | b"pinterestbot" | b"redditbot"
        | b"whatsapp" // WhatsApp/2.23.20.0
        | b"skypeuripreview" | b"snapchatads" | b"viber" | b"iframely" | b"embedly" | b"vkshare" | b"bitlybot"
        | b"bluesky" | b"mastodon" | b"cardyb" | b"google-pagerenderer" => Preview,
        // Crawlers whose names don't end like one.
        b"slurp" // Yahoo! Slurp
        | b"yandex" // only as a word of its own: Yandex's browser says YaBrowser
        | b"mediapartners-google" | b"adsbot-google" | b"feedfetcher-google" | b"google-inspectiontool" | b"storebot-google"
        | b"googleother" | b"google-extended" | b"apis-google" | b"google-read-aloud"
        | b"bingpreview" | b"ia_archiver" | b"archive" | b"heritrix" | b"nutch" | b"baiduspider" | b"sogou" | b"exabot"
        | b"meta-externalagent" | b"chatgpt-user" | b"perplexity-user" | b"claude-web" | b"ccbot" | b"duckassistbot"
        | b"feedly" | b"feedburner" | b"w3c_validator" | b"lighthouse" | b"chrome-lighthouse" | b"pagespeed" => Crawler,
        // Monitors.
        b"uptimerobot" | b"pingdom" | b"statuscake" | b"site24x7" | b"betteruptime" | b"newrelicpinger" | b"datadogsynthetics"
        | b"gtmetrix" | b"checkly" | b"hetrixtools" | b"uptime-kuma" | b"zabbix" | b"nagios" | b"check_http" => Monitor,
        // Libraries and tools.
        b"curl" | b"wget" | b"libwww-perl" | b"python-requests" | b"python-urllib" | b"python-httpx" | b"python" | b"aiohttp"
        | b"go-http-client" | b"okhttp" | b"java" | b"apache-httpclient" | b"axios" | b"node-fetch" | b"undici" | b"node" | b"got"
        | b"ruby" | b"faraday" | b"guzzlehttp" | b"php" | b"postmanruntime" | b"insomnia" | b"httpie" | b"restsharp" | b"scrapy"
        | b"reqwest" | b"hyper" | b"perl" | b"lwp" | b"winhttp" | b"httpclient" | b"dart" | b"deno" | b"bun" => Library,
        // Browsers driven by programs.
        b"headlesschrome" | b"phantomjs" | b"puppeteer" | b"playwright" | b"selenium" | b"electron-headless" => Automation,
        // CUBOT is a maker of phones: "Linux; Android 13; CUBOT KINGKONG 7".
        b"cubot" => return None,
        _ if ends_like_a_bot(word) => Crawler,
        _ if word.starts_with(b"bot-") || word.windows(5).any(|part| part == b"crawl") => Crawler,
        _ => return None,
    })
}

/// Whether a word ends as names of crawlers do.
fn ends_like_a_bot(word: &[u8]) -> bool {
    match word.last() {
        Some(b't') => word.ends_with(b"bot"),
        Some(b's') => word.ends_with(b"bots"),
        Some(b'r') => {
            let ends: [&[u8]; 5] = [b"crawler", b"spider", b"scraper", b"fetcher", b"archiver"];
            ends.iter().any(|end| word.ends_with(end))
        }
        _ => false,
    }
}

/// The longest word looked up, in bytes; nothing in the tables is longer.
const MAX_WORD: usize = 40;
/// How much of an agent is read, in bytes.
const MAX_AGENT: usize = 1_024;

/// Classifies a user agent.
#[must_use]
pub fn classify(agent: &str) -> Client {
    let mut seen = Seen::default();
    let mut bot: Option<BotReason> = None;
    let mut word = [0_u8; MAX_WORD];
    let mut length = 0;
    let agent = agent.as_bytes();
    if agent.iter().all(u8::is_ascii_whitespace) {
        bot = Some(BotReason::EmptyAgent);
    }
    for byte in agent.iter().take(MAX_AGENT).chain([&b' ']) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            if length < MAX_WORD {
                word[length] = byte.to_ascii_lowercase();
                length += 1;
            }
        } else if length > 0 {
            let text = &word[..length];
            seen.0 |= trait_of(text);
            // The first word that names a bot gives the reason; a preview outranks the crawlers it imitates.
            match bot_of(text) {
                Some(BotReason::Preview) => bot = Some(BotReason::Preview),
                found => bot = bot.or(found),
            }
            length = 0;
        }
    }
    let os = os(&seen);
    Client { device: device(&seen, os), browser: browser(&seen), os, bot }
}

fn os(seen: &Seen) -> Os {
    if seen.any(IPHONE | IPAD) {
        Os::Ios
    } else if seen.any(ANDROID) {
        Os::Android
    } else if seen.any(WINDOWS | WINDOWS_PHONE) {
        Os::Windows
    } else if seen.any(MACINTOSH) {
        Os::Macos
    } else if seen.any(CROS) {
        Os::Chromeos
    } else if seen.any(LINUX) {
        Os::Linux
    } else {
        Os::Other
    }
}

fn device(seen: &Seen, os: Os) -> Device {
    if seen.any(TV) {
        return Device::Other;
    }
    match os {
        _ if seen.any(IPAD | TABLET) => Device::Tablet,
        Os::Ios => Device::Mobile,
        // Android's own rule: phones say "Mobile", tablets don't.
        Os::Android if seen.any(MOBILE) => Device::Mobile,
        Os::Android => Device::Tablet,
        _ if seen.any(WINDOWS_PHONE | MOBILE) => Device::Mobile,
        Os::Windows | Os::Macos | Os::Chromeos | Os::Linux => Device::Desktop,
        Os::Other => Device::Other,
    }
}

/// Most agents name several browsers; the rarest name is the true one.
fn browser(seen: &Seen) -> Browser {
    for (bits, browser) in [
        (IN_APP, Browser::InApp),
        (EDGE, Browser::Edge),
        (OPERA, Browser::Opera),
        (SAMSUNG, Browser::Samsung),
        (YANDEX, Browser::Yandex),
        (UC, Browser::Uc),
        (FIREFOX, Browser::Firefox),
        (CHROME, Browser::Chrome),
        (SAFARI, Browser::Safari),
    ] {
        if seen.any(bits) {
            return browser;
        }
    }
    Browser::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn humans() {
        for (agent, device, browser, os) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
                Device::Mobile,
                Browser::Safari,
                Os::Ios,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0 Mobile/15E148 Safari/604.1",
                Device::Tablet,
                Browser::Chrome,
                Os::Ios,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; CUBOT KINGKONG 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                Device::Mobile,
                Browser::Chrome,
                Os::Android,
            ),
            (
                "Mozilla/5.0 (Linux; Android 12; SM-T870) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Safari/537.36",
                Device::Tablet,
                Browser::Samsung,
                Os::Android,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
                Device::Desktop,
                Browser::Edge,
                Os::Windows,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 YaBrowser/24.4.0 Safari/537.36",
                Device::Desktop,
                Browser::Yandex,
                Os::Windows,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:125.0) Gecko/20100101 Firefox/125.0",
                Device::Desktop,
                Browser::Firefox,
                Os::Macos,
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
                Device::Desktop,
                Browser::Chrome,
                Os::Chromeos,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21E219 Instagram 330.0 (iPhone14,5; iOS 17_4)",
                Device::Mobile,
                Browser::InApp,
                Os::Ios,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124 Mobile Safari/537.36 BytedanceWebview/d8a21c6 musical_ly_2023",
                Device::Mobile,
                Browser::InApp,
                Os::Android,
            ),
            ("Something/1.0", Device::Other, Browser::Other, Os::Other),
        ] {
            assert_eq!(classify(agent), Client { device, browser, os, bot: None }, "{agent}");
        }
    }

    #[test]
    fn bots() {
        for (agent, reason) in [
            ("", BotReason::EmptyAgent),
            ("  ", BotReason::EmptyAgent),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", BotReason::Crawler),
            ("Mozilla/5.0 (compatible; SomeNewSpider/0.1)", BotReason::Crawler),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
                BotReason::Preview,
            ),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", BotReason::Preview),
            ("WhatsApp/2.23.20.0 A", BotReason::Preview),
            ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", BotReason::Monitor),
            ("curl/8.5.0", BotReason::Library),
            ("python-requests/2.31.0", BotReason::Library),
            ("Go-http-client/2.0", BotReason::Library),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
                BotReason::Automation,
            ),
        ] {
            assert_eq!(classify(agent).bot, Some(reason), "{agent}");
        }
    }
}
