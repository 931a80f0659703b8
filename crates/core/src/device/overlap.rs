//! How a prompt's upload overlaps with its computing: the size of the next chunk, and how much may be under way.
//!
//! Three things happen to a chunk of `X` rows: the device computes its shallow rows, the link carries them (`X A / beta`, with `A` bytes a
//! row and `beta` bytes a second), and the cloud has it wait (`w`) and computes it in a batch (`g(mu + X)`, spread over a pipeline of `P`
//! stages). They overlap for different chunks; what does not overlap is the way of the first and of the last. HAT (arXiv 2503.18989) makes a
//! chunk's transmission as long as its turn in the cloud, see [`overlap_rows`]. Here the time of the whole remainder is predicted for
//! candidates of `X` by the recurrence of that [`Pipeline`], behind what is under way, and the best is taken, again for every chunk. On a long
//! prompt over a link slower than the cloud both agree: there the optimum is flat, since whatever keeps the cloud ahead of the link is bound
//! by the link alone, and of what is about as good the nearest to the condition is taken. Where the condition does not hold, because the
//! cloud is slower than the link at any size, or at the ends, where nothing hides the first chunk's time on the device and the last one's in the
//! cloud, the prediction goes its own way; and it follows conditions as they change.

use super::pipeline::Pipeline;
use crate::monitor::Conditions;

/// A chunk while link or cloud are not known yet.
const UNKNOWN: usize = 64;
/// Chunks under way while link or cloud are not known yet.
const UNKNOWN_IN_FLIGHT: usize = 4;
/// The smallest chunk considered, unless less is left.
const LEAST: usize = 4;
/// Sizes considered between the smallest and the largest.
const CANDIDATES: i32 = 20;
/// Seconds that a chunk takes on the link at most, unless the overlap condition asks for more. Chunks that wait run together in the cloud, so
/// that smaller ones cost it little.
const LONGEST_SEND: f64 = 0.03;
/// Predictions that differ by less than this share of a chunk's time on the link are about the same.
const ABOUT: f64 = 0.1;
/// The overlap condition counts as met by a chunk whose time on the link is at least this share of its turn in the cloud.
const MET: f64 = 0.8;
/// Chunks that a prediction looks ahead at most; it bounds its cost.
const MOST_CHUNKS: usize = 128;
/// What is under way at most, over what link and cloud hold at the time: a link that gets faster must not run dry before that is measured.
const SLACK: f64 = 4.0;

/// HAT's overlap condition: the `X` in `1..=most` whose transmission takes about as long as its turn in the cloud,
/// `argmin |X A / beta - (w + g(mu + X) / P)|`; the smallest of several. `None` where link or cloud are not known.
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

/// Rows of the next chunk when `left` are to be sent behind what is under way in `pipeline`, and the cloud takes at most `most` at a time: at
/// least 1. Never one that is predicted to be slower than [`overlap_rows`], held to the sizes considered, but for what counts as about the same.
/// Nor one that keeps the link for long, unless the condition asks for it: what is handed over can no longer follow a link that changes.
#[must_use]
pub fn best_rows(left: usize, most: usize, pipeline: Option<Pipeline<'_>>, conditions: &Conditions) -> usize {
    let most = left.min(most).max(1);
    // What lies beyond so many chunks of the largest size has no bearing on the next one.
    let left = left.min(most.saturating_mul(MOST_CHUNKS));
    let least = LEAST.max(left.div_ceil(MOST_CHUNKS)).min(most);
    if least == most {
        return most;
    }
    let Some((pipeline, condition)) = pipeline.zip(overlap_rows(conditions, most)) else { return UNKNOWN.min(most) };
    let condition = condition.max(least);
    let brief = |rows: &usize| conditions.send_seconds(*rows).is_some_and(|seconds| seconds <= LONGEST_SEND);
    let ratio = (most as f64 / least as f64).powf(1.0 / f64::from(CANDIDATES));
    let geometric = (0..=CANDIDATES).map(|power| (least as f64 * ratio.powi(power)).round() as usize);
    let mut sizes: Vec<usize> = geometric.filter(brief).chain([condition]).map(|rows| rows.clamp(least, most)).collect();
    sizes.dedup();
    let longest = sizes.iter().copied().max().unwrap_or(most);
    let even: Vec<(usize, f64)> = sizes.iter().map(|&rows| (rows, pipeline.computed_after(left, rows, rows))).collect();
    let rest = even.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(condition, |&(rows, _)| rows);
    // Nothing hides what the first chunk takes the device, nor what the last takes the cloud: the next one may do better with another size
    // than those behind it, or with all the rest behind it in one.
    let next = even.iter().map(|&(rows, seconds)| {
        let others = [rest, (left - rows).clamp(1, longest)].map(|rest| pipeline.computed_after(left, rows, rest));
        (rows, others.into_iter().fold(seconds, f64::min))
    });
    let next: Vec<(usize, f64)> = next.collect();
    let best = next.iter().map(|&(_, seconds)| seconds).fold(f64::INFINITY, f64::min);
    let enough = best + conditions.send_seconds(condition).unwrap_or_default() * ABOUT;
    let about_as_good =
        |all: &[(usize, f64)]| all.iter().filter(|(_, seconds)| *seconds <= enough).map(|&(rows, _)| rows).collect::<Vec<_>>();
    // Where the cloud is slower at any size the condition says nothing, and fewer chunks are less work.
    let aim = if is_met(condition, conditions) { condition } else { longest };
    let steady = about_as_good(&even).into_iter().min_by_key(|&rows| rows.abs_diff(aim));
    steady.or_else(|| about_as_good(&next).into_iter().max()).unwrap_or(condition)
}

/// Whether a chunk of `rows` rows takes the link about as long as the cloud, or longer.
fn is_met(rows: usize, conditions: &Conditions) -> bool {
    let turn = turn_seconds(rows, conditions);
    conditions.send_seconds(rows).zip(turn).is_some_and(|(send, turn)| send >= turn * MET)
}

/// A chunk's turn in the cloud: `w + g(mu + rows) / P`.
fn turn_seconds(rows: usize, conditions: &Conditions) -> Option<f64> {
    let pace = conditions.pace.as_ref()?;
    Some(pace.prompt_wait.as_secs_f64() + conditions.batch_seconds(rows)? / pace.stages.max(1) as f64)
}

/// Rows that may be under way when the next chunk has `chunk`: what link and cloud hold at a time with some slack, and two chunks. More
/// would only wait below the application, sized by what was known when it was sent.
#[must_use]
pub fn window_rows(chunk: usize, conditions: &Conditions) -> usize {
    let held = || {
        let wait = conditions.pace.as_ref()?.prompt_wait + conditions.rtt.unwrap_or_default();
        let seconds = wait.as_secs_f64() + conditions.batch_seconds(chunk)?;
        Some((seconds * conditions.uplink_rate()? * SLACK / conditions.row_bytes.max(1) as f64).ceil() as usize)
    };
    held().map_or(UNKNOWN_IN_FLIGHT.saturating_mul(chunk), |held| held.saturating_add(2 * chunk))
}

#[cfg(test)]
#[path = "overlap/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
