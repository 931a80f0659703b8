//! Hostile devices get a typed error, while the others notice nothing.

use std::{net::SocketAddr, time::Duration};

use crate::common::{
    Device, Gate, HIDDEN, LIMITS, POISON, POISON_CONTEXT, Running, SERVED, Toy, append, config,
    connect, dial, formats, good_open, start, start_serving,
};
use tonic::transport::Endpoint;
use tricorn_cloud::{Cloud, CloudError, Served};
use tricorn_core::{AppendHeader, Fingerprint, HiddenCodec, Split};
use tricorn_wire::{Append, Downlink, ErrorCode, Failure, Open, Uplink, proto, transport};

const INPUT: [f32; 4 * HIDDEN] = [3.0; 4 * HIDDEN];

/// A cloud, a bystander in the middle of a session, and a device to misbehave with.
async fn scene() -> (Running, Device, Device) {
    let cloud = start(config(), Toy::new(HIDDEN));
    let mut bystander = connect(cloud.addr).await;
    bystander.converse(&INPUT, 4).await;
    let device = connect(cloud.addr).await;
    (cloud, bystander, device)
}

/// Whatever happened to the other, this session still has its rows.
async fn unharmed(bystander: &mut Device) {
    bystander.append(append(0, 4, 1), &[5.0; HIDDEN]).await;
    let sequence = [INPUT.as_slice(), &[5.0; HIDDEN]].concat();
    assert_eq!(bystander.deep().await.1, Toy::answer(HIDDEN, &sequence)[4 * HIDDEN..]);
}

async fn refused_open(open: Open) -> Failure {
    let cloud = start(config(), Toy::new(HIDDEN));
    let mut device = Device::dial(cloud.addr).await;
    device.say(Uplink::Open(open)).await;
    device.failure().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_is_refused_with_both_fingerprints() {
    let theirs = Fingerprint([8; 32]);
    let failure = refused_open(Open { fingerprint: theirs, ..good_open() }).await;
    assert_eq!(failure.code, ErrorCode::WrongModel);
    assert!(
        failure.message.contains(&theirs.to_string())
            && failure.message.contains(&SERVED.fingerprint.to_string()),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_split_is_refused_with_both_splits() {
    let failure =
        refused_open(Open { split: Split { input_layers: 3, output_layers: 0 }, ..good_open() })
            .await;
    assert_eq!(failure.code, ErrorCode::WrongSplit);
    assert!(failure.message.contains("3:0") && failure.message.contains("2:1"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_of_weights_and_kv_caches_are_refused_and_unknown_ones_are_not() {
    let served = Served { formats: formats("q4k", "f16"), ..SERVED };
    let cloud = start_serving(served, config(), Toy::new(HIDDEN));
    for (theirs, parts) in [
        (
            formats("stored", "f16"),
            ["the device holds weights as stored", "this cloud as q4k", "--quant"],
        ),
        (formats("q4k", "f32"), ["the device has KV caches in f32", "this cloud in f16", "--kv"]),
    ] {
        let mut device = Device::dial(cloud.addr).await;
        device.say(Uplink::Open(Open { formats: theirs, ..good_open() })).await;
        let failure = device.failure().await;
        assert_eq!(failure.code, ErrorCode::WrongModel);
        assert!(parts.iter().all(|part| failure.message.contains(part)), "{failure}");
    }
    for theirs in [formats("q4k", "f16"), formats("", ""), formats("q4k", "")] {
        Device::dial(cloud.addr).await.open(Open { formats: theirs, ..good_open() }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hidden_size_and_unknown_codecs_are_refused() {
    assert_eq!(
        refused_open(Open { hidden: HIDDEN + 1, ..good_open() }).await.code,
        ErrorCode::WrongHidden
    );
    assert_eq!(refused_open(Open { codecs: vec![], ..good_open() }).await.code, ErrorCode::NoCodec);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_turn() {
    let (cloud, mut bystander, mut device) = scene().await;
    device.say(Uplink::Open(good_open())).await;
    assert_eq!(device.failure().await.code, ErrorCode::BadMessage);
    let mut early = Device::dial(cloud.addr).await;
    early.append(append(0, 0, 4), &INPUT).await;
    assert_eq!(early.failure().await.code, ErrorCode::BadMessage);
    let mut empty = Device::dial(cloud.addr).await;
    empty.say_raw(proto::Uplink { message: None }).await;
    assert_eq!(empty.failure().await.code, ErrorCode::BadMessage);
    unharmed(&mut bystander).await;
}

/// The failure that `header` with `bytes` ends its session with, while a bystander goes on.
async fn refused(header: AppendHeader, bytes: Vec<u8>) -> Failure {
    let (_cloud, mut bystander, mut device) = scene().await;
    device.say(Uplink::Append(Append { header, rows: bytes.into() })).await;
    let failure = device.failure().await;
    unharmed(&mut bystander).await;
    failure
}

fn zeros(rows: usize) -> Vec<u8> {
    vec![0; rows * HIDDEN * 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_do_not_fit() {
    let gap = refused(append(0, 3, 1), zeros(1)).await;
    assert_eq!(gap.code, ErrorCode::BadAppend);
    assert!(gap.message.contains("gap"), "{gap}");
    assert_eq!(refused(append(0, 0, 0), zeros(0)).await.code, ErrorCode::BadAppend);
    assert_eq!(
        refused(append(0, LIMITS.context - 1, 2), zeros(2)).await.code,
        ErrorCode::BadAppend
    );
    assert_eq!(refused(append(0, usize::MAX - 4, 2), zeros(2)).await.code, ErrorCode::BadAppend);
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_appends() {
    let rows = LIMITS.max_append_rows + 1;
    let failure = refused(append(0, 0, rows), zeros(rows)).await;
    assert_eq!(failure.code, ErrorCode::TooLarge);
    assert!(failure.message.contains("17") && failure.message.contains("16"), "{failure}");
    // A header that claims more than any message holds, and a message over the transport's own
    // limit.
    assert_eq!(refused(append(0, 0, usize::MAX / 2), zeros(1)).await.code, ErrorCode::TooLarge);
    assert_eq!(refused(append(0, 0, 1), vec![0; 1 << 20]).await.code, ErrorCode::TooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_with_the_wrong_number_of_bytes() {
    for bytes in [zeros(2)[1..].to_vec(), zeros(1), zeros(3), vec![]] {
        let failure = refused(append(0, 0, 2), bytes).await;
        assert_eq!(failure.code, ErrorCode::BadAppend);
        assert!(failure.message.contains("append.rows"), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_with_nan_or_infinity() {
    for bits in [0x7e00_u16, 0x7c00, 0xfc00] {
        let mut bytes = zeros(3);
        bytes[(HIDDEN + 5) * 2..][..2].copy_from_slice(&bits.to_le_bytes());
        let failure = refused(append(0, 0, 3), bytes).await;
        assert_eq!(failure.code, ErrorCode::BadFloat);
        assert!(failure.message.contains("row 1, column 5"), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_protobuf() {
    let (cloud, mut bystander, _device) = scene().await;
    let channel =
        Endpoint::from_shared(format!("http://{}", cloud.addr)).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = "/tricorn.v1.Middle/Session".parse().unwrap();
    // DescribeResponse's first field is a byte string where Uplink's is a message: 32 bytes of 0xff
    // are none.
    let garbage =
        proto::DescribeResponse { model_fingerprint: vec![0xff; 32].into(), ..Default::default() };
    let codec = tonic_prost::ProstCodec::<proto::DescribeResponse, proto::Downlink>::default();
    let mut down = grpc
        .streaming(tonic::Request::new(tokio_stream::once(garbage)), path, codec)
        .await
        .unwrap()
        .into_inner();
    let Ok(Some(message)) = down.message().await else { panic!("no answer") };
    assert!(matches!(
        Downlink::try_from(message),
        Ok(Downlink::Failed(Failure { code: ErrorCode::BadMessage, .. }))
    ));
    unharmed(&mut bystander).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_vanishes_mid_append() {
    let gate = Gate::closed();
    let mut config = config();
    config.max_sessions = 2;
    let cloud = start(config, Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let mut bystander = connect(cloud.addr).await;
    let device = connect(cloud.addr).await;
    device.append(append(0, 0, 4), &INPUT).await;
    tokio::task::spawn_blocking({
        let gate = gate.clone();
        move || gate.wait_for_visitor(1)
    })
    .await
    .unwrap();
    drop(device);
    gate.open();
    bystander.converse(&INPUT, 2).await;
    unharmed(&mut bystander).await;
    // Its place is free again, sooner or later.
    loop {
        let mut next = Device::dial(cloud.addr).await;
        match next.open(good_open()).await {
            Ok(_) => break,
            Err(failure) => assert_eq!(failure.code, ErrorCode::Busy),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_too_many() {
    let mut config = config();
    config.max_sessions = 2;
    let cloud = start(config, Toy::new(HIDDEN));
    let (mut first, mut second) = (connect(cloud.addr).await, connect(cloud.addr).await);
    let mut third = Device::dial(cloud.addr).await;
    third.say(Uplink::Open(good_open())).await;
    let failure = third.failure().await;
    assert!(failure.code == ErrorCode::Busy && failure.code.is_transient());
    first.converse(&INPUT, 4).await;
    second.converse(&INPUT, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_memory_left() {
    let cloud = start(config(), Toy { memory: 8, ..Toy::new(HIDDEN) });
    let (mut small, mut large) = (connect(cloud.addr).await, connect(cloud.addr).await);
    small.converse(&INPUT, 4).await;
    large.append(append(0, 0, 9), &[1.0; 9 * HIDDEN]).await;
    assert_eq!(large.failure().await.code, ErrorCode::Busy);
    unharmed(&mut small).await;
}

/// A device whose windows hold next to nothing, so that the cloud is stuck with its answers at
/// once.
async fn slow_reader(addr: SocketAddr, hidden: usize) -> Device {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))
        .unwrap()
        .initial_stream_window_size(1 << 10);
    let mut device =
        Device::over(transport::client(endpoint.connect().await.unwrap(), 64 << 20)).await;
    device.open(Open { hidden, codecs: vec![HiddenCodec::F32], ..good_open() }).await.unwrap();
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_dropped_and_the_others_go_on() {
    const WIDE: usize = 8192;
    let mut config = config();
    config.outbox_rows = LIMITS.max_append_rows;
    let cloud = start(config, Toy::new(WIDE));
    let mut slow = slow_reader(cloud.addr, WIDE).await;
    let mut bystander = Device::dial(cloud.addr).await;
    bystander.open(Open { hidden: WIDE, ..good_open() }).await.unwrap();
    let rows = vec![1.0; LIMITS.max_append_rows * WIDE];
    // Each answer is 512 KiB, far more than the transport takes beyond the outbox for all of them
    // together.
    for _ in 0..8 {
        slow.append(append(0, 0, LIMITS.max_append_rows), &rows).await;
    }
    bystander.converse(&rows, 4).await;
    // The cloud has dropped the session when its place is given up; only then is it read.
    let mut client = dial(cloud.addr).await;
    while client
        .describe(proto::DescribeRequest {})
        .await
        .unwrap()
        .into_inner()
        .load
        .unwrap()
        .sessions
        > 1
    {
        tokio::task::yield_now().await;
    }
    let failure = loop {
        match slow.hear().await {
            Some(Downlink::Deep(_)) => {}
            Some(Downlink::Failed(failure)) => break failure,
            other => panic!("expected Failed, got {other:?}"),
        }
    };
    assert_eq!(failure.code, ErrorCode::SlowReader);
    bystander.converse(&rows, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_says_nothing() {
    let mut config = config();
    (config.open_timeout, config.idle_timeout) =
        (Duration::from_millis(20), Duration::from_millis(20));
    let cloud = start(config, Toy::new(HIDDEN));
    let mut mute = Device::dial(cloud.addr).await;
    assert_eq!(mute.failure().await.code, ErrorCode::Deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_falls_silent() {
    let mut config = config();
    config.idle_timeout = Duration::from_millis(20);
    let cloud = start(config, Toy::new(HIDDEN));
    let mut device = connect(cloud.addr).await;
    assert_eq!(device.failure().await.code, ErrorCode::Deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_panics_ends_the_cloud_and_tells_everybody() {
    let (cloud, mut bystander, mut device) = scene().await;
    let mut poison = [1.0; 2 * HIDDEN];
    poison[0] = POISON;
    device.append(append(0, 0, 2), &poison).await;
    assert_eq!(device.failure().await.code, ErrorCode::Internal);
    assert_eq!(bystander.failure().await.code, ErrorCode::Internal);
    let error = cloud.ended().await.unwrap_err();
    assert!(matches!(&error, CloudError::Scheduler(text) if text.contains("poisoned")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_panics_between_batches() {
    let (cloud, mut bystander, _) = scene().await;
    let mut device = Device::dial(cloud.addr).await;
    // The cloud may say Opened before its model is asked for a cache.
    let _ = device.open(Open { context: Some(POISON_CONTEXT), ..good_open() }).await;
    assert_eq!(bystander.failure().await.code, ErrorCode::Internal);
    let error = cloud.ended().await.unwrap_err();
    assert!(matches!(&error, CloudError::Scheduler(text) if text.contains("poisoned")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let mut second = config();
    second.listen = cloud.addr;
    let error = Cloud::bind(second, SERVED).map(|_| ()).unwrap_err();
    assert!(matches!(error, CloudError::InUse(addr) if addr == cloud.addr));
    let line = error.to_string();
    assert!(line.contains(&cloud.addr.to_string()) && !line.contains('\n'), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense() {
    let mut bad = config();
    bad.limits.max_queued_rows = bad.limits.max_append_rows - 1;
    let error = Cloud::bind(bad, SERVED).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("max_queued_rows"), "{error}");
}
