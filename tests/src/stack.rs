//! One stage per story: a database, a control plane and a worker, each on a free port.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use shared::{
    KeyRing, Millis,
    internal::{self, Direction},
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{
    actors::{Answer, Team},
    eventually, now, random,
};

const OPERATOR_KEY: &str = "operator-operator-operator-operator";
const TOKEN_SECRETS: &str = "1:token-token-token-token-token-token";
const EDGE_SECRETS: &str = "1:edge-edge-edge-edge-edge-edge-edge";
const DATA_KEYS: &str = "1:data-data-data-data-data-data-data";

/// What differs between stages.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which worker is needed.
    pub edge: Edge,
}

/// A worker on a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// None.
    Absent,
    /// The worker as it is deployed.
    Real,
    /// The same over two queues, at bindings that can be made to fail: [`Stack::fail`].
    Faulty,
    /// The same over one queue, which gives a message up to its dead-letter queue at once.
    Impatient,
    /// The worker as it is deployed, which lets an address ask for ten unknown links a minute.
    Guarded,
    /// The worker as it is deployed, with its own doors shut: records reach it by Cloudflare's API, into its KV.
    ByKv,
    /// The same as the real one in plain workerd, as without Cloudflare.
    SelfHosted,
}

/// A running stage. Everything on it ends with it.
pub struct Stack {
    /// The control plane's address.
    pub api_url: String,
    /// The worker's address.
    pub edge_url: String,
    /// The stage's database.
    pub db: PgPool,
    /// For requests; follows no redirects.
    pub http: reqwest::Client,
    database_url: String,
    folder: PathBuf,
    control: Option<Child>,
    edge: Option<Child>,
    /// Where a faulty worker is told what fails.
    faults_url: String,
    /// Where Cloudflare's API is played.
    kv_url: String,
}

/// A worker that has started, and what belongs to it.
struct Started {
    child: Child,
    faults_url: String,
    kv_url: String,
}

impl Stack {
    /// The whole stage.
    ///
    /// # Panics
    /// Where it can't be set.
    pub async fn start() -> Self {
        Self::with(Options { edge: Edge::Real }).await
    }

    /// A stage without what a story doesn't need.
    ///
    /// # Panics
    /// Where it can't be set.
    pub async fn with(options: Options) -> Self {
        Self::build(options).await.expect("the stage is set; run the stories by `cargo xtask test`")
    }

    async fn build(options: Options) -> anyhow::Result<Self> {
        // Built beside the service, the HTTP client here asks for its TLS provider too, though it stays on loopback.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = variable("DATABASE_URL")?;
        let name = format!("story_{:x}", u64::from_be_bytes(random()));
        let admin = PgPool::connect(&server).await.context("connecting to DATABASE_URL")?;
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&admin).await?;
        admin.close().await;
        let (base, _) = server.rsplit_once('/').context("DATABASE_URL names no database")?;
        let database_url = format!("{base}/{name}");

        let (api_port, edge_port) = (free_port(), free_port());
        let mut stack = Self {
            api_url: format!("http://127.0.0.1:{api_port}"),
            edge_url: format!("http://127.0.0.1:{edge_port}"),
            db: sqlx::postgres::PgPoolOptions::new().max_connections(4).connect_lazy(&database_url)?,
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?,
            folder: std::env::temp_dir().join(&name),
            database_url,
            control: None,
            edge: None,
            faults_url: String::new(),
            kv_url: String::new(),
        };
        std::fs::create_dir_all(&stack.folder)?;
        match options.edge {
            // It starts at once, and needs nothing to be ready.
            Edge::Absent | Edge::SelfHosted => stack.control = Some(stack.spawn_control().await?),
            // The control plane is told where to write.
            Edge::ByKv => {
                let edge = edge(&stack.api_url, edge_port, options.edge).await?;
                stack.took_up(edge);
                stack.control = Some(stack.spawn_control().await?);
            }
            kind => {
                let (edge, control) = tokio::join!(edge(&stack.api_url, edge_port, kind), stack.spawn_control());
                stack.control = Some(control?);
                stack.took_up(edge?);
            }
        }
        if options.edge == Edge::SelfHosted {
            stack.start_edge().await?;
        }
        Ok(stack)
    }

    fn took_up(&mut self, Started { child, faults_url, kv_url }: Started) {
        (self.edge, self.faults_url, self.kv_url) = (Some(child), faults_url, kv_url);
    }

    async fn spawn_control(&self) -> anyhow::Result<Child> {
        let publisher = if self.kv_url.is_empty() {
            vec![("NIM_PUBLISHER", "push"), ("NIM_EDGE_URL", &self.edge_url)]
        } else {
            let of = [("NIM_KV_ACCOUNT_ID", "account"), ("NIM_KV_NAMESPACE_ID", "links"), ("NIM_KV_TOKEN", "token")];
            [("NIM_PUBLISHER", "kv"), ("NIM_KV_API_URL", &*self.kv_url)].into_iter().chain(of).collect()
        };
        let listen = self.api_url.trim_start_matches("http://");
        let child = Command::new(variable("NIM_CONTROL_API")?)
            .arg("serve")
            .env("DATABASE_URL", &self.database_url)
            .env("NIM_LISTEN", listen)
            .env("NIM_OPERATOR_KEY", OPERATOR_KEY)
            .env("NIM_DATA_KEYS", DATA_KEYS)
            .env("TOKEN_SECRETS", TOKEN_SECRETS)
            .env("EDGE_SECRETS", EDGE_SECRETS)
            .envs(publisher)
            .env("NIM_EXPORT_URL", format!("file://{}", self.folder.display()))
            .env("NIM_LOG", std::env::var("NIM_LOG").unwrap_or_else(|_| "error".to_owned()))
            .env("NIM_LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting control-api (NIM_CONTROL_API)")?;
        eventually("control-api to be ready", || async {
            let answer = self.http.get(format!("{}/readyz", self.api_url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Ok(child)
    }

    /// Kills the control plane with SIGKILL: no goodbye, no flush.
    ///
    /// # Panics
    /// Where it wasn't running.
    pub async fn kill_control(&mut self) {
        let mut child = self.control.take().expect("control-api is running");
        child.kill().await.expect("SIGKILL can be sent");
    }

    /// Starts the control plane again, on the same address and database.
    ///
    /// # Panics
    /// Where it doesn't start.
    pub async fn start_control(&mut self) {
        self.control = Some(self.spawn_control().await.expect("control-api starts again"));
    }

    /// Runs `control-api republish`.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn republish(&self) {
        let mut command = Command::new(variable("NIM_CONTROL_API").expect("the program"));
        command.arg("republish").env("DATABASE_URL", &self.database_url).env("NIM_LOG", "error");
        assert!(command.status().await.expect("it starts").success());
    }

    /// The operator's key on this stage.
    #[must_use]
    pub fn operator_key(&self) -> &'static str {
        OPERATOR_KEY
    }

    /// The folder that a [self-hosted](Edge::SelfHosted) worker stores in.
    #[must_use]
    pub fn edge_folder(&self) -> PathBuf {
        self.folder.join("edge")
    }

    /// Kills a [self-hosted](Edge::SelfHosted) worker with SIGKILL and starts it again, on the same address and folder.
    ///
    /// # Panics
    /// Where it doesn't start.
    pub async fn restart_edge(&mut self) {
        let mut child = self.edge.take().expect("the worker is running");
        child.kill().await.expect("SIGKILL can be sent");
        self.start_edge().await.expect("the worker starts again");
    }

    async fn start_edge(&mut self) -> anyhow::Result<()> {
        let folder = self.edge_folder();
        std::fs::create_dir_all(&folder)?;
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge-worker/self-hosted/workerd.capnp");
        let listen = self.edge_url.trim_start_matches("http://");
        let child = Command::new(variable("NIM_WORKERD")?)
            .arg("serve")
            .arg(config)
            .args(["--socket-addr", &format!("http={listen}")])
            .args(["--directory-path", &format!("disk={}", folder.display())])
            .env("CONTROL_API_URL", &self.api_url)
            .env("TOKEN_SECRETS", TOKEN_SECRETS)
            .env("EDGE_SECRETS", EDGE_SECRETS)
            .stdin(Stdio::null())
            .stderr(if std::env::var_os("NIM_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()
            .context("starting workerd (NIM_WORKERD)")?;
        self.edge = Some(child);
        eventually("workerd to answer", || async {
            let answer = self.http.get(format!("{}/robots.txt", self.edge_url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Ok(())
    }

    /// Makes bindings of a [faulty](Edge::Faulty) worker fail, as `edge-worker/local/faulty.mjs` says; what is not named
    /// works again.
    ///
    /// # Panics
    /// Where the worker has no such door.
    pub async fn fail(&self, faults: &Value) {
        let answer = self.http.put(&self.faults_url).body(faults.to_string()).send().await.expect("a faulty worker");
        assert!(answer.status().is_success());
    }

    /// How often each binding of a [faulty](Edge::Faulty) worker was asked.
    ///
    /// # Panics
    /// Where the worker has no such door.
    pub async fn asked(&self) -> Value {
        let answer = self.http.get(&self.faults_url).send().await.expect("a faulty worker");
        serde_json::from_str(&answer.text().await.expect("an answer")).expect("JSON")
    }

    /// Runs the worker's minutely job now.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn run_cron(&self) {
        let url = format!("{}/cdn-cgi/local/scheduled", self.edge_url);
        let answer = self.http.get(url).send().await.expect("the worker answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// What became of the clicks of the last day, as the operator is told.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn delivery(&self) -> Value {
        let request = self.http.get(format!("{}/v1/admin/delivery", self.api_url)).bearer_auth(OPERATOR_KEY);
        Answer::of(request.send().await.expect("control-api answers")).await.expect(200)
    }

    /// A request of the control plane to the worker, signed by it.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn as_control(&self, path: &str, body: &Value) -> Answer {
        self.knock(path, body, Direction::ControlToEdge, now()).await
    }

    /// The same, signed for a direction and a time.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn knock(&self, path: &str, body: &Value, direction: Direction, at: Millis) -> Answer {
        let (ring, body) = (edge_secrets(), body.to_string().into_bytes());
        let request = internal::Request { method: "POST", target: path, body: &body };
        let (timestamp, signature) = internal::sign(&ring, direction, request, at);
        let request = self
            .http
            .post(format!("{}{path}", self.edge_url))
            .header(internal::TIMESTAMP_HEADER, timestamp)
            .header(internal::SIGNATURE_HEADER, signature);
        Answer::of(request.body(body).send().await.expect("the worker answers")).await
    }

    /// A request with the operator's key.
    ///
    /// # Panics
    /// Where there is no answer.
    pub async fn operator(&self, method: reqwest::Method, path: &str, body: &Value) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.api_url)).bearer_auth(OPERATOR_KEY);
        Answer::of(request.json(body).send().await.expect("control-api answers")).await
    }

    /// A new workspace on the professional plan, with its first admin key.
    ///
    /// # Panics
    /// Where it can't be made.
    pub async fn team(&self) -> Team<'_> {
        let slug = format!("team-{:x}", u32::from_be_bytes(random()));
        let body = json!({"name": "Acme", "slug": slug, "plan": "professional"});
        let made = self.operator(reqwest::Method::POST, "/v1/workspaces", &body).await.expect(201);
        Team::new(self, &made)
    }

    /// A request that our worker would send, signed by it.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn as_edge(&self, path: &str, body: Vec<u8>) -> reqwest::Result<reqwest::Response> {
        self.sender().post(path, body).await
    }

    /// Somebody who sends what our worker would, also while the control plane is killed and restarted.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender { http: self.http.clone(), api_url: self.api_url.clone() }
    }

    /// The worker's secrets on this stage, as lines of an environment file.
    #[must_use]
    pub fn edge_environment(&self) -> String {
        format!("TOKEN_SECRETS={TOKEN_SECRETS}\nEDGE_SECRETS={EDGE_SECRETS}\n")
    }

    /// The secrets that sign click tokens on this stage.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn token_secrets(&self) -> KeyRing {
        TOKEN_SECRETS.parse().expect("a ring")
    }
}

/// Sends what our worker would, signed by it.
pub struct Sender {
    http: reqwest::Client,
    api_url: String,
}

impl Sender {
    /// Posts a body to the internal door.
    ///
    /// # Errors
    /// Where there is no answer.
    ///
    /// # Panics
    /// Never: the ring is well-formed.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> reqwest::Result<reqwest::Response> {
        let ring = edge_secrets();
        let request = internal::Request { method: "POST", target: path, body: &body };
        let (timestamp, signature) = internal::sign(&ring, Direction::EdgeToControl, request, now());
        self.http
            .post(format!("{}{path}", self.api_url))
            .header(internal::TIMESTAMP_HEADER, timestamp)
            .header(internal::SIGNATURE_HEADER, signature)
            .body(body)
            .send()
            .await
    }
}

fn edge_secrets() -> KeyRing {
    EDGE_SECRETS.parse().expect("a ring")
}

/// A worker, once it serves.
async fn edge(api_url: &str, port: u16, kind: Edge) -> anyhow::Result<Started> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let further: &[&str] = match kind {
        Edge::Faulty => &["--faults", "--queues", "2"],
        Edge::Impatient => &["--faults", "--retries", "0"],
        Edge::Guarded => &["--scans", "10"],
        Edge::ByKv => &["--kv-api", "--var", "REPLICATION=off"],
        Edge::Absent | Edge::Real | Edge::SelfHosted => &[],
    };
    let mut child = Command::new(variable("NIM_NODE")?)
        .arg(root.join("edge-worker/local/serve.mjs"))
        .args(["--port", &port.to_string(), "--cf", r#"{"country":"JP","region":"Tokyo","city":"Tokyo","colo":"NRT"}"#])
        .args(further)
        .env("CONTROL_API_URL", api_url)
        .env("TOKEN_SECRETS", TOKEN_SECRETS)
        .env("EDGE_SECRETS", EDGE_SECRETS)
        // Held open for as long as the stage stands: the worker ends when it closes, and takes its runtime along,
        // which a kill would leave behind.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(if std::env::var_os("NIM_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .context("starting the worker (NIM_NODE)")?;
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let (mut faults_url, mut kv_url) = (String::new(), String::new());
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ') {
            Some(("faults", url)) => url.clone_into(&mut faults_url),
            Some(("kv", url)) => url.clone_into(&mut kv_url),
            Some(("ready", _)) => {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Started { child, faults_url, kv_url });
            }
            _ => {}
        }
    }
    bail!("the worker ended before it was ready; set NIM_LOG=info to see why")
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; run the stories by `cargo xtask test`"))
}

/// A port that nobody listens on now.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port()
}
