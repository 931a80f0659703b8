//! Overlap of a prompt's upload with its computing: the size of the next chunk, and how much may
//! be under way.
//!
//! Three things happen to a chunk of `X` rows: the device computes its shallow rows, the link
//! carries them (`X A / beta`, with `A` bytes a row and `beta` bytes a second), and the cloud has
//! it wait (`w`) and computes it in a batch (`g(mu + X)`, spread over a pipeline of `P` stages).
//! They overlap for different chunks; what does not overlap is the way of the first and of the
//! last. HAT (arXiv 2503.18989) makes a chunk's transmission as long as its turn in the cloud, see
//! [`overlap_rows`]. Here the time of the whole remainder is predicted for candidates of `X` by the
//! recurrence of that [`Pipeline`], behind what is under way, and the best is taken, again for
//! every chunk. On a long prompt over a link slower than the cloud both agree: there the optimum is
//! flat, since whatever keeps the cloud ahead of the link is bound by the link alone, and of what
//! is about as good the nearest to the condition is taken. Where the condition does not hold,
//! because the cloud is slower than the link at any size, or at the ends, where nothing hides the
//! first chunk's time on the device and the last one's in the cloud, the prediction goes its own
//! way; and it follows conditions as they change.

use super::{forecast::Forecast, pipeline::Pipeline};
use crate::monitor::Conditions;

/// A chunk while link or cloud are not known yet.
const UNKNOWN: usize = 64;
/// Chunks under way while link or cloud are not known yet.
const UNKNOWN_IN_FLIGHT: usize = 4;
/// The smallest chunk considered, unless less is left.
const LEAST: usize = 4;
/// Sizes considered between the smallest and the largest.
const CANDIDATES: i32 = 20;
/// Seconds that a chunk takes on the link at most, unless that costs too much. Chunks that wait run
/// together in the cloud, so that smaller ones cost it little; and where link and cloud are about
/// as fast the overlap condition has no bound.
const LONGEST_SEND: f64 = 0.02;
/// Longer chunks are considered where the remainder is predicted to be done within this share of
/// the time that brief ones need.
const WORTH: f64 = 0.95;
/// Predictions that differ by less than this share of a chunk's time on the link are about the
/// same.
const ABOUT: f64 = 0.1;
/// The overlap condition counts as met by a chunk whose time on the link is at least this share of
/// its turn in the cloud.
const MET: f64 = 0.8;
/// Chunks that a prediction looks ahead at most; it bounds its cost.
const MOST_CHUNKS: usize = 128;
/// What is under way at most, over what link and cloud hold at the time: a link that gets faster
/// must not run dry before that is measured.
const SLACK: f64 = 4.0;
/// Seconds that they are taken to hold at the least. A device that waits does not compute what a
/// link that was slow for a moment then lacks.
const LEAST_HELD: f64 = 0.25;

/// HAT's overlap condition: the `X` in `1..=most` whose transmission takes about as long as its
/// turn in the cloud, `argmin |X A / beta - (w + g(mu + X) / P)|`; the smallest of several. `None`
/// where link or cloud are not known.
#[must_use]
pub fn overlap_rows(conditions: &Conditions, most: usize) -> Option<usize> {
    let mut best = None;
    for rows in 1..=most {
        let gap = (conditions.send_seconds(rows)? - turn_seconds(rows, conditions)?).abs();
        if best.is_none_or(|(least, _)| gap < least) {
            best = Some((gap, rows));
        }
    }
    best.map(|(_, rows)| rows)
}

/// Rows of the next chunk when `left` are to be sent behind what is under way in `pipeline`, and
/// the cloud takes at most `most` at a time: at least 1. Not one that keeps the link for long,
/// since what is handed over cannot follow a link that changes; but never one that is predicted to
/// be slower by a twentieth than another, [`overlap_rows`] among them, and what counts as about the
/// same.
#[must_use]
pub fn best_rows(
    left: usize,
    most: usize,
    pipeline: Option<Pipeline<'_>>,
    conditions: &Conditions,
) -> usize {
    let most = left.min(most).max(1);
    // What lies beyond so many chunks of the largest size has no bearing on the next one.
    let left = left.min(most.saturating_mul(MOST_CHUNKS));
    let least = LEAST.max(left.div_ceil(MOST_CHUNKS)).min(most);
    if least == most {
        return most;
    }
    let Some((pipeline, condition)) = pipeline.zip(overlap_rows(conditions, most)) else {
        return UNKNOWN.min(most);
    };
    let condition = condition.max(least);
    let brief = |rows: usize| {
        rows == least
            || conditions.send_seconds(rows).is_some_and(|seconds| seconds <= LONGEST_SEND)
    };
    let ratio = (most as f64 / least as f64).powf(1.0 / f64::from(CANDIDATES));
    let geometric =
        (0..=CANDIDATES).map(|power| (least as f64 * ratio.powi(power)).round() as usize);
    let mut sizes: Vec<usize> =
        geometric.chain([condition]).map(|rows| rows.clamp(least, most)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let short = sizes.partition_point(|&rows| brief(rows));
    let forecast = |sizes: &[usize]| Forecast::new(left, sizes, &pipeline);
    let brief = forecast(&sizes[..short]);
    let longer =
        (short < sizes.len()).then(|| forecast(&sizes)).filter(|all| all.best < brief.best * WORTH);
    // Where the cloud is slower at any size the condition says nothing, and fewer chunks are less
    // work.
    let aim = if is_met(condition, conditions) { condition } else { most };
    let about = conditions.send_seconds(condition).unwrap_or_default().min(LONGEST_SEND) * ABOUT;
    longer.unwrap_or(brief).nearest(aim, about).unwrap_or(condition)
}

/// Whether a chunk of `rows` rows takes the link about as long as the cloud, or longer.
fn is_met(rows: usize, conditions: &Conditions) -> bool {
    let turn = turn_seconds(rows, conditions);
    conditions.send_seconds(rows).zip(turn).is_some_and(|(send, turn)| send >= turn * MET)
}

/// A chunk's turn in the cloud: `w + g(mu + rows) / P`.
fn turn_seconds(rows: usize, conditions: &Conditions) -> Option<f64> {
    let throughput = conditions.throughput.as_ref()?;
    Some(
        throughput.prompt_wait.as_secs_f64()
            + conditions.batch_seconds(rows)? / throughput.stages.max(1) as f64,
    )
}

/// Rows that may be under way when the next chunk has `chunk`: what link and cloud hold at a time
/// with some slack, and two chunks. More would only wait below the application, sized by what was
/// known when it was sent.
#[must_use]
pub fn window_rows(chunk: usize, conditions: &Conditions) -> usize {
    let held = || {
        let wait = conditions.throughput.as_ref()?.prompt_wait + conditions.rtt.unwrap_or_default();
        let seconds = (wait.as_secs_f64() + conditions.batch_seconds(chunk)?).max(LEAST_HELD);
        Some(
            (seconds * conditions.uplink_rate()? * SLACK / conditions.row_bytes.max(1) as f64)
                .ceil() as usize,
        )
    };
    held().map_or(UNKNOWN_IN_FLIGHT.saturating_mul(chunk), |held| held.saturating_add(2 * chunk))
}

#[cfg(test)]
#[path = "overlap/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
