//! Several instances on one database, of which one is killed every few seconds while clicks come in: every click that was
//! sent is stored once, and the rollups are right.
//!
//! A test more than a measurement, but it needs what is measured, and minutes.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use futures_util::future::try_join_all;

use super::{
    centre::{Centre, Instance},
    figures::{rate, say},
    ingest::{self, folded},
    post::Connection,
    traffic::Traffic,
};
use crate::context::Context;

/// How much of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// Instances
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// Seconds of load
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Seconds from one kill to the next
    #[arg(long, default_value_t = 5)]
    every: u64,
    /// Connections that send at once
    #[arg(long, default_value_t = 6)]
    senders: usize,
    /// Clicks offered by the second
    #[arg(long, default_value_t = 5_000)]
    rate: usize,
}

/// Clicks in one batch: small enough that every kill hits some under way.
const BATCH: usize = 200;

/// Runs, and fails unless every click is stored once and counted once.
pub(crate) async fn run(context: &Context, extent: &Extent) -> anyhow::Result<()> {
    ensure!(extent.instances > 1, "one of the instances must be left");
    let centre = Centre::empty(context).await?;
    let first = centre.instance("1", &[]).await?;
    let tenant = centre.tenant(&first).await?;
    let mut running = vec![Some(first)];
    for n in 1..extent.instances {
        running.push(Some(centre.instance(&(n + 1).to_string(), &[]).await?));
    }
    let sql = centre.sql().await?;
    let ring = centre.edge_secrets()?;
    let mut traffic = Traffic::of(&sql, tenant.workspace).await?;
    let ports = RefCell::new(running.iter().flatten().map(|instance| instance.port).collect::<Vec<_>>());
    let queue = RefCell::new(VecDeque::new());
    let (over, sent, repeated) = (Cell::new(false), Cell::new(0_u64), Cell::new(0_u64));

    // Puts batches into the queue, as many by the second as were asked for.
    let began = Instant::now();
    let offer = async {
        let mut offered = 0;
        while began.elapsed() < Duration::from_secs(extent.seconds) {
            let due = usize::try_from(began.elapsed().as_millis())? * extent.rate / 1_000;
            while offered < due {
                queue.borrow_mut().extend(traffic.clicks(BATCH, extent.rate).batches(BATCH));
                offered += BATCH;
            }
            // Senders that don't keep up must not make the queue grow without end.
            while queue.borrow().len() > 1_000 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        over.set(true);
        anyhow::Ok(())
    };
    // Each sends a batch to one instance after another until one takes it, as the edge's queue does.
    let send = |n: usize| {
        let (ports, queue, over, sent, repeated, ring) = (&ports, &queue, &over, &sent, &repeated, &ring);
        async move {
            let mut turn = n;
            let mut connection: Option<Connection> = None;
            loop {
                let next = queue.borrow_mut().pop_front();
                let Some((body, many)) = next else {
                    if over.get() {
                        return anyhow::Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                let gives_up = Instant::now() + Duration::from_secs(60);
                loop {
                    match attempt(&mut connection, ports, turn, &ingest::signed(&body, ring)).await {
                        Ok(200) => break,
                        Ok(429 | 503) | Err(_) => {}
                        Ok(status) => bail!("a batch was answered {status}"),
                    }
                    ensure!(Instant::now() < gives_up, "no instance takes a batch");
                    repeated.set(repeated.get() + 1);
                    connection = None;
                    turn += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                sent.set(sent.get() + many);
            }
        }
    };
    // Kills one after the other, and starts it again.
    let killed = Cell::new(0_usize);
    let kill = async {
        let mut next = began + Duration::from_secs(extent.every);
        while !over.get() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if Instant::now() < next {
                continue;
            }
            next += Duration::from_secs(extent.every);
            let slot = killed.get() % running.len();
            if let Some(instance) = running[slot].take() {
                instance.crash().await?;
                killed.set(killed.get() + 1);
            }
            let instance: Instance = centre.instance(&(slot + 1).to_string(), &[]).await?;
            ports.borrow_mut()[slot] = instance.port;
            running[slot] = Some(instance);
        }
        anyhow::Ok(())
    };
    let sending = try_join_all((0..extent.senders).map(send));
    tokio::try_join!(offer, sending, kill)?;
    let elapsed = began.elapsed();
    folded(&sql).await?;

    let stored: i64 = sql.query_one("select count(*) from clicks", &[]).await?.get(0);
    let counted = "select coalesce(sum(human_link + human_qr + bot_link + bot_qr), 0)::bigint from click_rollups
        where dimension = 'all' and grain = 'day'";
    let counted: i64 = sql.query_one(counted, &[]).await?.get(0);
    say("instances killed", killed.get(), &format!("one of {} every {} s", extent.instances, extent.every));
    say("clicks sent", sent.get(), &format!("{:.0}/s", rate(sent.get(), elapsed)));
    say("batches sent again", repeated.get(), "");
    say("clicks stored", stored, "as many as were sent");
    say("clicks in the rollups", counted, "likewise");
    ensure!(u64::try_from(stored)? == sent.get(), "clicks were lost or doubled");
    centre.run(&["rollups", "verify"]).await?;
    say("rollups verify", "clean", "");
    Ok(())
}

/// Sends a batch over the open connection, or over a new one to the instance whose turn it is.
async fn attempt(
    connection: &mut Option<Connection>,
    ports: &RefCell<Vec<u16>>,
    turn: usize,
    request: &[u8],
) -> anyhow::Result<u16> {
    let open = match connection.take() {
        Some(open) => open,
        None => {
            let port = {
                let ports = ports.borrow();
                ports[turn % ports.len()]
            };
            Connection::open(port).await?
        }
    };
    let open = connection.insert(open);
    let (status, _) = tokio::time::timeout(Duration::from_secs(30), open.exchange(request)).await??;
    Ok(status)
}
