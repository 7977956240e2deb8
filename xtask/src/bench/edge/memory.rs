//! Memory while a million requests visit 100,000 links, ten times what an isolate keeps: the heap that the worker's
//! isolate has in use, and what the whole process holds, the store beside it and the runtime among that.

use super::{
    inspect::Inspector,
    link,
    runtime::{Runtime, Subject},
};
use crate::{
    bench::load::{self, Until},
    context::Context,
    node::Tools,
};

const LINKS: u64 = 100_000;
const TENTHS: u64 = 10;
const CONNECTIONS: usize = 16;

pub(super) async fn run(context: &Context, tools: &Tools) -> anyhow::Result<()> {
    let prepared = Runtime::prepare(context, Subject::OursAlone)?.with_inspector()?;
    let inspector = Inspector::of(context, tools, &prepared);
    let runtime = prepared.start().await?;
    println!("{:>12}{:>14}{:>14}", "requests", "heap MB", "resident MB");
    for tenth in 0..=TENTHS {
        if tenth > 0 {
            // A step that shares no factor with the number of links visits each once, in no order that a cache likes.
            let slug = |n: u64| format!("m{}", n.wrapping_mul(61_803) % LINKS);
            load::run(runtime.port(), CONNECTIONS, Until::Count(LINKS), link::REDIRECT, |n| link::request(&slug(n)))
                .await?;
        }
        let heap = inspector.heap().await?;
        println!("{:>12}{heap:>14.1}{:>14.1}", tenth * LINKS, runtime.resident_megabytes()?);
    }
    Ok(())
}
