//! A load generator: so many connections, each with one request under way at any time.
//!
//! It speaks just enough HTTP/1.1 to send one request again and again and to see that each answer is the one
//! expected. What it costs itself comes off the same machine, equally for everything it measures.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// Connections held open at once.
const CONNECTIONS: usize = 32;

/// What a run has seen.
pub(crate) struct Load {
    /// Answers received.
    answers: u64,
    /// From the first request to the last answer.
    elapsed: Duration,
}

impl Load {
    /// Answers per second.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// What of a total falls to each answer.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn share_of(&self, total: Duration) -> Duration {
        total.div_f64(self.answers.max(1) as f64)
    }
}

/// Sends `request` to a port on loopback for `time`. Every answer must start with `expected` and have no body.
pub(crate) async fn run(port: u16, request: &[u8], expected: &[u8], time: Duration) -> anyhow::Result<Load> {
    let started = Instant::now();
    let deadline = started + time;
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(connection(port, request.into(), expected.into(), deadline));
    }
    let mut answers = 0;
    while let Some(seen) = connections.join_next().await {
        answers += seen??;
    }
    Ok(Load { answers, elapsed: started.elapsed() })
}

async fn connection(port: u16, request: Box<[u8]>, expected: Box<[u8]>, deadline: Instant) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.set_nodelay(true)?;
    let mut buffer = [0_u8; 8 << 10];
    let mut answers = 0;
    while Instant::now() < deadline {
        stream.write_all(&request).await?;
        let mut filled = 0;
        // Without a body an answer ends with its head.
        while !buffer[..filled].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                bail!("the connection was closed after `{}`", String::from_utf8_lossy(&buffer[..filled]));
            }
            filled += read;
        }
        if !buffer[..filled].starts_with(&expected) {
            let answer = String::from_utf8_lossy(&buffer[..filled]);
            bail!("unexpected answer: {}", answer.lines().next().context("empty")?);
        }
        answers += 1;
    }
    Ok(answers)
}
