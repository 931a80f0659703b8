//! Scheduling of rows, counted in batches.

use std::{sync::Arc, time::Duration};

use crate::common::{
    Device, Gate, HIDDEN, Running, Toy, append, config, connect, dial, good_open, start,
};
use tricorn_cloud::{CloudConfig, Throttle};
use tricorn_core::{AppendHeader, AppendKind, Schedule, SessionLimits, Want};

const CONTEXT: usize = 2048;

/// Long prompts, in batches of at most 64 rows however long these take.
fn long(schedule: Schedule) -> CloudConfig {
    let limits =
        SessionLimits { context: CONTEXT, max_append_rows: CONTEXT, max_queued_rows: CONTEXT };
    CloudConfig {
        limits,
        schedule,
        batch_rows: 64,
        tbt_target: Duration::from_secs(86_400),
        ..config()
    }
}

fn rows(count: usize) -> Vec<f32> {
    (0..count * HIDDEN).map(|i| ((i * 29) % 181) as f32).collect()
}

fn verify(pos: usize, rows: usize) -> AppendHeader {
    AppendHeader { kind: AppendKind::Verify, ..append(0, pos, rows) }
}

/// A cloud behind a gate, which stands in a batch of one row that nobody else knows of.
async fn held(config: CloudConfig) -> (Running, Arc<Gate>, Device) {
    let gate = Gate::closed();
    let cloud = start(config, Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let first = connect(cloud.addr).await;
    first.append(append(0, 0, 1), &[1.0; HIDDEN]).await;
    visited(&gate, 1).await;
    (cloud, gate, first)
}

async fn visited(gate: &Arc<Gate>, times: usize) {
    let gate = gate.clone();
    tokio::task::spawn_blocking(move || gate.wait_for_visitor(times)).await.unwrap();
}

/// Waits until `rows` rows are known to wait in the cloud.
async fn queued(cloud: &Running, rows: u64) {
    let mut client = dial(cloud.addr).await;
    while client
        .describe(tricorn_wire::proto::DescribeRequest {})
        .await
        .unwrap()
        .into_inner()
        .load
        .unwrap()
        .queued_rows
        < rows
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_cut_gets_the_rows_of_a_whole_one() {
    let input = rows(500);
    let expected = Toy::answer(HIDDEN, &input);
    for (schedule, batches) in [(Schedule::Chunked, 500_u64.div_ceil(64)), (Schedule::Whole, 1)] {
        for want in [Want::All, Want::Last, Want::None] {
            let cloud = start(long(schedule), Toy::new(HIDDEN));
            let mut device = connect(cloud.addr).await;
            let header = AppendHeader { want, ..append(0, 0, 500) };
            device.append(header, &input).await;
            let (deep, answer) = device.deep().await;
            assert_eq!(deep.header, header.answer());
            assert_eq!(answer, expected[(500 - header.answer_rows()) * HIDDEN..]);
            let figures = cloud.stop().await.unwrap();
            assert_eq!((figures.batches, figures.rows), (batches, 500));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verifications_are_served_between_the_pieces_of_a_long_prompt() {
    let (cloud, gate, mut first) = held(long(Schedule::Chunked)).await;
    let mut prompter = connect(cloud.addr).await;
    let input = rows(2000);
    prompter.append(AppendHeader { want: Want::Last, ..append(0, 0, 2000) }, &input).await;
    queued(&cloud, 2000).await;
    let mut verifiers = Vec::new();
    for _ in 0..9 {
        let device = connect(cloud.addr).await;
        device.append(verify(0, 4), &rows(4)).await;
        verifiers.push(device);
    }
    queued(&cloud, 2036).await;
    gate.open();
    first.deep().await;
    for device in &mut verifiers {
        let (deep, answer) = device.deep().await;
        assert_eq!(answer, Toy::answer(HIDDEN, &rows(4)));
        // All nine share the first batch with a piece of the prompt that fills it.
        assert_eq!((deep.timing.batch_rows, deep.timing.batch_appends), (64, 10));
    }
    let (deep, answer) = prompter.deep().await;
    assert_eq!(answer, Toy::answer(HIDDEN, &input)[1999 * HIDDEN..]);
    assert!(deep.timing.compute > Duration::ZERO);
    let figures = cloud.stop().await.unwrap();
    // One that held the gate, one of 28 + 36 rows, the rest of the prompt.
    assert_eq!(figures.batches, 2 + (2000_u64 - 28).div_ceil(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_prompt_makes_them_share_its_batch() {
    let (cloud, gate, mut first) = held(long(Schedule::Whole)).await;
    let (mut prompter, mut verifier) = (connect(cloud.addr).await, connect(cloud.addr).await);
    prompter.append(AppendHeader { want: Want::Last, ..append(0, 0, 2000) }, &rows(2000)).await;
    verifier.append(verify(0, 4), &rows(4)).await;
    queued(&cloud, 2004).await;
    gate.open();
    first.deep().await;
    assert_eq!(verifier.deep().await.0.timing.batch_rows, 2004);
    assert_eq!(prompter.deep().await.0.timing.batch_rows, 2004);
    assert_eq!(cloud.stop().await.unwrap().batches, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_follow_each_other_run_together() {
    let (cloud, gate, mut first) = held(long(Schedule::Chunked)).await;
    let mut device = connect(cloud.addr).await;
    let input = rows(12);
    // A prompt in two chunks, then a round whose rows came one by one.
    let headers = [
        (0, 4, AppendKind::Prompt),
        (4, 4, AppendKind::Prompt),
        (8, 1, AppendKind::Verify),
        (9, 3, AppendKind::Verify),
    ]
    .map(|(pos, rows, kind)| AppendHeader { kind, ..append(0, pos, rows) });
    for header in headers {
        device.append(header, &input[header.pos * HIDDEN..header.end() * HIDDEN]).await;
    }
    queued(&cloud, 12).await;
    gate.open();
    first.deep().await;
    let expected = Toy::answer(HIDDEN, &input);
    for (header, batch_rows) in headers.into_iter().zip([8, 8, 4, 4]) {
        let (deep, answer) = device.deep().await;
        assert_eq!(deep.header, header.answer());
        assert_eq!(answer, expected[header.pos * HIDDEN..header.end() * HIDDEN]);
        assert_eq!((deep.timing.batch_rows, deep.timing.batch_appends), (batch_rows, 2));
    }
    assert_eq!(cloud.stop().await.unwrap().batches, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_abandoned_between_its_pieces_leaves_no_trace() {
    let gate = Gate::closed();
    let cloud =
        start(long(Schedule::Chunked), Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let mut device = connect(cloud.addr).await;
    let input = rows(200);
    device.append(append(0, 0, 200), &input).await;
    visited(&gate, 1).await;
    // The first piece is under way: the new epoch may build on its rows, and no further.
    device.append(append(1, 64, 3), &rows(3)).await;
    queued(&cloud, 203).await;
    gate.open();
    let (deep, answer) = device.deep().await;
    assert_eq!(deep.header, append(1, 64, 3).answer());
    let sequence = [&input[..64 * HIDDEN], &rows(3)].concat();
    assert_eq!(answer, Toy::answer(HIDDEN, &sequence)[64 * HIDDEN..]);
    assert_eq!(cloud.stop().await.unwrap().rows, 67);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_tells_its_throughput() {
    let throttle = Throttle { base: Duration::from_millis(2), per_row: Duration::from_micros(10) };
    let cloud = start(
        CloudConfig {
            calibration: Duration::from_secs(60),
            throttle: Some(throttle),
            ..long(Schedule::Chunked)
        },
        Toy::new(HIDDEN),
    );
    let mut device = Device::dial(cloud.addr).await;
    let opened = device.open(good_open()).await.unwrap();
    // Measured before the first device came.
    let told = opened.load.throughput;
    assert_eq!(told.delay.iter().map(|point| point.rows).collect::<Vec<_>>(), [1, 8, 32, 128, 256]);
    assert!(told.delay.iter().all(|point| point.delay >= throttle.of(point.rows)), "{told:?}");
    assert_eq!((told.stages, told.batch_rows), (1, 0));
    device.append(append(0, 0, 4), &rows(4)).await;
    let told = device.deep().await.0.load.throughput;
    assert_eq!(
        (told.delay.len(), told.prompt_rows),
        (6, Some(64)),
        "and that a batch takes 64 rows of a prompt"
    );
    // Verifications are many: their answers stay small.
    device.append(verify(4, 1), &rows(1)).await;
    assert!(device.deep().await.0.load.throughput.delay.is_empty());
    assert_eq!(cloud.stop().await.unwrap().batches, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_slower_than_its_throttle_is_noticed() {
    let throttle = Throttle { base: Duration::ZERO, per_row: Duration::from_nanos(1) };
    let gate = Gate::closed();
    let config = CloudConfig { throttle: Some(throttle), ..config() };
    let cloud = start(config, Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let mut device = connect(cloud.addr).await;
    device.append(append(0, 0, 1), &rows(1)).await;
    visited(&gate, 1).await;
    gate.open();
    device.deep().await;
    assert_eq!(cloud.stop().await.unwrap().overruns, 1);
}
