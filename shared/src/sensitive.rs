//! Query-sensitive destinations: URLs that stop working when a parameter is added, because their query is
//! signed or single-use. Each rule is a row; each row names where its shape is documented.

use crate::{destination::query_of, query};

/// One shape of a query that must not be touched.
struct Rule {
    /// Stable name, shown by the API as `query_sensitive:<name>`.
    name: &'static str,
    /// Parameter names (lower case) that must all be present.
    all: &'static [&'static str],
    /// Of these, one must be present too (where the list isn't empty).
    any: &'static [&'static str],
    /// What the value of the first of `all` must look like, where its name alone is too common a word.
    shape: fn(&str) -> bool,
}

const fn row(name: &'static str, all: &'static [&'static str], any: &'static [&'static str]) -> Rule {
    Rule { name, all, any, shape: |_| true }
}

const RULES: &[Rule] = &[
    // AWS: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
    row("aws_sigv4", &["x-amz-signature"], &[]),
    // AWS: "Signing and authenticating REST requests (Signature Version 2)", query string alternative.
    row("aws_sigv2", &["awsaccesskeyid", "signature"], &[]),
    // Amazon CloudFront Developer Guide: "Use signed URLs", canned and custom policy.
    row("cloudfront", &["key-pair-id", "signature"], &[]),
    // Google Cloud Storage: "Signed URLs", V4 and V2.
    row("gcs_v4", &["x-goog-signature"], &[]),
    row("gcs_v2", &["googleaccessid", "signature"], &[]),
    // Azure Storage: "Create a service / account / user delegation SAS": `sig` with version, expiry or permissions.
    row("azure_sas", &["sig"], &["sv", "se", "sp", "sr"]),
    // Alibaba Cloud OSS: "Add signatures to URLs" (V1) and "Include a V4 signature in a URL".
    row("alibaba_oss", &["ossaccesskeyid", "signature"], &[]),
    row("alibaba_oss", &["x-oss-signature"], &[]),
    // Akamai: "Token authentication 2.0", under its usual names; `__token__` in adaptive media delivery.
    row("akamai_token", &[], &["hdnea", "hdnts", "hdntl", "__token__"]),
    // imgix: "Securing images": `s` is the MD5 of path and query.
    Rule { name: "imgix", all: &["s"], any: &[], shape: |value| is_hexadecimal(value, 32) },
    // ImageKit: "Signed URLs".
    row("imagekit", &["ik-s"], &[]),
    // Laravel: "Signed URLs": `signature` is a SHA-256 of the whole URL.
    Rule { name: "laravel", all: &["signature"], any: &[], shape: |value| is_hexadecimal(value, 64) },
    // Cloudflare: "Configure token authentication": `verify` is a time, `-` and an HMAC in base64.
    Rule { name: "cloudflare_verify", all: &["verify"], any: &[], shape: is_time_and_mac },
    // RFC 6749, section 4.1.2: the answer of an authorization server. A `code` works once.
    row("oauth", &["code", "state"], &[]),
    // CAS protocol 3.0, section 3.1: a service ticket works once; others follow the name.
    row("ticket", &["ticket"], &[]),
];

/// The rule that a URL's query falls under, if any.
#[must_use]
pub fn rule(url: &str) -> Option<&'static str> {
    let pairs: Vec<_> =
        query::pairs(query_of(url)).map(|pair| (pair.name().to_ascii_lowercase(), pair.value())).collect();
    let value = |name: &str| pairs.iter().find(|(there, _)| there == name).map(|(_, value)| &**value);
    let has = |name: &&str| value(name).is_some();
    let holds = |rule: &&Rule| {
        rule.all.iter().all(has)
            && (rule.any.is_empty() || rule.any.iter().any(has))
            && rule.all.first().and_then(|name| value(name)).is_none_or(rule.shape)
    };
    RULES
        .iter()
        .find(holds)
        .map(|rule| rule.name)
        .or_else(|| pairs.iter().any(|(_, value)| is_jwt(value)).then_some("jwt"))
        .or_else(|| pairs.iter().any(|(name, _)| is_signature(name)).then_some("signature"))
}

fn is_hexadecimal(value: &str, digits: usize) -> bool {
    value.len() == digits && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_time_and_mac(value: &str) -> bool {
    value
        .split_once('-')
        .is_some_and(|(time, mac)| time.len() >= 9 && time.bytes().all(|byte| byte.is_ascii_digit()) && mac.len() >= 20)
}

/// A signed token (RFC 7519, compact form of RFC 7515): three parts in base64url, the first two of them JSON objects,
/// which begin with `{"` and so with `eyJ`. Magic links carry such.
fn is_jwt(value: &str) -> bool {
    let parts: Vec<_> = value.split('.').collect();
    let encoded = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    matches!(parts[..], [head, claims, _] if head.starts_with("eyJ") && claims.starts_with("eyJ"))
        && parts.iter().all(encoded)
}

/// `(^|[-_])(sig|signature|hmac|hash|digest|mac)$`, on a lower-case name.
fn is_signature(name: &str) -> bool {
    let last = name.rsplit(['-', '_']).next().unwrap_or_default();
    matches!(last, "sig" | "signature" | "hmac" | "hash" | "digest" | "mac")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARAVEL: &str = "expires=1&signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    const ROWS: &[(&str, Option<&str>)] = &[
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab", Some("aws_sigv4")),
        ("x-amz-date=1&x-amz-signature=ab", Some("aws_sigv4")),
        ("X-Amz-Date=1", None),
        ("AWSAccessKeyId=A&Expires=1&Signature=x%3D", Some("aws_sigv2")),
        ("AWSAccessKeyId=A&Expires=1", None),
        ("Expires=1&Signature=x&Key-Pair-Id=K", Some("cloudfront")),
        ("Policy=p&Signature=x&Key-Pair-Id=K", Some("cloudfront")),
        ("Key-Pair-Id=K", None),
        ("X-Goog-Algorithm=G&X-Goog-Signature=ab", Some("gcs_v4")),
        ("X-Goog-Date=1", None),
        ("GoogleAccessId=a&Expires=1&Signature=x", Some("gcs_v2")),
        ("GoogleAccessId=a&Expires=1", None),
        ("sv=2022-11-02&se=1&sr=b&sp=r&sig=x", Some("azure_sas")),
        ("sv=2022-11-02&se=1&sr=b&sp=r", None),
        ("OSSAccessKeyId=a&Expires=1&Signature=x", Some("alibaba_oss")),
        ("x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature=ab", Some("alibaba_oss")),
        ("OSSAccessKeyId=a&Expires=1", None),
        ("x-oss-process=image", None),
        ("hdnea=st=1~exp=2~acl=/*~hmac=ab", Some("akamai_token")),
        ("hdnts=exp=2~hmac=ab", Some("akamai_token")),
        ("hdntl=exp=2~hmac=ab", Some("akamai_token")),
        ("__token__=exp=2~hmac=ab", Some("akamai_token")),
        ("token=ab&hdnea2=x&token__=y", None),
        ("w=400&s=0123456789abcdef0123456789ABCDEF", Some("imgix")),
        ("s=shoes", None),
        ("s=0123456789abcdef0123456789abcde", None),
        ("s=0123456789abcdef0123456789abcdeg", None),
        ("tr=w-400&ik-s=ab&ik-t=1", Some("imagekit")),
        ("ik-t=1&tr=w-400", None),
        (LARAVEL, Some("laravel")),
        ("expires=1", None),
        ("signature=abc", Some("signature")),
        ("verify=1484063787-9JQB8vP1z0yc5DEBnH6JGWM3mBmvIeMrnnxFi3WtJLE%3D", Some("cloudflare_verify")),
        ("verify=email", None),
        ("verify=2026-11", None),
        ("verify=1484063787", None),
        ("code=ab&state=cd", Some("oauth")),
        ("code=SAVE10", None),
        ("state=CA", None),
        ("ticket=ST-1-abc", Some("ticket")),
        ("tickets=2&eticket=1", None),
        ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-_A", Some("jwt")),
        ("t=eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", Some("jwt")),
        ("t=eyJhbGciOiJIUzI1NiJ9", None),
        ("t=eyJhbGciOiJIUzI1NiJ9.x.y", None),
        ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c.d", None),
        ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c ln", None),
        ("v=1.2.3", None),
        ("sig=x", Some("signature")),
        ("a=1&X-Hmac=2", Some("signature")),
        ("oh_mac=1", Some("signature")),
        ("url%5Fhash=1", Some("signature")),
        ("signatures=1&hashtag=x&machine=2&design=3&bigmac=1", None),
        ("", None),
    ];

    #[test]
    fn every_row_is_hit_by_a_test() {
        let hit = |name| ROWS.iter().any(|(_, rule)| *rule == Some(name));
        assert!(RULES.iter().map(|rule| rule.name).chain(["jwt", "signature"]).all(hit));
    }

    #[test]
    fn rows_and_near_misses() {
        for (query, expected) in ROWS {
            assert_eq!(rule(&format!("https://acme.com/x?{query}#sig=1")), *expected, "{query}");
        }
        assert_eq!(rule("https://acme.com/sig=1"), None);
    }
}
