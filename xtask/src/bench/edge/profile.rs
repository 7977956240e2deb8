//! Where a redirect spends its time: the runtime's own sampling profiler, read through its inspector.

use std::time::Duration;

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

const CONNECTIONS: usize = 32;
const TIME: Duration = Duration::from_secs(6);

pub(super) async fn run(context: &Context, tools: &Tools) -> anyhow::Result<()> {
    for subject in [Subject::Constant, Subject::Queue, Subject::Ours, Subject::OursAlone, Subject::PlainAlone] {
        let prepared = Runtime::prepare(context, subject)?.with_inspector()?;
        let inspector = Inspector::of(context, tools, &prepared);
        let runtime = prepared.start().await?;
        let request = link::request("hot");
        load::run(runtime.port(), CONNECTIONS, Until::Time(TIME / 3), link::REDIRECT, |_| &request).await?;

        let load = load::run(runtime.port(), CONNECTIONS, Until::Time(TIME), link::REDIRECT, |_| &request);
        let (load, figures) = tokio::try_join!(load, inspector.profile((TIME / 2).as_millis()))?;
        println!("{subject:?}, {:.0} req/s under the profiler\n{figures}", load.rate());
    }
    Ok(())
}
