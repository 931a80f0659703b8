//! Speed of the model and its kernels: prefill, decoding and verification-sized batches of a whole
//! model in this process, against what the machine can do and, if wanted, against llama.cpp on the
//! same file.

mod memory;
mod peer;
mod plan;
mod report;
mod whole;
mod work;

use std::{sync::Arc, thread, time::Duration};

use tricorn_kernels::{KvFormat, limits::Limits, threads};
use tricorn_model::{KvPool, ModelSource};

use crate::{error::BenchError, run::Observer};
pub use memory::Memory;
pub use peer::{LlamaCpp, PeerInfo, Setting};
pub use plan::SpeedPlan;
use report::Round;
pub use report::{Measured, SpeedReport, SpeedRow};
use whole::WholeModel;

/// What the peer's threads are given to come to rest: they look for work for a while after
/// their last.
const REST: Duration = Duration::from_millis(20);

/// Measures a model, `rounds` times over; in each round every piece of work is done here and
/// then by `peer`. `kv` is the format of the cache here.
///
/// # Errors
/// When the plan does not fit the model, the model does not load or compute, or the peer fails.
pub fn measure(
    source: &Arc<ModelSource>,
    plan: &SpeedPlan,
    kv: KvFormat,
    mut peer: Option<LlamaCpp>,
    observer: &dyn Observer,
) -> Result<SpeedReport, BenchError> {
    let work = plan.work(source.config().context)?;
    let calibrations = if peer.is_some() { Setting::CANDIDATES.len() } else { 0 };
    observer.planned(
        plan.rounds * (1 + work.len() * (1 + usize::from(peer.is_some())))
            + work.len()
            + calibrations,
    );

    observer.measuring("loading the model");
    let pool = KvPool::with_format(usize::MAX, kv);
    let mut whole = WholeModel::load(source, &pool)?;
    for work in &work {
        observer.measuring(&format!("warm-up, {work}"));
        whole.run(*work)?;
        observer.request_done();
    }
    // Before the limits are measured, whose buffer is no part of the model.
    let memory = Memory::now();
    if let Some(peer) = &mut peer {
        peer.calibrate(plan.positions(), observer)?;
    }
    let mut rounds = Vec::with_capacity(plan.rounds);
    for round in 1..=plan.rounds {
        observer.measuring(&format!("round {round}, the machine's limits"));
        let mut figures = Round::new(Limits::measure(threads::count()));
        observer.request_done();
        for &work in &work {
            observer.measuring(&format!("round {round}, {work}"));
            figures.own.push(whole.run(work)?);
            observer.request_done();
            if let Some(peer) = &mut peer {
                observer.measuring(&format!("round {round}, {work}, llama.cpp"));
                figures.peer.push(peer.run(work)?);
                observer.request_done();
                thread::sleep(REST);
            }
        }
        rounds.push(figures);
    }
    Ok(SpeedReport::new(
        source.config(),
        &work,
        &rounds,
        whole.weights(kv),
        memory,
        peer.map(|peer| peer.info()),
    ))
}
