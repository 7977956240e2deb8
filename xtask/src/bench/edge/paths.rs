//! Latency where memory can't answer. Each request is for another slug, which the store knows (the KV path), or only the
//! centre does (the fill path). Both answer at once, so what shows is what the worker adds to their own latency.

use std::time::Duration;

use super::{
    link,
    runtime::{Runtime, Subject},
};
use crate::{
    bench::load::{self, Load, Until},
    context::Context,
};

const CONNECTIONS: usize = 4;
const REQUESTS: u64 = 3_000;

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let constant = Runtime::start(context, Subject::Queue).await?;
    let ours = Runtime::start(context, Subject::Ours).await?;
    println!("{:34}{:>10}{:>10}   ({CONNECTIONS} connections)", "latency", "p50 µs", "p99 µs");
    for (name, runtime, prefix) in [
        ("B  constant redirect and message", &constant, "b"),
        ("C  link in memory", &ours, "hot"),
        ("C  link in KV", &ours, "kv"),
        ("C  link at the centre", &ours, "fill"),
    ] {
        let mut load = Load::default();
        // The first round compiles.
        for round in ["a", "b"] {
            let slug = |n: u64| if prefix == "hot" { "hot".to_owned() } else { format!("{prefix}-{round}-{n}") };
            load = load::run(runtime.port(), CONNECTIONS, Until::Count(REQUESTS), link::REDIRECT, |n| {
                link::request(&slug(n))
            })
            .await?;
        }
        println!("{name:34}{:>10}{:>10}", micros(load.quantile(0.5)), micros(load.quantile(0.99)));
    }
    Ok(())
}

fn micros(time: Duration) -> u128 {
    time.as_micros()
}
