//! Tells a developer why the signature of an event doesn't hold, and, where it does, what would become of the event.
//! Nothing is stored, and the source's last use is not noted.
//!
//! It never answers a secret or a signature: only what was received, which bytes count, and which known mistake
//! explains the signature that the caller sent.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::{
    Millis,
    id::{SourceId, SourceSecretId, WorkspaceId},
    webhook::{
        self, Headers, MAX_ID, Refusal, Secret, TOLERANCE_SECONDS,
        diagnosis::{self, Match},
    },
};

use super::{
    events::{self, NewEvent, Rehearsed, Rejected},
    sources::belongs_to,
};
use crate::{
    context::Context,
    error::{Error, FieldFault},
    input::{event::Sent, json},
    seal,
};
use model::time::Timestamp;
use store::sources::{Source, SourceStatus};

/// Timestamps from here on are milliseconds: in seconds they lie beyond the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// What was found about a request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SourceTest {
    /// The source.
    #[schema(value_type = String, example = "src_01h455vb4pex5vsknk084sn02q")]
    pub source_id: SourceId,
    /// What the events door says to the signature: `valid`, `signature_missing`, `signature_invalid` or
    /// `signature_expired`.
    #[schema(example = "valid")]
    pub signature: &'static str,
    /// Whether the events door would accept all of it.
    pub would_accept: bool,
    /// Everything that stands in the way, and what to do.
    pub problems: Vec<Problem>,
    /// The three headers, as received.
    pub headers: Vec<HeaderState>,
    /// How far the clocks are apart.
    pub clock: Clock,
    /// What is signed begins with these characters, `{webhook-id}.{webhook-timestamp}.`, and goes on with the body;
    /// `null` where one of the two is missing.
    #[schema(example = "msg_1.1790000000.")]
    pub signed_content_prefix: Option<String>,
    /// Bytes of the body as received.
    pub body_length: usize,
    /// SHA-256 of these bytes, in hexadecimal.
    pub body_sha256: String,
    /// The secrets that were tried; never what they are.
    pub secrets: Vec<TriedSecret>,
    /// What is wrong with the body as a whole; only with a genuine signature.
    pub errors: Vec<FieldFault>,
    /// What would become of each event; `null` without a genuine signature, or where the body is no event.
    pub results: Option<Vec<Rehearsed>>,
}

/// Something that stands in the way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SourceProblem)]
pub struct Problem {
    /// `header_missing`, `header_malformed`, `timestamp_in_milliseconds`, `clock_skew`, `source_disabled`,
    /// `secret_expired`, `secret_unreadable`, `content_type`, `body_invalid`, `signature_hex`, `signature_base64url`,
    /// `signature_without_version`, `secret_with_prefix`, `secret_not_decoded`, `signed_body_only`,
    /// `signed_without_id`, `body_trailing_newline`, `body_line_ends`, `body_reserialized`, or `no_match` where none of
    /// these explains the signature.
    #[schema(example = "clock_skew")]
    pub code: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

/// A header.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HeaderState {
    /// Its name.
    #[schema(example = "webhook-timestamp")]
    pub name: &'static str,
    /// `ok`, `missing` or `malformed`.
    #[schema(example = "ok")]
    pub state: &'static str,
}

/// How far the clocks are apart.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Clock {
    /// Our time.
    #[schema(value_type = String, format = DateTime)]
    pub server_time: Timestamp,
    /// `webhook-timestamp`, where it is a number.
    pub timestamp: Option<i64>,
    /// Seconds that it is ahead of ours; negative: behind. Milliseconds are read as such.
    pub skew_seconds: Option<i64>,
    /// How many seconds either way are allowed.
    pub tolerance_seconds: i64,
}

/// A secret that was tried.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TriedSecret {
    /// Its id.
    #[schema(value_type = String, example = "sec_01h455vb4pex5vsknk084sn02q")]
    pub id: SourceSecretId,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends; `null`: it is the current one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Whether it has ended.
    pub expired: bool,
    /// Whether the signature was made with it, be it with a mistake.
    pub matched: bool,
}

/// A request as it would go to the events door.
pub struct Attempted<'a> {
    /// Its three headers.
    pub headers: Headers<'a>,
    /// Whether its content type is JSON, or absent.
    pub is_json: bool,
    /// Its body.
    pub body: bytes::Bytes,
}

/// Tests a request against a source.
///
/// # Errors
/// 404 where the workspace has no such source.
pub async fn test(
    context: &Context,
    workspace: WorkspaceId,
    id: SourceId,
    attempted: Attempted<'_>,
) -> Result<SourceTest, Error> {
    let source = store::sources::get(&context.reads, workspace, id).await?.ok_or(Error::NotFound("source"))?;
    let now = context.clock.now();
    let Attempted { headers, is_json, body } = attempted;
    let mut problems = vec![];
    let header_states = check_headers(headers, &mut problems);
    let clock = check_clock(headers, now, &mut problems);

    let (mut tried, mut valid, mut all, mut places) = (vec![], vec![], vec![], vec![]);
    for kept in store::signature_check::secrets(&context.reads, workspace, id).await? {
        let kid = u8::try_from(kept.kid).unwrap_or(0);
        match seal::open(&context.data_keys, &belongs_to(workspace, id, kept.id.uuid()), kid, &kept.sealed) {
            Ok(bytes) => {
                let secret = Secret::from_bytes(bytes);
                if !kept.expired {
                    valid.push(secret.clone());
                }
                places.push(tried.len());
                all.push(secret);
            }
            Err(_) => problems.push(problem(
                "secret_unreadable",
                format!("The secret {} can't be decrypted by this service.", kept.id),
                "Rotate the source's secret, and tell whoever runs the service.",
            )),
        }
        let (created_at, expires_at, expired) = (kept.created_at, kept.expires_at, kept.expired);
        tried.push(TriedSecret { id: kept.id, created_at, expires_at, expired, matched: false });
    }

    let mut verdict = webhook::verify(&valid, headers, &body, now);
    let genuine = matches!(verdict, Ok(()) | Err(Refusal::Expired));
    let explained = explain(all, headers, &body).await?;
    if let Some(found) = &explained
        && let Some(secret) = places.get(found.secret).and_then(|place| tried.get_mut(*place))
    {
        secret.matched = true;
    }
    if !genuine {
        problems.extend(mistakes(explained.as_ref(), headers, &tried));
    }
    if source.status == SourceStatus::Disabled {
        problems.push(disabled(&source));
        verdict = verdict.and(Err(Refusal::Invalid));
    }
    let (mut errors, mut results) = (vec![], None);
    if genuine {
        if !is_json {
            problems.push(problem(
                "content_type",
                "The body is not sent as JSON.",
                "Send Content-Type: application/json.",
            ));
        }
        match read(&body) {
            Ok(events) => results = Some(events::rehearse(context, workspace, id, events).await?),
            Err(error) => {
                problems.push(problem("body_invalid", error.to_string(), "See `errors`, and the rules of events."));
                errors = error.field_faults();
            }
        }
    }
    let events_good = results.as_ref().is_some_and(|all| all.iter().all(|one| one.status != "rejected"));
    Ok(SourceTest {
        source_id: id,
        signature: verdict.map_or_else(Refusal::as_str, |()| "valid"),
        would_accept: verdict.is_ok() && is_json && events_good,
        problems,
        headers: header_states,
        clock,
        signed_content_prefix: headers.id.zip(headers.timestamp).map(|(id, timestamp)| format!("{id}.{timestamp}.")),
        body_length: body.len(),
        body_sha256: hex::encode(Sha256::digest(&body)),
        secrets: tried,
        errors,
        results,
    })
}

fn problem(code: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { code, detail: detail.into(), remedy: remedy.into() }
}

/// Each of the three headers by its rule.
fn check_headers(headers: Headers<'_>, problems: &mut Vec<Problem>) -> Vec<HeaderState> {
    let id_fits = |text: &str| text.len() <= MAX_ID;
    let number = |text: &str| text.parse::<i64>().is_ok();
    let signed = |text: &str| text.split(' ').any(|one| one.starts_with("v1,"));
    type Rule<'a> = (&'static str, Option<&'a str>, &'a dyn Fn(&str) -> bool, &'static str);
    let rules: [Rule<'_>; 3] = [
        ("webhook-id", headers.id, &id_fits, "Send an id of your own for the message, up to 255 characters."),
        ("webhook-timestamp", headers.timestamp, &number, "Send the seconds since 1970 as a whole number."),
        ("webhook-signature", headers.signature, &signed, "Send v1, and the base64 of the HMAC-SHA256."),
    ];
    rules
        .into_iter()
        .map(|(name, value, holds, remedy)| {
            let state = match value.filter(|text| !text.is_empty()) {
                None => {
                    problems.push(problem("header_missing", format!("The header {name} is missing or empty."), remedy));
                    "missing"
                }
                Some(text) if holds(text) => "ok",
                Some(_) => {
                    problems.push(problem("header_malformed", format!("The header {name} is malformed."), remedy));
                    "malformed"
                }
            };
            HeaderState { name, state }
        })
        .collect()
}

fn check_clock(headers: Headers<'_>, now: Millis, problems: &mut Vec<Problem>) -> Clock {
    let timestamp: Option<i64> = headers.timestamp.and_then(|text| text.parse().ok());
    let in_millis = timestamp.is_some_and(|timestamp| timestamp >= MILLISECONDS_FROM);
    let skew = timestamp
        .map(|timestamp| if in_millis { timestamp / 1_000 } else { timestamp })
        .map(|seconds| seconds.saturating_sub(now.seconds()));
    if in_millis {
        problems.push(problem(
            "timestamp_in_milliseconds",
            "webhook-timestamp is in milliseconds.",
            "Send and sign seconds since 1970, as a whole number.",
        ));
    }
    if let Some(skew) = skew.filter(|skew| skew.saturating_abs() > TOLERANCE_SECONDS) {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        problems.push(problem(
            "clock_skew",
            format!(
                "webhook-timestamp is {} s {way} our clock; {TOLERANCE_SECONDS} s are allowed.",
                skew.saturating_abs()
            ),
            "Set the sender's clock by NTP, and sign each attempt anew with the time it is sent.",
        ));
    }
    Clock {
        server_time: Timestamp::from_millis(now),
        timestamp,
        skew_seconds: skew,
        tolerance_seconds: TOLERANCE_SECONDS,
    }
}

/// Looks for the secret and the mistakes that explain a signature. Many hashes of a large body take their time, so it
/// is done where it holds up no other request.
async fn explain(secrets: Vec<Secret>, headers: Headers<'_>, body: &bytes::Bytes) -> Result<Option<Match>, Error> {
    let [id, timestamp, signature] =
        [headers.id, headers.timestamp, headers.signature].map(|header| header.map(str::to_owned));
    let body = body.clone();
    let search = move || {
        let headers = Headers { id: id.as_deref(), timestamp: timestamp.as_deref(), signature: signature.as_deref() };
        diagnosis::diagnose(&secrets, headers, &body)
    };
    tokio::task::spawn_blocking(search).await.map_err(|error| Error::Internal(error.into()))
}

/// Why a signature that isn't genuine isn't.
fn mistakes(explained: Option<&Match>, headers: Headers<'_>, tried: &[TriedSecret]) -> Vec<Problem> {
    let Some(found) = explained else {
        return if headers.signature.is_none_or(str::is_empty) {
            vec![]
        } else {
            vec![problem(
                "no_match",
                "No secret of this source, and no known mistake, explains the signature.",
                "Compare signed_content_prefix, body_length and body_sha256 with what was signed, and make sure that the \
                 secret is this source's.",
            )]
        };
    };
    let mut problems: Vec<Problem> = found
        .mistakes
        .iter()
        .map(|mistake| problem(mistake.as_str(), "The signature was recognised with this mistake.", mistake.remedy()))
        .collect();
    if let Some(secret) = tried.iter().find(|secret| secret.matched && secret.expired) {
        problems.push(problem(
            "secret_expired",
            format!("The signature was made with the secret {}, which has ended.", secret.id),
            "Sign with the secret that the last rotation answered.",
        ));
    }
    problems
}

fn disabled(source: &Source) -> Problem {
    problem(
        "source_disabled",
        format!("The source {:?} is disabled: the events door refuses its events as signature_invalid.", source.name),
        "Set the source's status to active.",
    )
}

/// The events of a body.
fn read(raw: &[u8]) -> Result<Vec<Result<NewEvent, Rejected>>, Error> {
    Ok(match Sent::read(json::parse_any(raw)?)? {
        Sent::One(event) => vec![event],
        Sent::Batch(events) => events,
    })
}
