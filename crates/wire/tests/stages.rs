//! Messages between stages survive the wire, and hostile ones are refused by the name of the field
//! that is wrong.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use tricorn_core::{Fingerprint, FormatName, Formats, Split, StageEntry};
use tricorn_wire::{
    ErrorCode, Failure, StageBatch, StageDone, StageDown, StageOpen, StageOpened, StageUp,
    WireError, limits::max_stage_message_bytes, proto,
};

const HIDDEN: usize = 3;

fn over_the_wire<M, P>(message: M) -> Result<M, WireError>
where
    P: Message + Default + From<M>,
    M: TryFrom<P, Error = WireError>,
{
    P::decode(P::from(message).encode_to_vec().as_slice()).unwrap().try_into()
}

fn finite() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("finite", |value| value.is_finite())
}

fn entries() -> impl Strategy<Value = Vec<StageEntry>> {
    let entry = (0..usize::MAX / 2, 1..50_usize, 0..50_usize);
    prop::collection::btree_map(any::<u64>(), entry, 0..8).prop_map(|entries| {
        let entry = |(session, (pos, rows, answer_rows)): (u64, (usize, usize, usize))| {
            StageEntry { session, pos, rows, answer_rows: answer_rows.min(rows) }
        };
        entries.into_iter().map(entry).collect()
    })
}

fn up() -> impl Strategy<Value = StageUp> {
    let open = (any::<[u8; 32]>(), any::<[usize; 7]>()).prop_map(
        |(print, [m, k, hidden, first_layer, context, max_sessions, rows])| {
            StageUp::Open(StageOpen {
                fingerprint: Fingerprint(print),
                split: Split { input_layers: m, output_layers: k },
                hidden,
                first_layer,
                context,
                max_sessions,
                max_batch_rows: rows,
                formats: Formats { weights: FormatName::new("q8"), kv: None },
            })
        },
    );
    let batch = (any::<u64>(), entries(), prop::collection::vec(any::<u64>(), 0..5)).prop_map(
        |(id, entries, closed)| {
            let rows: Vec<f32> = (0..entries.iter().map(|entry| entry.rows).sum::<usize>()
                * HIDDEN)
                .map(|i| i as f32 / 3.0)
                .collect();
            StageUp::Batch(StageBatch::encode(id, entries, closed, HIDDEN, &rows).unwrap())
        },
    );
    prop_oneof![open, batch]
}

fn failure() -> impl Strategy<Value = Failure> {
    (0..=16_i32, ".*")
        .prop_map(|(code, message)| Failure { code: ErrorCode::try_from(code).unwrap(), message })
}

fn down() -> impl Strategy<Value = StageDown> {
    let opened = (1..usize::MAX, any::<usize>())
        .prop_map(|(stages, end_layer)| StageDown::Opened(StageOpened { stages, end_layer }));
    let micros = || (0..3_600_000_000_u64).prop_map(Duration::from_micros);
    let done = (
        any::<u64>(),
        prop::collection::vec((any::<u64>(), failure()), 0..4),
        micros(),
        micros(),
        0..64_usize,
    )
        .prop_map(|(id, failed, compute, queue, bytes)| {
            StageDown::Done(StageDone {
                id,
                rows: Bytes::from(vec![1; bytes]),
                failed,
                compute,
                queue,
            })
        });
    prop_oneof![opened, done, failure().prop_map(StageDown::Failed)]
}

proptest! {
    #[test]
    fn upstream_round_trip(message in up()) {
        prop_assert_eq!(over_the_wire::<_, proto::StageUp>(message.clone()).unwrap(), message);
    }

    #[test]
    fn downstream_round_trip(message in down()) {
        prop_assert_eq!(over_the_wire::<_, proto::StageDown>(message.clone()).unwrap(), message);
    }

    #[test]
    fn rows_are_exact(values in prop::collection::vec(finite(), HIDDEN * 4)) {
        let entry = StageEntry { session: 1, pos: 0, rows: 4, answer_rows: 4 };
        let batch = StageBatch::encode(1, vec![entry], Vec::new(), HIDDEN, &values).unwrap();
        let rows = StageDone::encode_rows(4, HIDDEN, &values).unwrap();
        let zero = Duration::ZERO;
        let done = StageDone { id: 1, rows, failed: Vec::new(), compute: zero, queue: zero };
        for decoded in [batch.decode(HIDDEN).unwrap(), done.decode(4, HIDDEN).unwrap()] {
            for (back, value) in decoded.iter().zip(&values) {
                prop_assert_eq!(back.to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn whatever_arrives_is_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(up) = proto::StageUp::decode(bytes.as_slice())
            && let Ok(StageUp::Batch(batch)) = StageUp::try_from(up)
        {
            let _ = batch.decode(HIDDEN);
        }
        if let Ok(down) = proto::StageDown::decode(bytes.as_slice()) {
            let _ = StageDown::try_from(down);
        }
    }
}

fn raw_entry() -> proto::StageEntry {
    proto::StageEntry { session: 5, pos: 2, row_count: 2, answer_rows: 1 }
}

fn refused(entries: Vec<proto::StageEntry>) -> WireError {
    let batch = proto::StageBatch { id: 1, entries, rows: Bytes::new(), closed: Vec::new() };
    StageUp::try_from(proto::StageUp { message: Some(proto::stage_up::Message::Batch(batch)) })
        .unwrap_err()
}

#[test]
fn entries_that_make_no_sense_are_refused() {
    for (entry, field) in [
        (proto::StageEntry { row_count: 0, ..raw_entry() }, "stage_entry.row_count"),
        (proto::StageEntry { answer_rows: 3, ..raw_entry() }, "stage_entry.answer_rows"),
        (
            proto::StageEntry { pos: u64::MAX, ..raw_entry() },
            "stage_entry.pos + stage_entry.row_count",
        ),
    ] {
        assert!(
            matches!(
                refused(vec![entry]),
                WireError::OutOfRange { field: found, .. } if found == field
            ),
            "{field}"
        );
    }
    let twice = WireError::OutOfRange { field: "stage_entry.session", value: 5 };
    assert_eq!(refused(vec![raw_entry(), raw_entry()]), twice);
}

#[test]
fn rows_must_have_the_length_that_the_entries_call_for() {
    let entry = |rows| StageEntry { session: 1, pos: 0, rows, answer_rows: 0 };
    let batch = |rows, bytes| StageBatch {
        id: 1,
        entries: vec![entry(rows)],
        rows: Bytes::from(vec![0; bytes]),
        closed: Vec::new(),
    };
    assert!(batch(2, 2 * HIDDEN * 4).decode(HIDDEN).is_ok());
    for (rows, bytes) in [(2, 2 * HIDDEN * 4 - 1), (3, 2 * HIDDEN * 4), (usize::MAX, 0)] {
        assert!(
            matches!(
                batch(rows, bytes).decode(HIDDEN),
                Err(WireError::Length { field: "stage_batch.rows", .. })
            ),
            "{rows} {bytes}"
        );
    }
    let infinite =
        StageBatch { rows: Bytes::from(f32::INFINITY.to_le_bytes().repeat(HIDDEN)), ..batch(1, 0) };
    assert!(matches!(infinite.decode(HIDDEN), Err(WireError::NotFinite { .. })));
}

#[test]
fn absurd_figures_are_cut_and_no_stage_at_all_is_refused() {
    let done = proto::StageDone {
        id: 1,
        rows: Bytes::new(),
        failed: Vec::new(),
        compute_us: u64::MAX,
        queue_us: u64::MAX,
    };
    let message = proto::StageDown { message: Some(proto::stage_down::Message::Done(done)) };
    let StageDown::Done(done) = StageDown::try_from(message).unwrap() else { panic!("not Done") };
    assert_eq!((done.compute, done.queue), (Duration::from_secs(3600), Duration::from_secs(3600)));
    let opened = proto::stage_down::Message::Opened(proto::StageOpened { stages: 0, end_layer: 4 });
    assert!(StageDown::try_from(proto::StageDown { message: Some(opened) }).is_err());
}

#[test]
fn the_largest_message_keeps_to_the_limit() {
    let entries: Vec<StageEntry> = (0..64)
        .map(|i| StageEntry { session: u64::MAX - i, pos: usize::MAX - 1, rows: 1, answer_rows: 1 })
        .collect();
    let closed = (0..64).map(|i| u64::MAX - i).collect();
    let batch = StageBatch::encode(u64::MAX, entries, closed, HIDDEN, &[1.0; 64 * HIDDEN]).unwrap();
    assert!(
        proto::StageUp::from(StageUp::Batch(batch)).encoded_len()
            <= max_stage_message_bytes(64, 64, HIDDEN)
    );
    assert_eq!(max_stage_message_bytes(usize::MAX, usize::MAX, usize::MAX), usize::MAX);
}
