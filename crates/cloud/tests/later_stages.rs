//! Later stages, as the stage before them sees them.

use std::{net::SocketAddr, time::Duration};

use crate::common::{
    Counted, Device, Gate, HIDDEN, POISON, SERVED, Toy, Upstream, config, dial, entry, formats,
    gated, good_open, session_rows, stage, stage_open, start, start_serving, through, toy, visitor,
};
use tricorn_cloud::{BatchEntry, Cloud, CloudConfig, CloudError, MiddleModel, Served};
use tricorn_core::{Fingerprint, Formats, Split, StageEntry};
use tricorn_wire::{ErrorCode, StageOpen, StageOpened, StageUp, proto};

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_answers_what_its_models_make_of_the_rows() {
    let last = start(stage(4..5, None), toy());
    let middle = start(stage(3..4, Some(last.addr)), toy());
    for (addr, first, stages) in [(last.addr, 4, 1), (middle.addr, 3, 2)] {
        let mut upstream = Upstream::dial(addr).await;
        assert_eq!(
            upstream.open(stage_open(first)).await,
            Ok(StageOpened { stages, end_layer: 5 })
        );
        let sequences = [session_rows(1, 20), session_rows(2, 20)];
        let expected = sequences.each_ref().map(|rows| through(stages, rows));
        // Of different lengths, with all rows, some or none wanted back, and twice a step back.
        for (id, (pos, count, wanted)) in
            [(0, 7, 7), (7, 9, 0), (16, 4, 1), (12, 8, 2), (3, 1, 1)].into_iter().enumerate()
        {
            let here = |values: &[f32], from: usize, to: usize| {
                values[from * HIDDEN..to * HIDDEN].to_vec()
            };
            let entry = |session| StageEntry { session, pos, rows: count, answer_rows: wanted };
            let x = sequences.each_ref().map(|rows| here(rows, pos, pos + count)).concat();
            upstream.batch(id as u64, vec![entry(8), entry(3)], Vec::new(), &x).await;
            let (done, answer) = upstream.done(2 * wanted).await;
            assert_eq!((done.id, done.failed.len()), (id as u64, 0));
            assert_eq!(
                answer,
                expected
                    .each_ref()
                    .map(|rows| here(rows, pos + count - wanted, pos + count))
                    .concat()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_share_a_stage_and_not_their_sessions() {
    let last = start(stage(4..5, None), toy());
    let middle = start(stage(3..4, Some(last.addr)), toy());
    let mut upstreams = Vec::new();
    for _ in 0..3 {
        upstreams.push(Upstream::connect(middle.addr, 3).await);
    }
    for pos in 0..12 {
        for (number, upstream) in upstreams.iter_mut().enumerate() {
            let sequence = session_rows(number, 12);
            upstream
                .batch(
                    pos as u64,
                    vec![entry(1, pos, 1)],
                    Vec::new(),
                    &sequence[pos * HIDDEN..][..HIDDEN],
                )
                .await;
            assert_eq!(upstream.done(1).await.1, through(2, &sequence)[pos * HIDDEN..][..HIDDEN]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_do_not_fit_are_refused() {
    let held = formats("q8", "f16");
    let last = start_serving(Served { formats: held, ..SERVED }, stage(4..5, None), toy());
    let good = StageOpen { formats: held, ..stage_open(4) };
    for (open, code, part) in [
        (
            StageOpen { formats: formats("f16", "f16"), ..good },
            ErrorCode::WrongModel,
            "the stage before holds weights as f16, this one as q8",
        ),
        (StageOpen { formats: formats("q8", "f32"), ..good }, ErrorCode::WrongModel, "--kv"),
        (
            StageOpen { fingerprint: Fingerprint([9; 32]), ..good },
            ErrorCode::WrongModel,
            "the same model",
        ),
        (
            StageOpen { split: Split { input_layers: 1, output_layers: 1 }, ..good },
            ErrorCode::WrongSplit,
            "--split",
        ),
        (StageOpen { hidden: 9, ..good }, ErrorCode::WrongHidden, "9 values"),
        (StageOpen { first_layer: 3, ..good }, ErrorCode::WrongStage, "--layers 3..B"),
        (StageOpen { context: usize::MAX, ..good }, ErrorCode::WrongStage, "tokens a session"),
        (StageOpen { max_sessions: 65, ..good }, ErrorCode::WrongStage, "--max-sessions"),
        (StageOpen { max_batch_rows: usize::MAX, ..good }, ErrorCode::WrongStage, "--batch-rows"),
    ] {
        let mut upstream = Upstream::dial(last.addr).await;
        upstream.say(StageUp::Open(open)).await;
        let failure = upstream.failure().await;
        assert!(
            failure.code == code && failure.message.contains(part) && !code.is_transient(),
            "{failure:?}"
        );
    }
    for open in [good, StageOpen { formats: Formats::UNKNOWN, ..good }] {
        assert_eq!(
            Upstream::dial(last.addr).await.open(open).await,
            Ok(StageOpened { stages: 1, end_layer: 5 })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_says_at_its_start_what_is_wrong_with_the_next() {
    let last = start(stage(4..5, None), toy());
    let connect = |config: CloudConfig, hidden: usize| async move {
        let mut cloud = Cloud::bind(config, SERVED).unwrap();
        cloud.connect_next(hidden).await
    };
    assert_eq!(connect(stage(3..4, Some(last.addr)), HIDDEN).await.unwrap(), 2);
    assert_eq!(connect(stage(4..5, None), HIDDEN).await.unwrap(), 1);
    for (config, hidden, part) in [
        (stage(2..3, Some(last.addr)), HIDDEN, "--layers 3..B"),
        (stage(3..4, Some(last.addr)), 9, "9 values"),
        (
            CloudConfig { max_sessions: 65, ..stage(3..4, Some(last.addr)) },
            HIDDEN,
            "--max-sessions",
        ),
    ] {
        match connect(config, hidden).await {
            Err(error @ CloudError::NextRefused { .. }) => {
                assert!(error.to_string().contains(part), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
    // A first stage serves devices only.
    let first = start(config(), toy());
    let error = connect(stage(3..4, Some(first.addr)), HIDDEN).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::NextRefused { reason, .. } if reason.contains("first layers")),
        "{error}"
    );
    let nonsense = CloudConfig { next: Some("ftp://x".to_owned()), ..stage(3..4, Some(last.addr)) };
    assert!(matches!(connect(nonsense, HIDDEN).await, Err(CloudError::Address(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_told_where_to_go() {
    let last = start(stage(4..5, None), toy());
    let mut device = Device::dial(last.addr).await;
    let failure = device.open(good_open()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::NotFirstStage);
    assert!(
        !failure.code.is_transient()
            && failure.message.contains("connect to the cloud that holds layer 2"),
        "{failure:?}"
    );
    let status = dial(last.addr).await.describe(proto::DescribeRequest {}).await.unwrap_err();
    assert!(status.message().contains("later stage"), "{status}");
}

/// What a stage says to messages that no stage of ours sends; the first may be an `Open`.
async fn refusal(addr: SocketAddr, messages: Vec<proto::StageUp>) -> ErrorCode {
    let mut upstream = Upstream::dial(addr).await;
    let opens = messages
        .first()
        .is_some_and(|message| matches!(message.message, Some(proto::stage_up::Message::Open(_))));
    for message in messages {
        upstream.say_raw(message).await;
    }
    if opens {
        assert!(matches!(upstream.hear().await, Some(tricorn_wire::StageDown::Opened(_))));
    }
    upstream.failure().await.code
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_end_their_stream_and_nothing_else() {
    let last = start(stage(4..5, None), toy());
    let mut good = Upstream::connect(last.addr, 4).await;
    let open = || proto::StageUp::from(StageUp::Open(stage_open(4)));
    let raw = |batch: proto::StageBatch| proto::StageUp {
        message: Some(proto::stage_up::Message::Batch(batch)),
    };
    let raw_entry = proto::StageEntry { session: 1, pos: 0, row_count: 1, answer_rows: 1 };
    let bytes = |value: f32, rows: usize| value.to_le_bytes().repeat(rows * HIDDEN).into();
    let batch = |entry, rows| {
        raw(proto::StageBatch { id: 1, entries: vec![entry], rows, closed: Vec::new() })
    };
    for (messages, code) in [
        (vec![proto::StageUp { message: None }], ErrorCode::BadMessage),
        (vec![batch(raw_entry, bytes(1.0, 1))], ErrorCode::BadMessage),
        (vec![open(), open()], ErrorCode::BadMessage),
        (vec![open(), batch(raw_entry, bytes(1.0, 2))], ErrorCode::BadMessage),
        (vec![open(), batch(raw_entry, bytes(f32::NAN, 1))], ErrorCode::BadFloat),
        (
            vec![open(), batch(proto::StageEntry { row_count: 0, ..raw_entry }, bytes(1.0, 0))],
            ErrorCode::BadMessage,
        ),
        (
            vec![open(), batch(proto::StageEntry { answer_rows: 2, ..raw_entry }, bytes(1.0, 1))],
            ErrorCode::BadMessage,
        ),
        (
            vec![open(), batch(proto::StageEntry { pos: u64::MAX, ..raw_entry }, bytes(1.0, 1))],
            ErrorCode::BadMessage,
        ),
        (
            vec![open(), batch(proto::StageEntry { row_count: 65, ..raw_entry }, bytes(1.0, 65))],
            ErrorCode::TooLarge,
        ),
        (
            vec![
                open(),
                batch(proto::StageEntry { row_count: u64::MAX, ..raw_entry }, bytes(1.0, 1)),
            ],
            ErrorCode::TooLarge,
        ),
        (vec![open(), batch(raw_entry, vec![0; 1 << 20].into())], ErrorCode::TooLarge),
        (
            vec![
                open(),
                raw(proto::StageBatch {
                    id: 1,
                    entries: vec![raw_entry; 2],
                    rows: bytes(1.0, 2),
                    closed: Vec::new(),
                }),
            ],
            ErrorCode::BadMessage,
        ),
    ] {
        assert_eq!(refusal(last.addr, messages.clone()).await, code, "{messages:?}");
    }
    let mut hasty = Upstream::dial(
        start(CloudConfig { open_timeout: Duration::from_millis(10), ..stage(4..5, None) }, toy())
            .addr,
    )
    .await;
    assert_eq!(hasty.failure().await.code, ErrorCode::Deadline);
    good.batch(1, vec![entry(1, 0, 2)], Vec::new(), &session_rows(1, 2)).await;
    assert_eq!(good.done(2).await.1, through(1, &session_rows(1, 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_fails_alone() {
    // The last stage has memory for ten rows of a session.
    let last = start(stage(4..5, None), Toy { memory: 10, ..toy() });
    let middle = start(stage(3..4, Some(last.addr)), toy());
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    let (long, short, gap) = (session_rows(1, 12), session_rows(2, 4), session_rows(3, 1));
    let batch = [&long[..], &short, &gap].concat();
    upstream
        .batch(1, vec![entry(1, 0, 12), entry(2, 0, 4), entry(3, 5, 1)], Vec::new(), &batch)
        .await;
    let (done, answer) = upstream.done(4).await;
    assert_eq!(answer, through(2, &short));
    let mut failed: Vec<(u64, ErrorCode)> =
        done.failed.iter().map(|(session, failure)| (*session, failure.code)).collect();
    failed.sort_unstable_by_key(|(session, _)| *session);
    assert_eq!(failed, [(1, ErrorCode::Busy), (3, ErrorCode::StageLost)]);
    // What failed is forgotten in every stage, the other goes on.
    let again = session_rows(4, 6);
    upstream
        .batch(2, vec![entry(2, 4, 6), entry(1, 0, 6)], Vec::new(), &[&again[..], &again].concat())
        .await;
    let (done, answer) = upstream.done(12).await;
    assert!(done.failed.is_empty());
    assert_eq!(
        answer,
        [&through(2, &[&short[..], &again].concat())[4 * HIDDEN..], &through(2, &again)].concat()
    );
}

/// Doubles every value.
struct Doubling;

impl MiddleModel for Doubling {
    type Kv = ();
    type Error = String;

    fn hidden(&self) -> usize {
        HIDDEN
    }

    fn new_kv(&self, _: usize) {}

    fn prepare(&self, (): &mut (), _: usize, _: usize) -> Result<(), String> {
        Ok(())
    }

    fn forward(&self, _: &mut [BatchEntry<'_, ()>], x: &mut [f32]) -> Result<(), String> {
        x.iter_mut().for_each(|value| *value *= 2.0);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_overflow_fail_alone() {
    let last = start(stage(4..5, None), Doubling);
    let middle = start(stage(3..4, Some(last.addr)), Doubling);
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    // The first overflows in the middle stage, the second in the last.
    let rows: Vec<f32> =
        [f32::MAX, f32::MAX / 3.0, 1.5].into_iter().flat_map(|value| [value; HIDDEN]).collect();
    upstream
        .batch(1, vec![entry(1, 0, 1), entry(2, 0, 1), entry(3, 0, 1)], Vec::new(), &rows)
        .await;
    let (done, answer) = upstream.done(1).await;
    assert_eq!(answer, [6.0; HIDDEN]);
    let mut failed: Vec<(u64, ErrorCode)> =
        done.failed.iter().map(|(session, failure)| (*session, failure.code)).collect();
    failed.sort_unstable_by_key(|(session, _)| *session);
    assert_eq!(failed, [(1, ErrorCode::Internal), (2, ErrorCode::Internal)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_starts_on_a_batch_while_the_next_has_the_one_before() {
    let (here, behind) = (Gate::closed(), Gate::closed());
    let last = start(stage(4..5, None), gated(&behind));
    let middle = start(stage(3..4, Some(last.addr)), gated(&here));
    here.open();
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    for session in 1..=2 {
        upstream
            .batch(
                session,
                vec![entry(session, 0, 3)],
                Vec::new(),
                &session_rows(session as usize, 3),
            )
            .await;
    }
    visitor(&behind, 1).await;
    visitor(&here, 2).await;
    behind.open();
    for session in 1..=2 {
        let (done, answer) = upstream.done(3).await;
        assert_eq!((done.id, answer), (session, through(2, &session_rows(session as usize, 3))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_batches_of_one_session_keep_their_order() {
    let last = start(stage(4..5, None), toy());
    let middle = start(stage(3..4, Some(last.addr)), toy());
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    let sequence = session_rows(1, 60);
    for pos in 0..60 {
        upstream
            .batch(
                pos as u64,
                vec![entry(1, pos, 1)],
                Vec::new(),
                &sequence[pos * HIDDEN..][..HIDDEN],
            )
            .await;
    }
    let mut answers = Vec::new();
    for pos in 0..60 {
        let (done, answer) = upstream.done(1).await;
        assert_eq!(done.id, pos);
        answers.extend(answer);
    }
    assert_eq!(answers, through(2, &sequence));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_forgotten_everywhere() {
    let (here, behind) = (Counted::default(), Counted::default());
    let last = start(stage(4..5, None), behind.clone());
    let middle = start(stage(3..4, Some(last.addr)), here.clone());
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    let mut ids = 0..;
    let mut run = async |upstream: &mut Upstream, entries: Vec<StageEntry>, closed: Vec<u64>| {
        let rows = vec![1.0; entries.iter().map(|entry| entry.rows).sum::<usize>() * HIDDEN];
        let answered = entries.len();
        upstream.batch(ids.next().unwrap(), entries, closed, &rows).await;
        upstream.done(answered).await;
        (here.count(), behind.count())
    };
    let three = (1..=3).map(|session| entry(session, 0, 1)).collect();
    assert_eq!(run(&mut upstream, three, Vec::new()).await, (3, 3));
    assert_eq!(run(&mut upstream, vec![entry(3, 0, 1)], vec![1]).await, (2, 2));
    // Nothing but names; those that are not known do not matter.
    assert_eq!(run(&mut upstream, Vec::new(), vec![2, 77]).await, (1, 1));
    // An upstream that goes takes everything along, without another batch.
    drop(upstream);
    here.becomes(0).await;
    behind.becomes(0).await;
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    assert_eq!(run(&mut upstream, vec![entry(1, 0, 1)], Vec::new()).await, (1, 1));
    drop(middle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stage_is_told_upstream_and_found_again() {
    let last = start(stage(4..5, None), toy());
    let addr = last.addr;
    let middle = start(stage(3..4, Some(addr)), toy());
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    upstream.batch(1, vec![entry(1, 0, 2)], Vec::new(), &session_rows(1, 2)).await;
    upstream.done(2).await;
    last.stop().await.unwrap();
    assert_eq!(upstream.failure().await.code, ErrorCode::StageLost);
    let refused = Upstream::dial(middle.addr).await.open(stage_open(3)).await.unwrap_err();
    assert!(refused.code == ErrorCode::StageLost && refused.code.is_transient(), "{refused:?}");
    let _last = start(CloudConfig { listen: addr, ..stage(4..5, None) }, toy());
    let mut upstream = loop {
        let mut upstream = Upstream::dial(middle.addr).await;
        match upstream.open(stage_open(3)).await {
            Ok(_) => break upstream,
            Err(failure) => assert_eq!(failure.code, ErrorCode::StageLost),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    // Nothing is remembered of the time before.
    upstream.batch(2, vec![entry(1, 2, 1)], Vec::new(), &session_rows(1, 1)).await;
    assert_eq!(upstream.done(0).await.0.failed[0].1.code, ErrorCode::StageLost);
    upstream.batch(3, vec![entry(1, 0, 3)], Vec::new(), &session_rows(1, 3)).await;
    assert_eq!(upstream.done(3).await.1, through(2, &session_rows(1, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_hangs_is_lost() {
    let gate = Gate::closed();
    let last = start(stage(4..5, None), gated(&gate));
    let middle = start(
        CloudConfig { next_deadline: Duration::from_millis(100), ..stage(3..4, Some(last.addr)) },
        toy(),
    );
    let mut upstream = Upstream::connect(middle.addr, 3).await;
    upstream.batch(1, vec![entry(1, 0, 2)], Vec::new(), &session_rows(1, 2)).await;
    let failure = upstream.failure().await;
    gate.open();
    assert!(
        failure.code == ErrorCode::StageLost && failure.message.contains("no answer within 100ms"),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_panics_ends_its_stage_and_tells_upstream() {
    let last = start(stage(4..5, None), toy());
    let mut upstream = Upstream::connect(last.addr, 4).await;
    upstream.batch(1, vec![entry(1, 0, 1)], Vec::new(), &[POISON; HIDDEN]).await;
    assert_eq!(upstream.failure().await.code, ErrorCode::Internal);
    assert!(matches!(
        last.ended().await,
        Err(CloudError::Scheduler(message)) if message.contains("poisoned")
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_stops_says_so() {
    let last = start(stage(4..5, None), toy());
    let mut upstream = Upstream::connect(last.addr, 4).await;
    last.stop().await.unwrap();
    assert_eq!(upstream.failure().await.code, ErrorCode::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_longer_than_the_context_fails_its_session() {
    let last = start(stage(4..5, None), toy());
    let mut upstream = Upstream::dial(last.addr).await;
    upstream.open(StageOpen { context: 8, ..stage_open(4) }).await.unwrap();
    upstream.batch(1, vec![entry(1, 0, 9)], Vec::new(), &session_rows(1, 9)).await;
    assert_eq!(upstream.done(0).await.0.failed[0].1.code, ErrorCode::BadAppend);
}
