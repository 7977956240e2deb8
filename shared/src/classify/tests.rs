//! Agents of humans and bots, each with its classification.

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
        (
            "Mozilla/5.0 (Linux; Android 13; CUBOT_NOTE_20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            Device::Mobile,
            Browser::Chrome,
            Os::Android,
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36 (Ecosia android@150.0.0.0)",
            Device::Mobile,
            Browser::Chrome,
            Os::Android,
        ),
        (
            "Mozilla/5.0 (Linux; Android 12; vivo 1906; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/97.0 Mobile Safari/537.36 baiduboxapp/13.2.0.10",
            Device::Mobile,
            Browser::InApp,
            Os::Android,
        ),
        (
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
            Device::Desktop,
            Browser::Other,
            Os::Windows,
        ),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", Device::Desktop, Browser::Other, Os::Windows),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)", Device::Mobile, Browser::Other, Os::Ios),
        (
            "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0 Safari/537.36",
            Device::Other,
            Browser::Chrome,
            Os::Linux,
        ),
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
        ("Something/1.0", BotReason::Library),
        ("Mozilla/5.0", BotReason::Library),
        ("MyShop/3.1 CFNetwork/1410.0.3 Darwin/22.6.0", BotReason::Library),
        ("Mozilla/5.0 (compatible; acme) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36", BotReason::Crawler),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/120.0 Safari/537.36 (+https://acme.example/why)", BotReason::Crawler),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/120.0 Safari/537.36 (team@acme.example)", BotReason::Crawler),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/120.0 Safari/537.36 AcmeUptimeCheck/1.0", BotReason::Monitor),
        ("AcmeLinkPreview/1.0", BotReason::Preview),
    ] {
        assert_eq!(classify(agent).bot, Some(reason), "{agent}");
    }
}

#[test]
fn reads_no_further_than_needed() {
    let browser = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Safari/604.1 ";
    let long = format!("{browser}{} Googlebot", "x".repeat(MAX_AGENT));
    assert_eq!(classify(&long).bot, None, "what lies beyond the limit is not read");
    let word = format!("{browser}{}bot", "x".repeat(MAX_WORD));
    assert_eq!(classify(&word).bot, None, "nor is the rest of a word");
    assert_eq!(classify(&"é".repeat(MAX_AGENT)).bot, Some(BotReason::Library), "a cut character is no obstacle");
}
