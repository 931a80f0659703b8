use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::monitor::{CloudPace, Cost, DelayPoint};

fn us(count: u64) -> Duration {
    Duration::from_micros(count)
}

/// A cloud whose batch takes `base + per_row x rows` microseconds.
fn conditions(uplink: f64, wait: u64, mu: usize, stages: usize, base: u64, per_row: u64) -> Conditions {
    let point = |rows: usize| DelayPoint { rows, delay: us(base + per_row * rows as u64) };
    let pace = CloudPace { prompt_wait: us(wait), verify_wait: us(0), batch_rows: mu, stages, delay: vec![point(1), point(4096)] };
    Conditions {
        row_bytes: 8192,
        uplink: Some(uplink),
        rtt: Some(us(6000)),
        pace: Some(pace),
        shallow: Some(Cost { base: us(300), per_row: us(20) }),
        ..Conditions::default()
    }
}

/// The paper's testbed: 7.5 MB/s up, rows of 8 KiB, a batch in tens of milliseconds.
fn wifi() -> Conditions {
    conditions(7.5e6, 10_000, 16, 4, 30_000, 60)
}

/// All chunks of a prompt, none of which is answered before the last is sent.
fn chunks(mut left: usize, conditions: &Conditions) -> Vec<usize> {
    let mut chunks = Vec::new();
    while left > 0 {
        let rows = best_rows(left, 512, 0, conditions);
        chunks.push(rows);
        left -= rows;
    }
    chunks
}

#[test]
fn a_long_prompt_over_a_slow_link_meets_the_overlap_condition() {
    let conditions = wifi();
    let condition = overlap_rows(&conditions, 512).unwrap();
    // X A / beta = w + g(mu + X) / P: about 17 rows at 1.1 ms each against 10 ms and a quarter of 32 ms.
    assert_eq!(condition, 16);
    let chosen = best_rows(2000, 512, 0, &conditions);
    assert!(chosen.abs_diff(condition) * 4 <= condition, "{chosen} {condition}");
    let best = completion_seconds(2000, chosen, 0.0, &conditions).unwrap();
    // Chunks much smaller leave the cloud behind, much larger ones nothing to overlap with.
    let [small, large] = [condition / 4, 512].map(|rows| completion_seconds(2000, rows, 0.0, &conditions).unwrap());
    assert!(small > best * 1.5 && large > best * 1.01, "{small} {large}");
}

#[test]
fn chunks_taper() {
    let chunks = chunks(2000, &conditions(30e6, 1000, 0, 1, 2000, 200));
    let (first, last) = (chunks[0], chunks[chunks.len() - 1]);
    assert!(last * 2 <= first, "{chunks:?}");
    assert_eq!(chunks.iter().sum::<usize>(), 2000);
}

#[test]
fn chunks_follow_the_link() {
    let [slow, fast] = [4e6, 40e6].map(|uplink| best_rows(2000, 512, 0, &conditions(uplink, 5000, 16, 1, 20_000, 60)));
    assert!(slow < fast, "{slow} {fast}");
}

/// What is under way must not make a large chunk look good: nothing smaller would then follow it until it is answered.
#[test]
fn chunks_do_not_grow_with_what_is_under_way() {
    // As for a small model: 1.6 ms a row on the link, 20 ms and 0.4 ms a row in the cloud.
    let conditions = Conditions { row_bytes: 512, ..conditions(312_500.0, 10_000, 2, 1, 20_000, 400) };
    for (left, in_flight) in [(900, 0), (850, 40), (744, 174), (744, 500)] {
        let rows = best_rows(left, 2048, in_flight, &conditions);
        assert!(rows <= 64, "{rows} rows of {left} with {in_flight} under way");
    }
}

#[test]
fn without_knowledge_chunks_are_modest() {
    let nothing = Conditions::default();
    assert_eq!((best_rows(1000, 512, 0, &nothing), best_rows(10, 512, 0, &nothing), best_rows(1000, 32, 0, &nothing)), (64, 10, 32));
    assert_eq!(window_rows(64, &nothing), 256);
    assert_eq!((overlap_rows(&nothing, 512), completion_seconds(100, 10, 0.0, &nothing)), (None, None));
}

#[test]
fn little_is_under_way() {
    let conditions = wifi();
    // 6 ms on the way, 10 ms wait and 32 ms computing are 48 ms, in which the link carries 44 rows.
    let window = window_rows(16, &conditions);
    assert!((190..=230).contains(&window), "{window}");
}

fn known() -> impl Strategy<Value = Conditions> {
    (1e4..1e9_f64, 0..100_000_u64, 0..600_usize, 1..8_usize, 0..100_000_u64, 0..2000_u64)
        .prop_map(|(uplink, wait, mu, stages, base, per_row)| conditions(uplink, wait, mu, stages, base, per_row))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_worse_than_the_overlap_condition(conditions in known(), left in 1..3000_usize, in_flight in 0..500_usize) {
        let most = 512.min(left);
        // The prediction looks at 128 chunks at most, and at none of fewer than 8 rows.
        let condition = overlap_rows(&conditions, most).unwrap().max(8.max(left.div_ceil(128)).min(most));
        let chosen = best_rows(left, 512, in_flight, &conditions);
        let busy = busy_seconds(in_flight, condition, &conditions).unwrap();
        let seconds = |rows| completion_seconds(left, rows, busy, &conditions).unwrap();
        prop_assert!((1..=most).contains(&chosen));
        prop_assert!(seconds(chosen) <= seconds(condition), "{chosen} {condition}");
    }

    #[test]
    fn nothing_is_done_sooner_than_the_link_allows(conditions in known(), left in 1..3000_usize, chunk in 1..600_usize) {
        let seconds = completion_seconds(left, chunk, 0.0, &conditions).unwrap();
        let link = left as f64 * 8192.0 / conditions.uplink.unwrap();
        prop_assert!(seconds >= link);
        prop_assert!(window_rows(chunk, &conditions) >= 2 * chunk);
    }
}
