//! A small client of the public API.

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// The API as the holder of one key sees it.
pub(crate) struct Api {
    http: Client,
    base: String,
    key: String,
}

impl Api {
    pub(crate) fn new(http: &Client, base: &str, key: &str) -> Self {
        Self { http: http.clone(), base: base.to_owned(), key: key.to_owned() }
    }

    /// The same API with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self::new(&self.http, &self.base, key)
    }

    /// Reads a resource.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.call(Method::GET, path, None).await?.1)
    }

    /// Creates a resource; `None` when the API answers that it is there already.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> anyhow::Result<Option<Value>> {
        match self.call(Method::POST, path, Some(body)).await? {
            (StatusCode::CONFLICT, _) => Ok(None),
            (_, created) => Ok(Some(created)),
        }
    }

    /// Replaces a resource.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        match self.call(Method::PUT, path, Some(body)).await? {
            (StatusCode::CONFLICT, problem) => bail!("PUT {path}: {problem}"),
            (_, resource) => Ok(resource),
        }
    }

    /// Whether the key opens anything; an error other than a refusal stays one.
    pub(crate) async fn accepts_key(&self) -> anyhow::Result<bool> {
        let response = self.request(Method::GET, "/v1/workspace").send().await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Ok(false),
            status if status.is_success() => Ok(true),
            status => bail!("GET /v1/workspace: {status} {}", response.text().await?),
        }
    }

    /// A file's bytes.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response = self.request(Method::GET, path).send().await?;
        if response.status() != StatusCode::OK {
            bail!("GET {path}: {} {}", response.status(), response.text().await?);
        }
        Ok(response.bytes().await?.to_vec())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    /// Conflicts come back as answers, since only the caller knows what they mean; other refusals are errors.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self.request(method.clone(), path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() && status != StatusCode::CONFLICT {
            bail!("{method} {path}: {status} {text}");
        }
        let answer = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).with_context(|| format!("{method} {path}: not JSON: {text}"))?
        };
        Ok((status, answer))
    }
}

/// A field that the API promises to be text.
pub(crate) fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let field = value.pointer(pointer).and_then(Value::as_str);
    field.map(str::to_owned).with_context(|| format!("no text at {pointer} in {value}"))
}
