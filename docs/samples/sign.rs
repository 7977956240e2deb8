//! Sends one signed event. Needs `base64`, `hmac`, `sha2`, `serde_json`, `reqwest` and `tokio`.

use std::{env, error::Error, io::Write as _, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

async fn send(event_id: &str, event: &serde_json::Value) -> Result<reqwest::Response, Box<dyn Error>> {
    let id = format!("msg_{event_id}");
    let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let body = event.to_string(); // Signed and sent as these very bytes.
    let secret = env::var("NIM_SOURCE_SECRET")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(secret.trim_start_matches("whsec_"))?)?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let url = format!("{}/v1/sources/{}/events", env::var("NIM_API_URL")?, env::var("NIM_SOURCE_ID")?);
    let request = reqwest::Client::new().post(url).header("content-type", "application/json");
    let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
    Ok(request.header("webhook-signature", format!("v1,{signature}")).body(body).send().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Only where reqwest was built without a TLS provider (`rustls-no-provider`).
    let _ = rustls::crypto::ring::default_provider().install_default();
    let event = serde_json::json!({
        "event_id": "order-1001", "type": "sale", "order_id": "1001", "amount_minor": 4999, "currency": "USD",
    });
    let response = send("order-1001", &event).await?.error_for_status()?;
    std::io::stdout().write_all(response.text().await?.as_bytes())?;
    Ok(())
}
