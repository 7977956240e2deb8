//! Redirects per second and processor time per redirect.
//!
//! Eight workers answer the same request in turns, many rounds each and started anew some times, so that whatever else
//! the machine does meets all of them: (A) a constant redirect; (B) the same and one constant message to the queue; (C)
//! ours, its link in memory, doing the whole job; (D) a worker in plain JavaScript that does the same; (N, E) C and D
//! without their queue; (A', B') A and B that also read of the request what a click needs, which tells how much of the
//! rest is the runtime's. Before it counts, C and D must have given the same answer and the same click.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use shared::{
    KeyRing,
    id::ClickId,
    token::{self, PARAM},
};

use super::{
    link, median,
    runtime::{Runtime, Subject},
};
use crate::{
    bench::load::{self, Until},
    context::Context,
    ui::Step,
};

/// Two processes of one worker differ by some per cent for as long as they live: what the runtime compiles when, and
/// where things come to lie. So each worker is started anew so many times.
const STARTS: usize = 6;
/// Many short ones: a neighbour's burst then spoils a few rounds, which the medians leave out, and the two sides of a
/// ratio are measured within a second or two of each other.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(250);
/// Until the runtime has compiled what is hot.
const WARM_UP: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 32;

const SUBJECTS: [(Subject, &str); 8] = [
    (Subject::Constant, "A  constant redirect"),
    (Subject::Queue, "B  A and one constant queue.send"),
    (Subject::Ours, "C  ours, link in memory"),
    (Subject::Plain, "D  the same in plain JavaScript"),
    (Subject::OursAlone, "N  C without its queue"),
    (Subject::PlainAlone, "E  D without its queue"),
    (Subject::ConstantReading, "A' A that reads the request"),
    (Subject::QueueReading, "B' B that reads the request"),
];

struct Sample {
    rate: f64,
    cpu_micros: f64,
}

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let request = link::request("hot");
    let rounds = STARTS * ROUNDS;
    let step = Step::start(format!("Measuring, {rounds} rounds of {} ms in {STARTS} starts", ROUND.as_millis()));
    let mut samples: [Vec<Sample>; SUBJECTS.len()] = Default::default();
    for _ in 0..STARTS {
        let mut runtimes = Vec::new();
        for (subject, _) in SUBJECTS {
            let runtime = Runtime::start(context, subject).await?;
            load::run(runtime.port(), CONNECTIONS, Until::Time(WARM_UP), link::REDIRECT, |_| &request).await?;
            runtimes.push(runtime);
        }
        ensure!(answer(&runtimes[2]).await? == answer(&runtimes[3]).await?, "C and D don't do the same job");
        for _ in 0..ROUNDS {
            for (runtime, samples) in runtimes.iter().zip(&mut samples) {
                samples.push(sample(runtime, &request).await?);
            }
        }
    }
    step.done("");
    report(&samples);
    Ok(())
}

/// The location without its token, and the click without its id and number; all of them are checked on the way.
async fn answer(runtime: &Runtime) -> anyhow::Result<(String, Value)> {
    let head = load::once(runtime.port(), &link::request("hot")).await?;
    let location = head
        .lines()
        .find_map(|line| line.strip_prefix("Location: ").or(line.strip_prefix("location: ")))
        .context("no location")?;
    let at = location.find(PARAM).context("no token")? + PARAM.len() + 1;
    let ring: KeyRing = link::SECRETS.parse()?;
    let named = token::verify(&ring, link::workspace(), &location[at..at + token::LENGTH])?;

    let mut click: Value = serde_json::from_str(&runtime.last_message().await?)?;
    let id = click.as_object_mut().and_then(|click| click.remove("id")).context("a click without id")?;
    let id: ClickId = serde_json::from_value(id)?;
    ensure!(id == named, "the token names another click");
    let minted = click.as_object_mut().and_then(|click| click.remove("minted")).context("a click without number")?;
    ensure!(minted["isolate"].is_u64() && minted["nth"].is_u64(), "a click without number: {minted}");
    Ok((location.replace(&location[at..at + token::LENGTH], "…"), click))
}

async fn sample(runtime: &Runtime, request: &[u8]) -> anyhow::Result<Sample> {
    let before = runtime.cpu_time()?;
    let load = load::run(runtime.port(), CONNECTIONS, Until::Time(ROUND), link::REDIRECT, |_| request).await?;
    let spent = runtime.cpu_time()?.saturating_sub(before);
    Ok(Sample { rate: load.rate(), cpu_micros: load.share_of(spent).as_secs_f64() * 1e6 })
}

fn report(samples: &[Vec<Sample>]) {
    println!("{:34}{:>10}{:>16}", "", "req/s", "CPU µs/req");
    for ((_, name), samples) in SUBJECTS.iter().zip(samples) {
        let rate = median(samples.iter().map(|sample| sample.rate).collect());
        let cpu = median(samples.iter().map(|sample| sample.cpu_micros).collect());
        println!("{name:34}{rate:>10.0}{cpu:>16.1}");
    }
    // A ratio is taken within each round, so that what slows a round slows both.
    for (name, over, under) in [
        ("C/B", 2, 1),
        ("C/B'", 2, 7),
        ("B'/B", 7, 1),
        ("C/D", 2, 3),
        ("N/A", 4, 0),
        ("N/A'", 4, 6),
        ("A'/A", 6, 0),
        ("N/E", 4, 5),
    ] {
        let pairs = || samples[over].iter().zip(&samples[under]);
        let rate = median(pairs().map(|(over, under)| over.rate / under.rate).collect());
        let cpu = median(pairs().map(|(over, under)| under.cpu_micros / over.cpu_micros).collect());
        println!("{name:5}{rate:.2} by rate, {cpu:.2} by CPU");
    }
}
