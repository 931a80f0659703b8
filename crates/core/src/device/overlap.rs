//! How a prompt's upload overlaps with its computing: the size of the next chunk, and how much may be under way.
//!
//! Three things happen to a chunk of `X` rows: the device computes its shallow rows, the link carries them (`X A / beta`, with `A` bytes a
//! row and `beta` bytes a second), and the cloud has it wait (`w`) and computes it in a batch (`g(mu + X)`, spread over a pipeline of `P`
//! stages). They overlap for different chunks; what does not overlap is the way of the first and of the last. HAT (arXiv 2503.18989) makes a
//! chunk's transmission as long as its turn in the cloud, see [`overlap_rows`]. Here the time of the whole remainder is predicted for
//! candidates of `X` by the recurrence of that pipeline, see [`completion_seconds`], and the best is taken, again for every chunk. On a long
//! prompt over a link slower than the cloud both agree: there the optimum is flat, since whatever keeps the cloud ahead of the link is bound
//! by the link alone, and of what is about as good the nearest to the condition is taken. Where the condition does not hold, because the
//! cloud is slower than the link at any size, or towards the end, where nothing hides the last chunk's computing, the prediction goes its own
//! way; and it follows conditions as they change.

use crate::monitor::Conditions;

/// A chunk while link or cloud are not known yet.
const UNKNOWN: usize = 64;
/// Chunks under way while link or cloud are not known yet.
const UNKNOWN_IN_FLIGHT: usize = 4;
/// The smallest chunk considered, unless less is left.
const LEAST: usize = 8;
/// Sizes considered between the smallest and the largest.
const CANDIDATES: i32 = 20;
/// Seconds that a chunk takes on the link at most, unless the overlap condition asks for more. Chunks that wait run together in the cloud, so
/// that smaller ones cost it little.
const LONGEST_SEND: f64 = 0.03;
/// Predictions within this factor are about the same.
const ABOUT: f64 = 1.01;
/// Chunks that a prediction looks ahead at most; it bounds its cost.
const MOST_CHUNKS: usize = 128;
/// Stages that a prediction tells apart at most.
const MOST_STAGES: usize = 16;
/// What is under way at most, over what link and cloud hold at the time: a link that gets faster must not run dry before that is measured.
const SLACK: f64 = 4.0;

/// HAT's overlap condition: the `X` in `1..=most` whose transmission takes about as long as its turn in the cloud,
/// `argmin |X A / beta - (w + g(mu + X) / P)|`; the smallest of several. `None` where link or cloud are not known.
#[must_use]
pub fn overlap_rows(conditions: &Conditions, most: usize) -> Option<usize> {
    let Known { wait, stages, .. } = Known::of(conditions)?;
    let mut best = None;
    for rows in 1..=most {
        let turn = wait + conditions.batch_seconds(rows)? / stages as f64;
        let gap = (conditions.send_seconds(rows)? - turn).abs();
        if best.is_none_or(|(least, _)| gap < least) {
            best = Some((gap, rows));
        }
    }
    best.map(|(_, rows)| rows)
}

/// Seconds until the cloud has computed `left` rows that go up in chunks of `chunk` rows (the last may be smaller), when the link is busy for
/// `busy` seconds with what was sent before. `None` where link or cloud are not known.
///
/// For chunk `i` of `x_i` rows, with the end of each step in terms of the steps before:
/// `device_i = device_{i-1} + shallow(x_i)`, `link_i = max(device_i, link_{i-1}) + x_i A / beta`,
/// `stage_{i,1} = max(link_i, stage_{i-1,1}) + w + g(mu + x_i) / P`, `stage_{i,k} = max(stage_{i,k-1}, stage_{i-1,k}) + g(mu + x_i) / P`.
#[must_use]
pub fn completion_seconds(left: usize, chunk: usize, busy: f64, conditions: &Conditions) -> Option<f64> {
    let Known { wait, stages, .. } = Known::of(conditions)?;
    let chunk = chunk.max(1);
    let first = Step::of(chunk.min(left), conditions)?;
    let (mut device, mut link, mut ends) = (0.0_f64, busy, [0.0_f64; MOST_STAGES]);
    let mut advance = |step: Step| {
        device += step.shallow;
        link = device.max(link) + step.send;
        let mut before = link;
        for (stage, end) in ends.iter_mut().take(stages).enumerate() {
            *end = before.max(*end) + if stage == 0 { wait } else { 0.0 } + step.batch / stages as f64;
            before = *end;
        }
        before
    };
    let mut end = 0.0;
    for _ in 0..left / chunk {
        end = advance(first);
    }
    let rest = left % chunk;
    if rest > 0 {
        end = advance(Step::of(rest, conditions)?);
    }
    Some(end)
}

/// Seconds until the link has sent what is under way, when chunks of `chunk` rows came before: `in_flight` rows were sent and not answered,
/// but as many as one chunk's time on the way and in the cloud lets pass are no longer on the link.
fn busy_seconds(in_flight: usize, chunk: usize, conditions: &Conditions) -> Option<f64> {
    let Known { wait, rtt, .. } = Known::of(conditions)?;
    let sent = in_flight as f64 * conditions.row_bytes as f64 / conditions.uplink_rate()?;
    Some((sent - rtt - wait - conditions.batch_seconds(chunk)?).max(0.0))
}

/// Rows of the next chunk when `left` are to be sent, the cloud takes at most `most` at a time, and `in_flight` are under way: at least 1.
/// Never one that is predicted to be slower than [`overlap_rows`], held to the sizes considered. Nor one that keeps the link for long, unless
/// the condition asks for it: what is handed over can no longer follow a link that changes.
#[must_use]
pub fn best_rows(left: usize, most: usize, in_flight: usize, conditions: &Conditions) -> usize {
    let most = left.min(most).max(1);
    // What lies beyond so many chunks of the largest size has no bearing on the next one.
    let left = left.min(most.saturating_mul(MOST_CHUNKS));
    let least = LEAST.max(left.div_ceil(MOST_CHUNKS)).min(most);
    if least == most {
        return most;
    }
    let Some(condition) = overlap_rows(conditions, most).map(|rows| rows.max(least)) else { return UNKNOWN.min(most) };
    let brief = |rows: &usize| conditions.send_seconds(*rows).is_some_and(|seconds| seconds <= LONGEST_SEND);
    let ratio = (most as f64 / least as f64).powf(1.0 / f64::from(CANDIDATES));
    let geometric = (0..=CANDIDATES).map(|power| (least as f64 * ratio.powi(power)).round() as usize);
    let busy = busy_seconds(in_flight, condition, conditions).unwrap_or_default();
    let timed = |rows: usize| Some((rows, completion_seconds(left, rows, busy, conditions)?));
    let sizes = geometric.filter(brief).chain([condition]).map(|rows| rows.clamp(least, most));
    let candidates: Vec<(usize, f64)> = sizes.filter_map(timed).collect();
    let best = candidates.iter().map(|&(_, seconds)| seconds).fold(f64::INFINITY, f64::min);
    let about_as_good = candidates.iter().filter(|(_, seconds)| *seconds <= best * ABOUT);
    about_as_good.map(|&(rows, _)| rows).min_by_key(|&rows| rows.abs_diff(condition)).unwrap_or(condition)
}

/// Rows that may be under way when the next chunk has `chunk`: what link and cloud hold at a time with some slack, and two chunks. More
/// would only wait below the application, sized by what was known when it was sent.
#[must_use]
pub fn window_rows(chunk: usize, conditions: &Conditions) -> usize {
    let held = || {
        let Known { wait, rtt, .. } = Known::of(conditions)?;
        let seconds = rtt + wait + conditions.batch_seconds(chunk)?;
        Some((seconds * conditions.uplink_rate()? * SLACK / conditions.row_bytes.max(1) as f64).ceil() as usize)
    };
    held().map_or(UNKNOWN_IN_FLIGHT.saturating_mul(chunk), |held| held.saturating_add(2 * chunk))
}

/// What must be known for a prediction, in seconds.
struct Known {
    wait: f64,
    stages: usize,
    rtt: f64,
}

impl Known {
    fn of(conditions: &Conditions) -> Option<Self> {
        let pace = conditions.pace.as_ref()?;
        conditions.uplink_rate()?;
        Some(Self {
            wait: pace.prompt_wait.as_secs_f64(),
            stages: pace.stages.clamp(1, MOST_STAGES),
            rtt: conditions.rtt.unwrap_or_default().as_secs_f64(),
        })
    }
}

/// A chunk's seconds on device, link and in the cloud.
#[derive(Clone, Copy)]
struct Step {
    shallow: f64,
    send: f64,
    batch: f64,
}

impl Step {
    fn of(rows: usize, conditions: &Conditions) -> Option<Self> {
        Some(Self {
            shallow: conditions.shallow.map_or(0.0, |cost| cost.of(rows).as_secs_f64()),
            send: conditions.send_seconds(rows)?,
            batch: conditions.batch_seconds(rows)?,
        })
    }
}

#[cfg(test)]
#[path = "overlap/tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
