//! Sends requests with bodies, each written whole before the clock starts, over connections that stay open.
//!
//! It does next to nothing besides, because it runs on the machine that it measures.

use std::{
    cell::Cell,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The text of a `POST` with these further header lines.
pub(super) fn request(target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// What a run has seen.
pub(super) struct Sent {
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// How long each answer took, in ascending order.
    pub(super) latencies: Vec<Duration>,
    /// Answers that asked to try again later; each request was, until it was taken.
    pub(super) deferred: u64,
}

impl Sent {
    /// The latency that this share of the answers stayed within, in milliseconds.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    }
}

/// Sends requests in their order over so many connections. Each must be answered `200`.
pub(super) async fn all(port: u16, connections: usize, requests: &[Vec<u8>]) -> anyhow::Result<Sent> {
    let next = Cell::new(0);
    let deferred = Cell::new(0);
    let started = Instant::now();
    let one = || async {
        let mut connection = Connection::open(port).await?;
        let mut latencies = vec![];
        while let Some(request) = requests.get(next.replace(next.get() + 1)) {
            let began = Instant::now();
            loop {
                let (status, answer) = connection.exchange(request).await?;
                match status {
                    200 => break,
                    429 | 503 => {
                        deferred.set(deferred.get() + 1);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    _ => bail!("unexpected answer {status}: {answer}"),
                }
            }
            latencies.push(began.elapsed());
        }
        anyhow::Ok(latencies)
    };
    let mut latencies = futures_util::future::try_join_all((0..connections).map(|_| one())).await?.concat();
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Ok(Sent { elapsed, latencies, deferred: deferred.get() })
}

/// A connection that stays open.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads its answer: status and body.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, String)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).context("not an answer")?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without a length")?.trim().parse()?;
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        Ok((status, String::from_utf8_lossy(&self.buffer[head..]).into_owned()))
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}
