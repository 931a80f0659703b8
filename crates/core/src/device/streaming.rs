//! Streaming of a round's rows one by one: whether it saves time.

use crate::monitor::Conditions;

/// What a further append and its answer cost device and cloud beside the rows, in seconds; a round
/// trip on loopback has about 0.2 ms of it.
const MESSAGE_SECONDS: f64 = 3e-4;
/// By so much it must be sooner: what is predicted are means, and small batches cost the cloud's
/// other devices time.
const MARGIN: f64 = 1.15;

/// Whether a round of `drafts` drafts, of which `accepted` are, is over sooner when its rows go up
/// one by one; `false` where conditions are not known.
pub(super) fn streaming_pays(conditions: &Conditions, drafts: usize, accepted: usize) -> bool {
    let seconds =
        together(conditions, drafts).zip(one_by_one(conditions, drafts, accepted.min(drafts)));
    seconds.is_some_and(|(together, one_by_one)| {
        (one_by_one + MESSAGE_SECONDS * drafts as f64) * MARGIN < together
    })
}

/// All drafts, then the upload and the batch of all rows.
fn together(conditions: &Conditions, drafts: usize) -> Option<f64> {
    let verify = conditions.send_seconds(drafts + 1)?
        + wait(conditions)?
        + conditions.batch_seconds(drafts + 1)?;
    Some(drafts as f64 * conditions.draft_seconds(1)? + verify)
}

/// The row of each draft goes up when it is drafted. The cloud runs those together that have
/// arrived while it computed, and row `accepted` shows that the draft after it is refused. What it
/// computes when it tells, it computes in vain, and the next round waits for that.
fn one_by_one(conditions: &Conditions, drafts: usize, accepted: usize) -> Option<f64> {
    let (draft, send, wait) =
        (conditions.draft_seconds(1)?, conditions.send_seconds(1)?, wait(conditions)?);
    let mut arrivals = Vec::with_capacity(drafts + 1);
    let mut link = 0.0_f64;
    for row in 0..=drafts {
        link = link.max(row as f64 * draft) + send;
        arrivals.push(link);
    }
    let arrived = |by: f64| arrivals.partition_point(|&arrival| arrival <= by);
    let (mut done, mut now) = (0, 0.0_f64);
    while done <= accepted {
        let start = now.max(*arrivals.get(done)?) + wait;
        let rows = arrived(start).max(done + 1);
        now = start + conditions.batch_seconds(rows - done)?;
        done = rows;
    }
    let more = arrived(now).saturating_sub(done);
    let in_vain = if more > 0 {
        conditions.batch_seconds(more)? - conditions.rtt?.as_secs_f64() - send
    } else {
        0.0
    };
    Some(now + in_vain.max(0.0))
}

fn wait(conditions: &Conditions) -> Option<f64> {
    Some(conditions.throughput.as_ref()?.verify_wait.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monitor::{CloudThroughput, Cost, DelayPoint};

    /// Row and batch times in milliseconds; a row more in a batch is free.
    fn conditions(draft: u64, batch: u64, send: u64, rtt: u64) -> Conditions {
        let ms = Duration::from_millis;
        Conditions {
            row_bytes: 1_000_000,
            uplink: Some(1e9 / (send as f64).max(1e-6)),
            rtt: Some(ms(rtt)),
            throughput: Some(CloudThroughput {
                delay: [1, 8].map(|rows| DelayPoint { rows, delay: ms(batch) }).to_vec(),
                ..CloudThroughput::default()
            }),
            draft: Some(Cost { base: ms(draft), per_row: Duration::ZERO }),
            ..Conditions::default()
        }
    }

    fn near(seconds: Option<f64>, ms: f64) {
        assert!(
            seconds.is_some_and(|seconds| (seconds * 1e3 - ms).abs() < 0.05),
            "{seconds:?} {ms}"
        );
    }

    #[test]
    fn rows_that_arrive_meanwhile_run_together() {
        let conditions = conditions(10, 25, 0, 6);
        near(together(&conditions, 4), 65.0);
        // Batches of rows 0; 1 and 2; 3 and 4, begun at 0, 25 and 50.
        near(one_by_one(&conditions, 4, 4), 75.0);
        near(one_by_one(&conditions, 4, 2), 50.0 + 19.0);
        near(one_by_one(&conditions, 4, 0), 25.0 + 19.0);
        near(one_by_one(&conditions, 0, 0), 25.0);
    }

    #[test]
    fn it_pays_where_drafts_or_the_link_are_slow() {
        // Drafts of 20 ms leave the cloud idle meanwhile, and a refused one is known of at once.
        assert!(streaming_pays(&conditions(20, 5, 0, 6), 4, 2));
        assert!(streaming_pays(&conditions(8, 5, 8, 50), 4, 4));
        assert!(!streaming_pays(&conditions(0, 5, 0, 6), 4, 2), "free drafts are there at once");
        assert!(
            !streaming_pays(&conditions(1, 50, 0, 6), 4, 4),
            "a batch for the first row alone delays the others"
        );
        assert!(!streaming_pays(&Conditions::default(), 4, 2), "nothing is known");
    }
}
