//! Memory of the runtime while a million requests visit 100,000 links, ten times what an isolate keeps. All of it counts:
//! the worker, the store beside it, and the runtime itself.

use super::{
    link,
    runtime::{Runtime, Subject},
};
use crate::{
    bench::load::{self, Until},
    context::Context,
};

const LINKS: u64 = 100_000;
const TENTHS: u64 = 10;
const CONNECTIONS: usize = 16;

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let runtime = Runtime::start(context, Subject::OursAlone).await?;
    println!("{:>12}{:>14}", "requests", "resident MB");
    println!("{:>12}{:>14.1}", 0, runtime.resident_megabytes()?);
    for tenth in 1..=TENTHS {
        // A step that shares no factor with the number of links visits each once, in no order that a cache likes.
        let slug = |n: u64| format!("m{}", n.wrapping_mul(61_803) % LINKS);
        load::run(runtime.port(), CONNECTIONS, Until::Count(LINKS), link::REDIRECT, |n| link::request(&slug(n)))
            .await?;
        println!("{:>12}{:>14.1}", tenth * LINKS, runtime.resident_megabytes()?);
    }
    Ok(())
}
