//! The endpoints for the control plane, below `/_nim/`: signed, and closed unless `REPLICATION` is `push`.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use shared::{
    internal::{self, Direction, Refusal, SIGNATURE_HEADER, TIMESTAMP_HEADER},
    json::Object,
    record::{Inquiry, Replication},
};

use crate::{
    config::Config,
    control::replicate,
    delivery::drain::drain,
    runtime::{self, Env, Request, Thrown},
    wire::{facts::Address, respond},
};

/// The longest body accepted, in bytes; it holds some thousand records.
const MAX_BODY: u32 = 8 << 20;

/// Whether a path is one of these endpoints.
pub(crate) fn is_endpoint(path: &str) -> bool {
    matches!(path, internal::REPLICATE | internal::RECORDS | internal::DRAIN)
}

/// Answers a request of the control plane.
pub(crate) async fn answer(
    request: &Request,
    method: &str,
    address: &Address<'_>,
    env: &Env,
    config: &Config,
) -> Result<String, Thrown> {
    if method != "POST" {
        return Ok(respond::method_not_allowed("POST"));
    }
    let Some(body) = request.body(MAX_BODY).await? else {
        return Ok(fault(413, "payload_too_large", "at most 8 MiB"));
    };
    let (timestamp, signature) = (request.header(TIMESTAMP_HEADER), request.header(SIGNATURE_HEADER));
    let target = if address.query.is_empty() {
        Cow::Borrowed(address.path)
    } else {
        Cow::Owned([address.path, "?", address.query].concat())
    };
    let verified = internal::verify(
        &config.edge_secrets,
        Direction::ControlToEdge,
        internal::Request { method: "POST", target: &target, body: &body },
        timestamp.as_deref(),
        signature.as_deref(),
        runtime::now(),
    );
    if let Err(refusal) = verified {
        let code = match refusal {
            Refusal::Missing => "signature_missing",
            Refusal::Invalid => "signature_invalid",
            Refusal::Expired => "signature_expired",
        };
        return Ok(fault(401, code, &refusal.to_string()));
    }
    match address.path {
        internal::RECORDS => match read::<Inquiry>(&body) {
            Ok(inquiry) => Ok(respond::json(200, &replicate::look(&inquiry, env).await?.to_json())),
            Err(fault) => Ok(fault),
        },
        internal::DRAIN => {
            let left = drain(env, config).await;
            Ok(respond::json(200, if left { r#"{"left":true}"# } else { r#"{"left":false}"# }))
        }
        _ => match read::<Replication>(&body) {
            Ok(push) => match replicate::store(&push, env).await? {
                Ok(receipt) => Ok(respond::json(200, &receipt.to_json())),
                Err(key) => Ok(fault(422, "validation_failed", &["not a record: ", &key].concat())),
            },
            Err(fault) => Ok(fault),
        },
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    // Read from text, as everywhere else here: reading from bytes would compile serde_json's parser a second time.
    let text = std::str::from_utf8(body).map_err(|error| fault(400, "invalid_json", &error.to_string()))?;
    serde_json::from_str(text).map_err(|error| fault(400, "invalid_json", &error.to_string()))
}

fn fault(status: u16, code: &str, detail: &str) -> String {
    let mut body = String::new();
    let mut object = Object::open(&mut body);
    object.word("code", code);
    object.text("detail", detail);
    object.close();
    respond::json(status, &body)
}
