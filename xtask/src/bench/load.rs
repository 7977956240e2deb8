//! A load generator: so many connections, each with one request under way at any time.
//!
//! It speaks just enough HTTP/1.1 to send requests and to see that each answer is the one expected. What it costs
//! itself comes off the same machine, equally for everything it measures.

use std::{
    cell::{Cell, RefCell},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// When a run ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After so long.
    Time(Duration),
    /// After so many requests.
    Count(u64),
}

/// What a run has seen.
#[derive(Default)]
pub(crate) struct Load {
    /// How long each answer took, in ascending order.
    latencies: Vec<Duration>,
    /// From the first request to the last answer.
    elapsed: Duration,
}

impl Load {
    /// How many answers.
    pub(crate) fn count(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Answers per second.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// What of a total falls to each answer.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn share_of(&self, total: Duration) -> Duration {
        total.div_f64(self.latencies.len().max(1) as f64)
    }

    /// The latency that this share of the answers stayed within.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Sends what `request` makes of the number of each request to a port on loopback. Every answer must start with
/// `expected` and have no body.
pub(crate) async fn run<R: AsRef<[u8]>>(
    port: u16,
    connections: usize,
    until: Until,
    expected: &[u8],
    request: impl Fn(u64) -> R,
) -> anyhow::Result<Load> {
    let started = Instant::now();
    let sent = Cell::new(0);
    // The number of the next request, if there is to be one.
    let next = || {
        let number = sent.get();
        sent.set(number + 1);
        let goes_on = match until {
            Until::Time(time) => started.elapsed() < time,
            Until::Count(count) => number < count,
        };
        goes_on.then_some(number)
    };
    let connection = || async {
        let mut connection = Connection::open(port).await?;
        let mut latencies = Vec::new();
        while let Some(number) = next() {
            let request = request(number);
            let began = Instant::now();
            let answer = connection.exchange(request.as_ref()).await?;
            latencies.push(began.elapsed());
            expect(answer, expected)?;
        }
        anyhow::Ok(latencies)
    };
    let mut latencies = futures_util::future::try_join_all((0..connections).map(|_| connection())).await?.concat();
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Ok(Load { latencies, elapsed })
}

/// What [`sustain`] has seen.
pub(crate) struct Sustained {
    /// The answers that were as expected.
    pub(crate) load: Load,
    /// Requests without such an answer.
    pub(crate) failed: u64,
    /// What came instead, the first time.
    pub(crate) why: Option<String>,
}

/// Sends `rate` requests a second for some time, whatever comes back. What `request` makes of a number and what is expected
/// is as in [`run`].
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) async fn sustain<R: AsRef<[u8]>>(
    port: u16,
    connections: usize,
    rate: f64,
    time: Duration,
    expected: &[u8],
    request: impl Fn(u64) -> R,
) -> Sustained {
    let started = Instant::now();
    let (sent, failed, why) = (Cell::new(0_u64), Cell::new(0_u64), RefCell::new(None));
    let connection = || async {
        let (mut open, mut latencies) = (None, Vec::new());
        loop {
            let number = sent.get();
            let due = Duration::from_secs_f64(number as f64 / rate);
            if due >= time {
                return latencies;
            }
            sent.set(number + 1);
            tokio::time::sleep_until((started + due).into()).await;
            let request = request(number);
            let began = Instant::now();
            match answer(&mut open, port, request.as_ref(), expected).await {
                Ok(()) => latencies.push(began.elapsed()),
                Err(error) => {
                    failed.set(failed.get() + 1);
                    why.borrow_mut().get_or_insert_with(|| format!("{error:#}"));
                    // What is left of a strange answer must not be taken for the next one.
                    open = None;
                }
            }
        }
    };
    let mut latencies = futures_util::future::join_all((0..connections).map(|_| connection())).await.concat();
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Sustained { load: Load { latencies, elapsed }, failed: failed.get(), why: why.into_inner() }
}

/// Sends a request by a connection, opened where it is not, and holds its answer to what is expected.
async fn answer(open: &mut Option<Connection>, port: u16, request: &[u8], expected: &[u8]) -> anyhow::Result<()> {
    let connection = match open {
        Some(connection) => connection,
        None => open.insert(Connection::open(port).await?),
    };
    expect(connection.exchange(request).await?, expected)
}

fn expect(answer: &[u8], expected: &[u8]) -> anyhow::Result<()> {
    if !answer.starts_with(expected) {
        bail!("unexpected answer: {}", String::from_utf8_lossy(answer).lines().next().context("empty")?);
    }
    Ok(())
}

/// The head of the answer to one request.
pub(crate) async fn once(port: u16, request: &[u8]) -> anyhow::Result<String> {
    let mut connection = Connection::open(port).await?;
    Ok(String::from_utf8_lossy(connection.exchange(request).await?).into_owned())
}

struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Connection {
    async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 8 << 10].into() })
    }

    /// Sends a request and reads its answer, which ends with its head.
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        while !self.buffer[..filled].ends_with(b"\r\n\r\n") {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!("the connection was closed after `{}`", String::from_utf8_lossy(&self.buffer[..filled]));
            }
            filled += read;
        }
        Ok(&self.buffer[..filled])
    }
}
