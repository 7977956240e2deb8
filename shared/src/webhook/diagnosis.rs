//! Why a signature doesn't hold: what a developer most often does differently from the specification, found by doing
//! it likewise and comparing. What is computed on the way never leaves this module: it answers which mistake was made,
//! and only to who sent a signature that the mistake explains.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Headers, MAX_SIGNATURES, Secret};

/// Bodies up to this many bytes are also tried with several mistakes at once.
const SMALL: usize = 16 << 10;

text_enum! {
    /// What was done differently.
    pub enum Mistake {
        /// The signature is hexadecimal.
        Hex = "signature_hex",
        /// The signature is in the alphabet of URLs, or without its padding.
        Base64Url = "signature_base64url",
        /// The signature doesn't start with `v1,`.
        Version = "signature_without_version",
        /// The key is the whole text `whsec_…`.
        WholeSecret = "secret_with_prefix",
        /// The key is the text behind `whsec_`, not what it encodes.
        UndecodedSecret = "secret_not_decoded",
        /// Only the body was signed.
        BodyOnly = "signed_body_only",
        /// Only timestamp and body were signed.
        WithoutId = "signed_without_id",
        /// The body that was signed had another newline at its end, or none.
        Newline = "body_trailing_newline",
        /// The body that was signed had other line ends.
        LineEnds = "body_line_ends",
        /// The body that was signed is the same JSON written in another way.
        Reserialized = "body_reserialized",
    }
}

impl Mistake {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Hex => "Encode the 32 bytes of the HMAC as base64, not as hexadecimal.",
            Self::Base64Url => "Encode with the standard base64 alphabet (+ and /) and padding.",
            Self::Version => "Write each signature as v1,<base64>, separated by spaces.",
            Self::WholeSecret => "Strip whsec_ from the secret and decode the rest as base64: those bytes are the key.",
            Self::UndecodedSecret => "Decode the part behind whsec_ as base64: those bytes are the key, not the text.",
            Self::BodyOnly => "Sign {webhook-id}.{webhook-timestamp}.{body}, not the body alone.",
            Self::WithoutId => "Sign {webhook-id}.{webhook-timestamp}.{body}: the id comes first.",
            Self::Newline => "Sign the very bytes that are sent: a newline at the end was added or lost in between.",
            Self::LineEnds => "Sign the very bytes that are sent: line ends were changed in between.",
            Self::Reserialized => {
                "Serialize the body once, sign that text and send the same text; something wrote the JSON anew in between."
            }
        }
    }
}

/// A signature that a secret explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of the secrets.
    pub secret: usize,
    /// What was done differently; empty where nothing was.
    pub mistakes: Vec<Mistake>,
}

/// Finds the secret, and the fewest mistakes, that explain a signature. Headers that are absent count as empty.
#[must_use]
pub fn diagnose(secrets: &[Secret], headers: Headers<'_>, body: &[u8]) -> Option<Match> {
    let offered = offered(headers.signature.unwrap_or_default());
    let bodies = bodies(body);
    let (id, timestamp) = (headers.id.unwrap_or_default(), headers.timestamp.unwrap_or_default());
    let prefixes = [
        (None, format!("{id}.{timestamp}.")),
        (Some(Mistake::WithoutId), format!("{timestamp}.")),
        (Some(Mistake::BodyOnly), String::new()),
    ];
    let mut best: Option<Match> = None;
    for (index, secret) in secrets.iter().enumerate() {
        for (key_mistake, key) in keys(secret) {
            for (prefix_mistake, prefix) in &prefixes {
                for (body_mistake, body) in &bodies {
                    let mistakes: Vec<Mistake> =
                        [key_mistake, *prefix_mistake, *body_mistake].into_iter().flatten().collect();
                    if mistakes.len() > 1 && body.len() > SMALL {
                        continue;
                    }
                    let tag = mac(&key, &[prefix.as_bytes(), body]);
                    for (signature, encoding) in &offered {
                        let total = mistakes.len() + encoding.len();
                        if bool::from(tag.ct_eq(signature)) && best.as_ref().is_none_or(|b| total < b.mistakes.len()) {
                            let mistakes = encoding.iter().chain(&mistakes).copied().collect();
                            best = Some(Match { secret: index, mistakes });
                        }
                    }
                }
            }
        }
    }
    best
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn keys(secret: &Secret) -> [(Option<Mistake>, Vec<u8>); 3] {
    [
        (None, secret.bytes().to_vec()),
        (Some(Mistake::WholeSecret), secret.reveal().into_bytes()),
        (Some(Mistake::UndecodedSecret), STANDARD.encode(secret.bytes()).into_bytes()),
    ]
}

/// The signatures of a header, read as generously as can be, each with what is odd about it.
fn offered(header: &str) -> Vec<([u8; 32], Vec<Mistake>)> {
    header.split_whitespace().take(MAX_SIGNATURES).filter_map(signature).collect()
}

fn signature(text: &str) -> Option<([u8; 32], Vec<Mistake>)> {
    let (mut odd, text) = match text.strip_prefix("v1,") {
        Some(text) => (vec![], text),
        None => {
            let bare = ["v1=", "sha256=", "v1:"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
            (vec![Mistake::Version], bare)
        }
    };
    let hex = |text: &[u8]| -> Option<[u8; 32]> {
        let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: Option<Vec<u8>> =
            text.chunks(2).map(|pair| Some((nibble(*pair.first()?)? << 4) | nibble(*pair.get(1)?)?)).collect();
        bytes?.try_into().ok()
    };
    if let Ok(bytes) = STANDARD.decode(text) {
        if let Ok(whole) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Some((whole, odd));
        }
        // The base64 of a hexadecimal text.
        if let Some(whole) = hex(&bytes) {
            odd.push(Mistake::Hex);
            return Some((whole, odd));
        }
    }
    if let Some(whole) = hex(text.as_bytes()) {
        odd.push(Mistake::Hex);
        return Some((whole, odd));
    }
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let whole = [alphabet::URL_SAFE, alphabet::STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok()?.try_into().ok())?;
    odd.push(Mistake::Base64Url);
    Some((whole, odd))
}

/// A body that may have been signed, and what is different about it.
type Candidate<'a> = (Option<Mistake>, Cow<'a, [u8]>);

/// The body as received, and what it may have been when it was signed.
fn bodies(body: &[u8]) -> Vec<Candidate<'_>> {
    let trimmed = body.trim_ascii_end();
    let mut all: Vec<Candidate<'_>> = vec![(None, Cow::Borrowed(body))];
    let mut add = |mistake, candidate: Vec<u8>| {
        if !all.iter().any(|(_, there)| **there == *candidate) {
            all.push((Some(mistake), Cow::Owned(candidate)));
        }
    };
    add(Mistake::Newline, trimmed.to_vec());
    add(Mistake::Newline, [trimmed, b"\n"].concat());
    add(Mistake::Newline, [trimmed, b"\r\n"].concat());
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        add(Mistake::LineEnds, unix.replace('\n', "\r\n").into_bytes());
        add(Mistake::LineEnds, unix.into_bytes());
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            let sorted = value.to_string();
            for text in [text, &sorted] {
                for style in STYLES {
                    if let Some(written) = rewrite(text, style, body.len().saturating_mul(4).saturating_add(SMALL)) {
                        add(Mistake::Reserialized, written.into_bytes());
                    }
                }
            }
        }
    }
    all
}

/// A way to write JSON.
#[derive(Clone, Copy)]
struct Style {
    comma: &'static str,
    colon: &'static str,
    /// Spaces per level; `None`: all in one line.
    indent: Option<usize>,
    /// `\/` for `/`.
    slashes: bool,
}

/// `JSON.stringify(x)`, Python's `json.dumps(x)`, PHP's `json_encode($x)`, and the two usual indentations.
const STYLES: [Style; 5] = [
    Style { comma: ",", colon: ":", indent: None, slashes: false },
    Style { comma: ", ", colon: ": ", indent: None, slashes: false },
    Style { comma: ",", colon: ":", indent: None, slashes: true },
    Style { comma: ",", colon: ": ", indent: Some(2), slashes: false },
    Style { comma: ",", colon: ": ", indent: Some(4), slashes: false },
];

/// Writes valid JSON in another style, its texts, numbers and order kept. `None` where that takes more than `limit`
/// bytes: deep nesting makes indentation grow without bound.
fn rewrite(json: &str, style: Style, limit: usize) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        if let Some(width) = style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    while let Some(character) = characters.next() {
        if out.len() > limit {
            return None;
        }
        match character {
            '"' => {
                out.push('"');
                while let Some(inner) = characters.next() {
                    match inner {
                        '\\' => match characters.next() {
                            Some('/') if !style.slashes => out.push('/'),
                            Some(escaped) => out.extend(['\\', escaped]),
                            None => {}
                        },
                        '/' if style.slashes => out.push_str("\\/"),
                        _ => out.push(inner),
                    }
                    if inner == '"' {
                        break;
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push_str(style.comma);
                newline(&mut out, depth);
            }
            ':' => out.push_str(style.colon),
            _ if character.is_ascii_whitespace() => {}
            _ => out.push(character),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Millis, webhook};

    const NOW: Millis = Millis(1_790_000_000_000);
    const AT: &str = "1790000000";
    const BODY: &str = r#"{"type":"sale","event_id":"1","url":"https://a.com/","list":[1,{}],"name":"é"}"#;

    fn found(signature: &str, body: &str) -> Option<Vec<Mistake>> {
        let secrets = [Secret::from_random([1; 32]), Secret::from_random([2; 32])];
        let headers = Headers { id: Some("msg_1"), timestamp: Some(AT), signature: Some(signature) };
        diagnose(&secrets, headers, body.as_bytes()).map(|found| {
            assert_eq!(found.secret, 1);
            found.mistakes
        })
    }

    fn signed(key: &[u8], content: &str) -> [u8; 32] {
        mac(key, &[content.as_bytes()])
    }

    fn base64(tag: [u8; 32]) -> String {
        format!("v1,{}", STANDARD.encode(tag))
    }

    #[test]
    fn finds_what_was_done_differently() {
        use Mistake::*;
        let secret = Secret::from_random([2; 32]);
        let (key, content) = (secret.bytes(), |body: &str| format!("msg_1.{AT}.{body}"));
        let right = signed(key, &content(BODY));
        let hex: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
        let url = STANDARD.encode(right).replace('+', "-").replace('/', "_").replace('=', "");
        let text = STANDARD.encode(key);
        let spaced = BODY.replace("\":", "\": ").replace(",", ", ");
        let php = BODY.replace('/', "\\/");
        let sorted = serde_json::from_str::<Value>(BODY).unwrap().to_string();
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(BODY).unwrap()).unwrap();
        for (signature, body, mistakes) in [
            (webhook::sign(&secret, "msg_1", NOW, BODY.as_bytes()), BODY, Some(vec![])),
            (format!("v1,{hex}"), BODY, Some(vec![Hex])),
            (format!("v1,{}", STANDARD.encode(&hex)), BODY, Some(vec![Hex])),
            (format!("sha256={hex}"), BODY, Some(vec![Version, Hex])),
            (STANDARD.encode(right), BODY, Some(vec![Version])),
            (format!("v1,{url}"), BODY, Some(vec![Base64Url])),
            (base64(signed(secret.reveal().as_bytes(), &content(BODY))), BODY, Some(vec![WholeSecret])),
            (base64(signed(text.as_bytes(), &content(BODY))), BODY, Some(vec![UndecodedSecret])),
            (base64(signed(key, BODY)), BODY, Some(vec![BodyOnly])),
            (base64(signed(key, &format!("{AT}.{BODY}"))), BODY, Some(vec![WithoutId])),
            (base64(signed(key, &content(&format!("{BODY}\n")))), BODY, Some(vec![Newline])),
            (base64(right), &format!("{BODY}\n"), Some(vec![Newline])),
            (base64(signed(key, &content("{\r\n}"))), "{\n}", Some(vec![LineEnds])),
            (base64(signed(key, &content(&spaced))), BODY, Some(vec![Reserialized])),
            (base64(signed(key, &content(&php))), BODY, Some(vec![Reserialized])),
            (base64(right), &php, Some(vec![Reserialized])),
            (base64(right), &spaced, Some(vec![Reserialized])),
            (base64(signed(key, &content(&sorted))), BODY, Some(vec![Reserialized])),
            (base64(signed(key, &content(&pretty))), BODY, Some(vec![Reserialized])),
            (base64(signed(text.as_bytes(), BODY)), BODY, Some(vec![UndecodedSecret, BodyOnly])),
            (base64(signed(b"another key", &content(BODY))), BODY, None),
            (base64(signed(key, &content("{}"))), BODY, None),
            (String::new(), BODY, None),
            ("v1,!!! v1,AAAA".into(), BODY, None),
        ] {
            assert_eq!(found(&signature, body), mistakes, "{signature} {body}");
        }
    }

    #[test]
    fn deep_nesting_does_not_grow_without_bound() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let wide = format!("[{}1]", format!("{deep},").repeat(40));
        assert_eq!(rewrite(&wide, STYLES[4], 10_000), None);
        assert_eq!(rewrite(&wide, STYLES[0], 10_000).as_deref(), Some(wide.as_str()));
    }
}
