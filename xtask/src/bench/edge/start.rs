//! What the worker adds to the start of the runtime: from the start of the process to the first answer, beside the
//! constant redirect. In it: reading, compiling and starting the module, the first look into the store, the first click.

use std::time::Instant;

use super::{
    link, median,
    runtime::{Runtime, Subject},
};
use crate::{bench::load, context::Context};

const STARTS: usize = 9;

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    let (mut constant, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        constant.push(first_answer(context, Subject::Constant).await?);
        ours.push(first_answer(context, Subject::Ours).await?);
    }
    let (constant, ours) = (median(constant), median(ours));
    println!(
        "first answer after {ours:.1} ms; a constant redirect after {constant:.1} ms: the worker adds {:.1} ms",
        ours - constant
    );
    Ok(())
}

async fn first_answer(context: &Context, subject: Subject) -> anyhow::Result<f64> {
    let prepared = Runtime::prepare(context, subject)?;
    let started = Instant::now();
    let runtime = prepared.start().await?;
    load::once(runtime.port(), &link::request("hot")).await?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
