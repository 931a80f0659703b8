//! A middle in several clouds, as devices see it.

use std::{net::SocketAddr, ops::Range, time::Duration};

use crate::common::{
    Counted, Device, Gate, HIDDEN, LIMITS, POISON, Running, Stack, Toy, append, config, connect,
    gated, good_open, session_rows, stage, start, through, toy, visitor,
};
use tricorn_cloud::{CloudConfig, CloudError, MiddleModel};
use tricorn_core::{AppendHeader, AppendKind, Want};
use tricorn_wire::{Downlink, ErrorCode, Uplink};

/// A middle of two stages.
struct Pair {
    first: Running,
    last: Running,
}

const FIRST: Range<usize> = 2..4;
const LAST: Range<usize> = 4..5;

impl Pair {
    fn start(first: impl MiddleModel, last: impl MiddleModel) -> Self {
        Self::start_with(first, last, config().next_deadline)
    }

    fn start_with(
        first: impl MiddleModel,
        last: impl MiddleModel,
        next_deadline: Duration,
    ) -> Self {
        let last = start(stage(LAST, None), last);
        let first = start(CloudConfig { next_deadline, ..stage(FIRST, Some(last.addr)) }, first);
        Self { first, last }
    }

    fn addr(&self) -> SocketAddr {
        self.first.addr
    }
}

/// A device that uses a session in every way, with all that it hears.
async fn conversation(addr: SocketAddr, session: usize) -> Vec<(AppendHeader, Vec<f32>)> {
    let mut device = connect(addr).await;
    let sequence = session_rows(session, 40);
    let steps = [
        (0, 13, Want::None, AppendKind::Prompt),
        (13, 16, Want::Last, AppendKind::Prompt),
        (29, 4, Want::All, AppendKind::Verify),
        (31, 5, Want::All, AppendKind::Verify),
        (2, 1, Want::Last, AppendKind::Prompt),
        (3, 16, Want::All, AppendKind::Prompt),
    ];
    let mut heard = Vec::new();
    // Two at a time.
    for pair in steps.chunks(2) {
        for &(pos, count, want, kind) in pair {
            let header = AppendHeader { epoch: 0, pos, rows: count, want, kind };
            device.append(header, &sequence[pos * HIDDEN..(pos + count) * HIDDEN]).await;
            heard.push((header, Vec::new()));
        }
        for (header, answer) in heard.iter_mut().rev().take(pair.len()).rev() {
            let (deep, rows) = device.deep().await;
            assert_eq!(deep.header, header.answer());
            *answer = rows;
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn one_two_and_three_stages_give_the_same_answers() {
    let stack = |count| Stack(vec![toy(); count]);
    let whole = start(config(), stack(3));
    let two = Pair::start(stack(2), stack(1));
    let last = start(stage(4..5, None), stack(1));
    let middle = start(stage(3..4, Some(last.addr)), stack(1));
    let three = start(stage(2..3, Some(middle.addr)), stack(1));
    let mut answers = Vec::new();
    for addr in [whole.addr, two.addr(), three.addr] {
        let sessions: Vec<_> =
            (0..8).map(|session| tokio::spawn(conversation(addr, session))).collect();
        let mut heard = Vec::new();
        for session in sessions {
            heard.push(session.await.unwrap());
        }
        answers.push(heard);
    }
    assert_eq!(answers[0][3][2].1, through(3, &session_rows(3, 40))[29 * HIDDEN..33 * HIDDEN]);
    assert!(answers[0] == answers[1] && answers[0] == answers[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_different_sessions_are_under_way_at_once() {
    let (here, behind) = (Gate::closed(), Gate::closed());
    let pair = Pair::start(gated(&here), gated(&behind));
    here.open();
    let mut devices = [connect(pair.addr()).await, connect(pair.addr()).await];
    let sequences = [session_rows(1, 4), session_rows(2, 4)];
    let visits = here.visits();
    devices[0].append(append(0, 0, 4), &sequences[0]).await;
    visitor(&behind, 1).await;
    // The last stage holds the first session's batch; the first stage takes the second's.
    devices[1].append(append(0, 0, 4), &sequences[1]).await;
    visitor(&here, visits + 2).await;
    behind.open();
    for (device, sequence) in devices.iter_mut().zip(&sequences) {
        assert_eq!(device.deep().await.1, through(2, sequence));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_dies_costs_the_sessions_and_nothing_else() {
    let Pair { first, last } = Pair::start(toy(), toy());
    let sequence = session_rows(1, 12);
    let mut device = connect(first.addr).await;
    device.append(append(0, 0, 12), &sequence).await;
    let expected = device.deep().await.1;
    let addr = last.addr;
    last.stop().await.unwrap();
    let failure = device.failure().await;
    assert!(failure.code == ErrorCode::StageLost && failure.code.is_transient(), "{failure:?}");
    let refused = Device::dial(first.addr).await.open(good_open()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::StageLost);

    let _last = start(CloudConfig { listen: addr, ..stage(LAST, None) }, toy());
    let mut device = loop {
        let mut device = Device::dial(first.addr).await;
        match device.open(good_open()).await {
            Ok(_) => break device,
            Err(failure) => assert_eq!(failure.code, ErrorCode::StageLost),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    device.append(append(0, 0, 12), &sequence).await;
    assert_eq!(device.deep().await.1, expected);
    assert_eq!(expected, through(2, &sequence));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_hangs_costs_the_sessions_and_nothing_else() {
    let gate = Gate::closed();
    let pair = Pair::start_with(toy(), gated(&gate), Duration::from_millis(100));
    let mut device = connect(pair.addr()).await;
    device.append(append(0, 0, 4), &session_rows(1, 4)).await;
    assert_eq!(device.failure().await.code, ErrorCode::StageLost);
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_model_that_panics_is_a_lost_stage() {
    let pair = Pair::start(Counted::default(), toy());
    let mut device = connect(pair.addr()).await;
    device.append(append(0, 0, 1), &[POISON; HIDDEN]).await;
    assert_eq!(device.failure().await.code, ErrorCode::StageLost);
    assert!(matches!(pair.last.ended().await, Err(CloudError::Scheduler(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_memory_in_a_later_stage_ends_alone() {
    let pair = Pair::start(toy(), Toy { memory: 10, ..toy() });
    let (mut long, mut short) = (connect(pair.addr()).await, connect(pair.addr()).await);
    let sequence = session_rows(1, 12);
    short.append(append(0, 0, 8), &sequence[..8 * HIDDEN]).await;
    assert_eq!(short.deep().await.1, through(2, &sequence)[..8 * HIDDEN]);
    long.append(append(0, 0, 12), &sequence).await;
    assert_eq!(long.failure().await.code, ErrorCode::Busy);
    short.append(append(0, 8, 2), &sequence[8 * HIDDEN..10 * HIDDEN]).await;
    assert_eq!(short.deep().await.1, through(2, &sequence)[8 * HIDDEN..10 * HIDDEN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_are_forgotten_in_every_stage() {
    let (here, behind) = (Counted::default(), Counted::default());
    let pair = Pair::start(here.clone(), behind.clone());
    let mut stays = connect(pair.addr()).await;
    for turn in 1..6 {
        let mut device = connect(pair.addr()).await;
        device.append(append(0, 0, 3), &session_rows(turn, 3)).await;
        assert_eq!(device.deep().await.1, session_rows(turn, 3));
        device.say(Uplink::Close).await;
        assert_eq!(device.hear().await, None);
        stays.append(append(0, turn - 1, 1), &session_rows(0, 1)).await;
        stays.deep().await;
    }
    behind.becomes(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_append_is_never_answered() {
    let gate = Gate::closed();
    let pair = Pair::start(toy(), gated(&gate));
    let mut device = connect(pair.addr()).await;
    let sequence = session_rows(0, 8);
    device.append(append(0, 0, 4), &sequence[..4 * HIDDEN]).await;
    visitor(&gate, 1).await;
    device.append(append(1, 2, 6), &sequence[2 * HIDDEN..]).await;
    // Another session's answer shows that the first stage has heard of the new epoch.
    let mut witness = connect(pair.addr()).await;
    witness.append(append(0, 0, 1), &sequence[..HIDDEN]).await;
    gate.open();
    witness.deep().await;
    let mut heard = Vec::new();
    while heard.last() != Some(&append(1, 2, 6).answer()) {
        let (deep, answer) = device.deep().await;
        assert_eq!(
            answer,
            through(2, &sequence)[deep.header.first_row_pos * HIDDEN..][..answer.len()]
        );
        heard.push(deep.header);
    }
    assert!(heard.len() <= 2, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drains_what_is_under_way() {
    let gate = Gate::closed();
    let pair = Pair::start(toy(), gated(&gate));
    let mut device = connect(pair.addr()).await;
    device.append(append(0, 0, 4), &session_rows(1, 4)).await;
    visitor(&gate, 1).await;
    let stopping = tokio::spawn(pair.first.stop());
    gate.open();
    let mut heard = Vec::new();
    while let Some(message) = device.hear().await {
        heard.push(message);
    }
    assert!(
        heard.contains(&Downlink::Drain)
            && heard.iter().any(|message| matches!(message, Downlink::Deep(_))),
        "{heard:?}"
    );
    assert_eq!(heard.len(), 2);
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_through_two_stages() {
    let pair = Pair::start(toy(), toy());
    let addr = pair.addr();
    let devices: Vec<_> = (0..16)
        .map(|session| {
            tokio::spawn(async move {
                let mut device = connect(addr).await;
                let sequence = session_rows(session, LIMITS.context);
                let (chunk, mut answer) = (1 + session % 7, Vec::new());
                for (index, values) in sequence.chunks(chunk * HIDDEN).enumerate() {
                    device.append(append(0, index * chunk, values.len() / HIDDEN), values).await;
                    answer.extend(device.deep().await.1);
                }
                assert_eq!(answer, through(2, &sequence));
            })
        })
        .collect();
    for device in devices {
        device.await.unwrap();
    }
    pair.first.stop().await.unwrap();
    pair.last.stop().await.unwrap();
}
