//! Messages between the clouds of one middle, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use tricorn_fuzz::messages::{assert_rows, received};
use tricorn_wire::{StageBatch, StageDown, StageUp, proto};

const HIDDEN: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    if let Some(StageUp::Batch(batch)) = received::<proto::StageUp, StageUp>(bytes) {
        check(&batch);
        assert_rows(batch.decode(HIDDEN), batch.rows.len());
    }
    if let Some(StageDown::Done(done)) = received::<proto::StageDown, StageDown>(bytes) {
        let rows = done.rows.len() / (4 * HIDDEN);
        assert_rows(done.decode(rows, HIDDEN), done.rows.len());
    }
});

/// The promises of a batch that was received.
fn check(batch: &StageBatch) {
    let mut sessions = BTreeSet::new();
    for entry in &batch.entries {
        assert!(sessions.insert(entry.session));
        assert!(entry.rows > 0 && entry.answer_rows <= entry.rows);
        assert!(entry.pos.checked_add(entry.rows).is_some());
    }
}
