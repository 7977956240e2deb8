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
}

const RULES: &[Rule] = &[
    // AWS: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
    Rule { name: "aws_sigv4", all: &["x-amz-signature"], any: &[] },
    // AWS: "Signing and authenticating REST requests (Signature Version 2)", query string alternative.
    Rule { name: "aws_sigv2", all: &["awsaccesskeyid", "signature"], any: &[] },
    // Amazon CloudFront Developer Guide: "Use signed URLs", canned and custom policy.
    Rule { name: "cloudfront", all: &["key-pair-id", "signature"], any: &[] },
    // Google Cloud Storage: "Signed URLs", V4 and V2.
    Rule { name: "gcs_v4", all: &["x-goog-signature"], any: &[] },
    Rule { name: "gcs_v2", all: &["googleaccessid", "signature"], any: &[] },
    // Azure Storage: "Create a service / account / user delegation SAS": `sig` with version, expiry or permissions.
    Rule { name: "azure_sas", all: &["sig"], any: &["sv", "se", "sp", "sr"] },
];

/// The rule that a URL's query falls under, if any.
#[must_use]
pub fn rule(url: &str) -> Option<&'static str> {
    let names: Vec<String> = query::pairs(query_of(url)).map(|pair| pair.name().to_ascii_lowercase()).collect();
    let has = |name: &&str| names.iter().any(|there| there == name);
    RULES
        .iter()
        .find(|rule| rule.all.iter().all(has) && (rule.any.is_empty() || rule.any.iter().any(has)))
        .map(|rule| rule.name)
        .or_else(|| names.iter().any(|name| is_signature(name)).then_some("signature"))
}

/// `(^|[-_])(sig|signature|hmac|hash|digest|mac)$`, on a lower-case name.
fn is_signature(name: &str) -> bool {
    let last = name.rsplit(['-', '_']).next().unwrap_or_default();
    matches!(last, "sig" | "signature" | "hmac" | "hash" | "digest" | "mac")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_near_misses() {
        for (query, expected) in [
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
            ("sig=x", Some("signature")),
            ("a=1&X-Hmac=2", Some("signature")),
            ("oh_mac=1", Some("signature")),
            ("url%5Fhash=1", Some("signature")),
            ("signatures=1&hashtag=x&machine=2&design=3&bigmac=1", None),
            ("", None),
        ] {
            assert_eq!(rule(&format!("https://acme.com/x?{query}#sig=1")), expected, "{query}");
        }
        assert_eq!(rule("https://acme.com/sig=1"), None);
    }
}
