//! Memory for KV caches that is used up, and what a device is told then.

use std::{path::Path, sync::Arc};

use crate::common::{
    Device, Running, Upstream, append, config, entry, good_open, stage, stage_open, start_serving,
};
use tricorn_cloud::{CloudConfig, PooledMiddle, Served};
use tricorn_core::{Formats, Split};
use tricorn_model::{KvPool, MiddlePart, ModelSource};
use tricorn_wire::{ErrorCode, Failure, Open, StageOpen};

/// Values in one hidden row of the model.
const HIDDEN: usize = 32;
const SPLIT: Split = Split { input_layers: 1, output_layers: 1 };

/// The middle of a small model in a cloud with 64 bytes for KV caches.
fn poor(config: CloudConfig) -> Running {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/llama");
    let source = Arc::new(ModelSource::open(&path).unwrap());
    assert_eq!(source.config().hidden, HIDDEN);
    let layers = config.held.clone().unwrap_or(1..3);
    let middle = PooledMiddle::new(
        MiddlePart::load_layers(&source, SPLIT, layers).unwrap(),
        KvPool::new(64),
    );
    let served = Served {
        fingerprint: good_open().fingerprint,
        split: SPLIT,
        layers: source.config().layers,
        formats: Formats::UNKNOWN,
    };
    start_serving(served, config, middle)
}

#[track_caller]
fn names_the_mend(failure: &Failure) {
    assert_eq!(failure.code, ErrorCode::Busy, "{failure}");
    let whole = "all 64 bytes of KV memory are used up; try shorter texts, or give the cloud more \
                 --kv-memory";
    assert_eq!(failure.message, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_kv_memory_ends_as_busy_and_names_the_flag() {
    let cloud = poor(config());
    let mut device = Device::dial(cloud.addr).await;
    device.open(Open { split: SPLIT, hidden: HIDDEN, ..good_open() }).await.unwrap();
    device.append(append(0, 0, 2), &[0.5; 2 * HIDDEN]).await;
    names_the_mend(&device.failure().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_of_a_later_stage() {
    let later = poor(stage(2..3, None));
    let mut upstream = Upstream::dial(later.addr).await;
    upstream.open(StageOpen { split: SPLIT, hidden: HIDDEN, ..stage_open(2) }).await.unwrap();
    upstream.batch_of(HIDDEN, 1, vec![entry(7, 0, 2)], &[0.5; 2 * HIDDEN]).await;
    let (done, _) = upstream.done(0).await;
    assert_eq!(done.failed.len(), 1);
    names_the_mend(&done.failed[0].1);
}
