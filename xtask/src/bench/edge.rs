//! Redirects per second of the built worker on plain `workerd serve`, beside the ceilings of the runtime.
//!
//! Three workers answer the same request in turns, several rounds each, so that whatever else the machine does
//! meets all of them: (A) a constant redirect; (B) the same and one constant message to the queue; (C) ours, its
//! link in memory, doing the whole job. The queue behind B and C forgets what it gets. The ratios are worth more
//! than the rates: those depend on the machine, and the load generator runs on it too.

mod runtime;

use std::{fs, time::Duration};

use flate2::{Compression, write::GzEncoder};
use shared::{
    KeyRing, Millis,
    click::Named,
    destination::{CustomQuery, Destination, Utm},
    id::{self, Id},
    record::{Assigned, ClickTokenMode, LinkRecord, LinkStatus, Target, TargetRules, Versioned},
    redirect::{self, Decision, Visit},
    token::TokenKey,
};

use self::runtime::{Runtime, Subject};
use super::load;
use crate::{context::Context, node::Tools, ui::Step, worker};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
/// Until the runtime has compiled what is hot.
const WARM_UP: Duration = Duration::from_secs(3);

const AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const REFERRER: &str = "https://www.example.org/articles/42?page=2";
const HOST: &str = "go.example.com";

/// Runs the measurement and prints its figures.
pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let tools = Tools::ensure(context).await?;
    worker::build(context, &tools).await?;

    let link = link()?;
    let record = serde_json::to_string(&Versioned { version: 7, record: Some(link.clone()) })?;
    let click = click(&link)?;
    let mut runtimes = Vec::new();
    for subject in [Subject::Constant, Subject::Queue, Subject::Ours] {
        runtimes.push(Runtime::start(context, subject, &record, &click).await?);
    }

    let request = format!(
        "GET /hot HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: {AGENT}\r\nreferer: {REFERRER}\r\naccept: text/html\r\n\r\n"
    );
    let mut samples = vec![Vec::new(); runtimes.len()];
    let step = Step::start(format!("Measuring, {ROUNDS} rounds of {} s each", ROUND.as_secs()));
    for runtime in &runtimes {
        load::run(runtime.port(), request.as_bytes(), b"HTTP/1.1 302 ", WARM_UP).await?;
    }
    for _ in 0..ROUNDS {
        for (runtime, samples) in runtimes.iter().zip(&mut samples) {
            samples.push(sample(runtime, request.as_bytes()).await?);
        }
    }
    step.done("");
    let figures: Vec<_> = samples.iter().map(|samples| Figures::median_of(samples)).collect();
    report(context, &figures)
}

#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    cpu_micros: f64,
}

impl Figures {
    fn median_of(samples: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<_> = samples.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self { rate: median(|sample| sample.rate), cpu_micros: median(|sample| sample.cpu_micros) }
    }
}

async fn sample(runtime: &Runtime, request: &[u8]) -> anyhow::Result<Figures> {
    let before = runtime.cpu_time()?;
    let load = load::run(runtime.port(), request, b"HTTP/1.1 302 ", ROUND).await?;
    let spent = runtime.cpu_time()?.saturating_sub(before);
    Ok(Figures { rate: load.rate(), cpu_micros: load.share_of(spent).as_secs_f64() * 1e6 })
}

fn report(context: &Context, figures: &[Figures]) -> anyhow::Result<()> {
    let [a, b, c] = figures else { anyhow::bail!("three workers were measured, {} answered", figures.len()) };
    println!("{:34}{:>10}{:>16}", "", "req/s", "CPU µs/req");
    for (name, figures) in
        [("A  constant redirect", a), ("B  A and one constant queue.send", b), ("C  ours, link in memory", c)]
    {
        println!("{name:34}{:>10.0}{:>16.1}", figures.rate, figures.cpu_micros);
    }
    println!(
        "C/B {:.2}   C/A {:.2}   (CPU: B/C {:.2}, A/C {:.2})",
        c.rate / b.rate,
        c.rate / a.rate,
        b.cpu_micros / c.cpu_micros,
        a.cpu_micros / c.cpu_micros
    );

    let module = fs::read(context.path("edge-worker/build/worker.wasm"))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut gzip, &module)?;
    println!("worker.wasm {} bytes, {} gzipped", module.len(), gzip.finish()?.len());
    Ok(())
}

/// An ordinary link: assigned, tracked, with a query.
fn link() -> anyhow::Result<LinkRecord> {
    let utm = Utm { source: Some("nomura".into()), medium: Some("partner".into()), ..Utm::default() };
    let rules = TargetRules {
        conversion_tracking: true,
        click_token: ClickTokenMode::Auto,
        utm: &utm,
        custom_query: &CustomQuery::new(),
    };
    let destination =
        Destination::parse("https://acme.com/pricing?plan=team").map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let target = Target::prepare(&destination, rules);
    Ok(LinkRecord {
        link: mint(1),
        workspace: mint(2),
        status: LinkStatus::Active,
        target,
        variants: vec![],
        experiment: None,
        forward_query: false,
        expires_at: None,
        expired_url: None,
        assignment: Some(Assigned {
            id: mint(3),
            partner: Some(Named { id: mint(4), key: "nomura".into(), name: "Nomura Securities".into() }),
            program: Some(Named { id: mint(5), key: "affiliates".into(), name: "Affiliates".into() }),
        }),
        utm,
    })
}

fn mint<K: id::Kind>(seed: u8) -> Id<K> {
    Id::mint(Millis(1_790_000_000_000), [seed; 10])
}

/// The message that B sends: what C would send for the same visit.
fn click(link: &LinkRecord) -> anyhow::Result<String> {
    let ring: KeyRing = runtime::SECRETS.parse()?;
    let key = TokenKey::signing(&ring, link.workspace);
    let visit = Visit { host: HOST, slug: "hot", agent: AGENT, referrer: REFERRER, ..Visit::default() };
    match redirect::decide((link, 7), &visit, Millis(1_790_000_000_000), [7; 10], &key) {
        Decision::Redirect { click, .. } => Ok(serde_json::to_string(&click)?),
        Decision::Unavailable(why) => anyhow::bail!("the link of the measurement does not redirect: {why:?}"),
    }
}
