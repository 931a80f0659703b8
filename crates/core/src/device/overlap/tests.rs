use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::monitor::{CloudThroughput, Cost, DelayPoint};

fn us(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// A cloud whose batch takes `base + per_row x rows` microseconds.
fn conditions(
    uplink: f64,
    wait: u64,
    mu: usize,
    stages: usize,
    base: u64,
    per_row: u64,
) -> Conditions {
    let point = |rows: usize| DelayPoint { rows, delay: us(base + per_row * rows as u64) };
    let throughput = CloudThroughput {
        prompt_wait: us(wait),
        verify_wait: us(0),
        batch_rows: mu,
        stages,
        prompt_rows: None,
        delay: vec![point(1), point(4096)],
    };
    Conditions {
        row_bytes: 8192,
        uplink: Some(uplink),
        rtt: Some(us(6000)),
        throughput: Some(throughput),
        shallow: Some(Cost { base: us(300), per_row: us(20) }),
        ..Conditions::default()
    }
}

/// The paper's testbed: 7.5 MB/s up, rows of 8 KiB, a batch in tens of milliseconds.
fn wifi() -> Conditions {
    conditions(7.5e6, 10_000, 16, 4, 30_000, 60)
}

fn idle(conditions: &Conditions) -> Pipeline<'_> {
    Pipeline::new(0.0, 0.0, conditions).unwrap()
}

fn first(left: usize, conditions: &Conditions) -> usize {
    best_rows(left, 512, Some(idle(conditions)), conditions)
}

/// All chunks of a prompt, and when the cloud is through with them.
fn chunks(mut left: usize, conditions: &Conditions) -> (Vec<usize>, f64) {
    let (mut chunks, mut pipeline) = (Vec::new(), idle(conditions));
    while left > 0 {
        let rows = best_rows(left, 512, Some(pipeline), conditions);
        chunks.push(rows);
        pipeline.chunk(rows);
        left -= rows;
    }
    (chunks, pipeline.computed())
}

#[test]
fn a_long_prompt_over_a_slow_link_meets_the_overlap_condition() {
    let conditions = wifi();
    let condition = overlap_rows(&conditions, 512).unwrap();
    // X A / beta = w + g(mu + X) / P: about 17 rows at 1.1 ms each against 10 ms and a quarter of
    // 32 ms.
    assert_eq!(condition, 16);
    let (long, _) = chunks(2000, &conditions);
    let (chunks, best) = chunks(500, &conditions);
    for chunks in [&long, &chunks] {
        let middle = chunks[chunks.len() / 2];
        assert!(middle.abs_diff(condition) * 4 <= condition, "{chunks:?} {condition}");
    }
    // Much larger ones leave nothing to overlap with; much smaller ones gain nothing. (In the
    // longer prompt they are not considered.)
    let [small, large] =
        [condition / 4, 512].map(|rows| idle(&conditions).computed_after(500, rows, rows));
    assert!(small > best && large > best * 1.01, "{best} {small} {large}");
}

/// Nothing is on the link while the device computes the first chunk: a slow device makes it small.
#[test]
fn the_first_chunk_is_small_where_the_device_is_slow() {
    let slow = Conditions {
        shallow: Some(Cost { base: us(1200), per_row: us(520) }),
        row_bytes: 512,
        ..conditions(625e3, 8000, 3, 1, 16_000, 400)
    };
    let (chunks, computed) = chunks(468, &slow);
    assert!(chunks[0] * 2 <= chunks[chunks.len() / 2], "{chunks:?}");
    let even = (4..=512)
        .map(|rows| idle(&slow).computed_after(468, rows, rows))
        .fold(f64::INFINITY, f64::min);
    assert!(computed <= even * 1.02, "{computed} {even} {chunks:?}");
}

#[test]
fn chunks_follow_the_link() {
    let [slow, fast] =
        [4e6, 40e6].map(|uplink| first(2000, &conditions(uplink, 5000, 16, 1, 20_000, 60)));
    assert!(slow < fast, "{slow} {fast}");
}

/// Link and cloud take a row about as long, so that no chunk's transmission is as long as its turn
/// in the cloud.
#[test]
fn chunks_stay_brief_where_the_condition_has_no_bound() {
    let conditions = Conditions { row_bytes: 512, ..conditions(1.25e6, 0, 0, 1, 16_000, 400) };
    assert_eq!(overlap_rows(&conditions, 512), Some(512));
    let (chunks, _) = chunks(1200, &conditions);
    assert!(
        chunks.iter().all(|&rows| conditions.send_seconds(rows).unwrap() <= LONGEST_SEND),
        "{chunks:?}"
    );
}

/// What is under way must not make a large chunk look good: nothing smaller would then follow it
/// until it is answered.
#[test]
fn chunks_do_not_grow_with_what_is_under_way() {
    // As for a small model: 1.6 ms a row on the link, 20 ms and 0.4 ms a row in the cloud.
    let conditions =
        Conditions { row_bytes: 512, ..conditions(312_500.0, 10_000, 2, 1, 20_000, 400) };
    for (left, in_flight) in [(900, 0), (850, 40), (744, 174), (744, 500)] {
        let mut pipeline = idle(&conditions);
        pipeline.chunk(in_flight);
        let rows = best_rows(left, 2048, Some(pipeline), &conditions);
        assert!(rows <= 64, "{rows} rows of {left} with {in_flight} under way");
    }
}

#[test]
fn without_knowledge_chunks_are_modest() {
    let nothing = Conditions::default();
    assert_eq!(
        [(1000, 512), (10, 512), (1000, 32)]
            .map(|(left, most)| best_rows(left, most, None, &nothing)),
        [64, 10, 32]
    );
    assert_eq!(window_rows(64, &nothing), 256);
    assert_eq!(overlap_rows(&nothing, 512), None);
}

#[test]
fn what_is_under_way_is_bounded() {
    let conditions = wifi();
    // 6 ms on the way, 10 ms wait and 32 ms computing are less than 250 ms, in which the link
    // carries 225 rows.
    let window = window_rows(16, &conditions);
    assert!((900..=960).contains(&window), "{window}");
    // Where they are more, that counts: 496 ms, 447 rows.
    let far = Conditions { rtt: Some(us(454_000)), ..conditions };
    assert!((1780..=1860).contains(&window_rows(16, &far)), "{}", window_rows(16, &far));
}

fn known() -> impl Strategy<Value = Conditions> {
    (1e4..1e9_f64, 0..100_000_u64, 0..600_usize, 1..8_usize, 0..100_000_u64, 0..2000_u64).prop_map(
        |(uplink, wait, mu, stages, base, per_row)| {
            conditions(uplink, wait, mu, stages, base, per_row)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn never_worse_than_the_overlap_condition(
        conditions in known(),
        left in 1..3000_usize,
        in_flight in 0..500_usize,
    ) {
        let most = 512.min(left);
        // The prediction looks at 128 chunks at most, and at none of fewer than 4 rows.
        let least = 4.max(left.div_ceil(128)).min(most);
        let condition = overlap_rows(&conditions, most).unwrap().max(least);
        let mut pipeline = idle(&conditions);
        if in_flight > 0 {
            pipeline.chunk(in_flight);
        }
        let chosen = best_rows(left, 512, Some(pipeline), &conditions);
        prop_assert!((1..=most).contains(&chosen));
        let best = (1..=most)
            .map(|rest| pipeline.computed_after(left, chosen, rest))
            .fold(f64::INFINITY, f64::min);
        let send = conditions.send_seconds(condition).unwrap();
        // One that keeps the link for long is taken only where it is clearly better.
        let worth = if send <= LONGEST_SEND { 1.0 } else { WORTH };
        let by_condition = pipeline.computed_after(left, condition, condition);
        prop_assert!(best * worth <= by_condition + 0.1 * send, "{chosen} {condition}");
    }

    #[test]
    fn no_fixed_size_is_much_better(
        conditions in known(),
        left in 1..1500_usize,
        mu in 0..32_usize,
    ) {
        let throughput = conditions.throughput.clone();
        let throughput = throughput.map(|known| CloudThroughput { batch_rows: mu, ..known });
        let conditions = Conditions { throughput, ..conditions };
        let (chunks, computed) = chunks(left, &conditions);
        let fixed = [16, 32, 64, 128, 256, 512]
            .map(|rows| idle(&conditions).computed_after(left, rows, rows));
        let best = fixed.into_iter().fold(f64::INFINITY, f64::min);
        // A chunk that just misses a batch waits for another, whatever was planned.
        let batch = conditions.batch_seconds(1).unwrap();
        prop_assert!(computed <= best * 1.1 + batch, "{computed} {best} {chunks:?}");
    }

    #[test]
    fn nothing_is_done_sooner_than_the_link_allows(
        conditions in known(),
        left in 1..3000_usize,
        chunk in 1..600_usize,
    ) {
        let seconds = idle(&conditions).computed_after(left, chunk, chunk);
        let link = left as f64 * 8192.0 / conditions.uplink.unwrap();
        prop_assert!(seconds >= link);
        prop_assert!(window_rows(chunk, &conditions) >= 2 * chunk);
    }
}
