//! The runtime, as far as this worker needs it: settings, the store, requests out, a request's body, the log, time.
//! The other side is `js/runtime.mjs`.
//!
//! Declared by hand instead of taken from the `worker` crate: that crate mirrors the whole platform, one crossing per
//! property, and made up a third of the module that each isolate has to load ([ADR 1]).
//!
//! [ADR 1]: ../../docs/adr/0001-one-crossing-hot-path.md

use js_sys::{Array, Promise};
use shared::Millis;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(module = "/js/runtime.mjs")]
extern "C" {
    /// The bindings, vars and secrets of the deployment.
    pub type Env;
    /// A request.
    pub type Request;

    fn setting(env: &Env, name: &str) -> Option<String>;
    #[wasm_bindgen(catch)]
    async fn read(env: &Env, key: &str, cache_ttl: u32, limit: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = readThrough)]
    fn read_through(env: &Env, key: &str) -> Promise;
    fn write(env: &Env, key: &str, text: &str) -> Promise;
    #[wasm_bindgen(catch)]
    async fn send(method: &str, url: &str, headers: &str, body: Option<&str>, limit: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn exceeds(env: &Env, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn spool(env: &Env, key: &str, text: &str, seconds: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn spooled(env: &Env, limit: u32, cursor: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn unspool(env: &Env, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn unspooled(env: &Env, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = sleep)]
    async fn pause(millis: f64);
    fn header(request: &Request, name: &str) -> Option<String>;
    #[wasm_bindgen(catch)]
    async fn body(request: &Request, limit: u32) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(line: &str);
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn console_warn(line: &str);
    #[wasm_bindgen(js_name = String)]
    fn text_of(value: &JsValue) -> String;
    // The entry's: the instance must not be used again.
    #[wasm_bindgen(js_name = nimTrapped)]
    fn trapped(message: &str);
}

/// What the runtime threw, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Thrown(String);

impl From<JsValue> for Thrown {
    fn from(value: JsValue) -> Self {
        Self(text_of(&value))
    }
}

type Result<T, E = Thrown> = std::result::Result<T, E>;

impl Env {
    /// A var or secret.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        setting(self, name)
    }

    /// The text that the store has under a key, perhaps as it was `cache_ttl` seconds ago. Fails after `limit`
    /// milliseconds.
    pub(crate) async fn read(&self, key: &str, cache_ttl: u32, limit: u32) -> Result<Option<String>> {
        Ok(read(self, key, cache_ttl, limit).await?.as_string())
    }

    /// The texts that the store has under some keys now. All are asked for at once.
    pub(crate) async fn read_through<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<Vec<Option<String>>> {
        let texts = all(keys.map(|key| read_through(self, key))).await?;
        Ok(texts.iter().map(|text| text.as_string()).collect())
    }

    /// Counts one for a key, and tells whether it is one too many; never, where nothing limits that.
    pub(crate) async fn exceeds(&self, key: &str) -> Result<bool> {
        Ok(exceeds(self, key).await?.is_truthy())
    }

    /// Puts a text into the spool, for so many seconds.
    pub(crate) async fn spool(&self, key: &str, text: &str, seconds: u32) -> Result<()> {
        spool(self, key, text, seconds).await?;
        Ok(())
    }

    /// Some keys of the spool, and the cursor behind which there are more.
    pub(crate) async fn spooled(&self, limit: u32, cursor: &str) -> Result<(Vec<String>, Option<String>)> {
        let answer = spooled(self, limit, cursor).await?.as_string().unwrap_or_default();
        let mut lines = answer.lines();
        let cursor = lines.next().filter(|cursor| !cursor.is_empty()).map(str::to_owned);
        Ok((lines.map(str::to_owned).collect(), cursor))
    }

    /// A text of the spool.
    pub(crate) async fn unspool(&self, key: &str) -> Result<Option<String>> {
        Ok(unspool(self, key).await?.as_string())
    }

    /// Removes a text from the spool.
    pub(crate) async fn unspooled(&self, key: &str) -> Result<()> {
        unspooled(self, key).await?;
        Ok(())
    }

    /// Stores texts under keys, all at once, and returns how many.
    pub(crate) async fn write<'a>(&self, entries: impl Iterator<Item = (&'a str, &'a str)>) -> Result<usize> {
        let written = all(entries.map(|(key, text)| write(self, key, text))).await?;
        Ok(written.iter().count())
    }
}

/// Waits for all, or for the first that fails.
async fn all(promises: impl Iterator<Item = Promise>) -> Result<Array> {
    let promises: Array = promises.map(JsValue::from).collect();
    Ok(Array::from(&JsFuture::from(Promise::all(&promises)).await?))
}

impl Request {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(self, name)
    }

    /// The body, or `None` once it proves longer than `limit` bytes.
    pub(crate) async fn body(&self, limit: u32) -> Result<Option<Vec<u8>>> {
        let bytes = body(self, limit).await?;
        Ok((!bytes.is_undefined()).then(|| js_sys::Uint8Array::from(bytes).to_vec()))
    }
}

/// What came back for a request.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends a request with headers given as lines of `name: value`. Fails after `limit` milliseconds.
pub(crate) async fn fetch(method: &str, url: &str, headers: &str, body: Option<&str>, limit: u32) -> Result<Answered> {
    let answer = send(method, url, headers, body, limit).await?.as_string().unwrap_or_default();
    let (status, body) = answer.split_once('\n').unwrap_or_default();
    Ok(Answered { status: status.parse().unwrap_or_default(), body: body.to_owned() })
}

/// The runtime's time. It stands still between two I/O operations.
#[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit 53 bits")]
pub(crate) fn now() -> Millis {
    Millis(date_now() as i64)
}

/// Waits for some milliseconds.
#[allow(clippy::cast_precision_loss, reason = "pauses are short")]
pub(crate) async fn sleep(millis: i64) {
    pause(millis as f64).await;
}

/// Something is lost or wrong until somebody acts.
pub(crate) fn log_error(line: &str) {
    console_error(line);
}

/// Something failed that another way made good.
pub(crate) fn log_warning(line: &str) {
    console_warn(line);
}

/// A panic leaves an instance that must not be used again; the entry is told before it ends.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| trapped(&panic.to_string())));
}
