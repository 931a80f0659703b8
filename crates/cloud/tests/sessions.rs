//! Sessions of well-behaved devices.

use crate::common::{
    Device, Gate, HIDDEN, LIMITS, SERVED, Toy, append, config, connect, dial, good_open,
    session_rows, start,
};
use tricorn_core::{AppendKind, HiddenCodec, Want};
use tricorn_wire::{Description, Downlink, Open, Uplink, proto};

#[tokio::test(flavor = "multi_thread")]
async fn describes_itself() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let _device = connect(cloud.addr).await;
    let response =
        dial(cloud.addr).await.describe(proto::DescribeRequest {}).await.unwrap().into_inner();
    let description = Description::try_from(response).unwrap();
    assert_eq!(
        (description.fingerprint, description.split, description.layers),
        (SERVED.fingerprint, SERVED.split, SERVED.layers)
    );
    assert_eq!((description.hidden, description.limits), (HIDDEN, LIMITS));
    assert_eq!(description.load.max_sessions, 64);
    assert_eq!(description.codecs, HiddenCodec::ALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_sessions_at_once() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let devices: Vec<_> = (0..16)
        .map(|session| {
            let addr = cloud.addr;
            tokio::spawn(async move {
                connect(addr).await.converse(&session_rows(session, 40), 1 + session % 7).await;
            })
        })
        .collect();
    for device in devices {
        device.await.unwrap();
    }
    cloud.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_over_one_connection() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let client = dial(cloud.addr).await;
    let (mut first, mut second) = (Device::over(client.clone()).await, Device::over(client).await);
    let (one, two) =
        (first.open(good_open()).await.unwrap(), second.open(good_open()).await.unwrap());
    assert_ne!(one.session_id, two.session_id);
    first.converse(&session_rows(1, 20), 3).await;
    second.converse(&session_rows(2, 20), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_the_first_codec_it_knows_and_the_context_asked_for() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let mut device = Device::dial(cloud.addr).await;
    let opened = device
        .open(Open {
            codecs: vec![HiddenCodec::F32, HiddenCodec::F16],
            context: Some(24),
            ..good_open()
        })
        .await
        .unwrap();
    assert_eq!((opened.codec, opened.limits.context), (HiddenCodec::F32, 24));
    device.converse(&session_rows(0, 24), 8).await;
    let mut greedy = Device::dial(cloud.addr).await;
    let opened = greedy.open(Open { context: Some(usize::MAX), ..good_open() }).await.unwrap();
    assert_eq!(opened.limits, LIMITS);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_what_is_wanted() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let mut device = connect(cloud.addr).await;
    let input = session_rows(0, 12);
    let expected = Toy::answer(HIDDEN, &input);
    for (index, want) in [Want::None, Want::Last, Want::All].into_iter().enumerate() {
        let header = tricorn_core::AppendHeader {
            want,
            kind: AppendKind::Verify,
            ..append(0, index * 4, 4)
        };
        device.append(header, &input[header.pos * HIDDEN..header.end() * HIDDEN]).await;
        let (deep, answer) = device.deep().await;
        assert_eq!(deep.header, header.answer());
        assert_eq!(
            answer,
            expected[(header.end() - header.answer_rows()) * HIDDEN..header.end() * HIDDEN]
        );
        assert_eq!((deep.timing.batch_rows, deep.timing.batch_appends), (4, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_how_an_append_came_in() {
    // Half a megabyte: more than any one read takes.
    const WIDE: usize = 8192;
    let cloud = start(config(), Toy::new(WIDE));
    let mut device = Device::dial(cloud.addr).await;
    device
        .open(Open { hidden: WIDE, codecs: vec![HiddenCodec::F32], ..good_open() })
        .await
        .unwrap();
    device.append(append(0, 0, 16), &vec![1.0; 16 * WIDE]).await;
    let received = device.deep().await.0.timing.received.unwrap();
    assert!((1..16 * WIDE as u64 * 4).contains(&received.bytes), "{received:?}");
    assert!(!received.time.is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn rolls_back_by_position() {
    let cloud = start(config(), Toy::new(HIDDEN));
    let mut device = connect(cloud.addr).await;
    let (mut sequence, other) = (session_rows(0, 12), session_rows(9, 6));
    device.converse(&sequence, 12).await;
    sequence.truncate(5 * HIDDEN);
    sequence.extend_from_slice(&other);
    device.append(append(0, 5, 6), &other).await;
    let (deep, answer) = device.deep().await;
    assert_eq!(deep.header, append(0, 5, 6).answer());
    assert_eq!(answer, Toy::answer(HIDDEN, &sequence)[5 * HIDDEN..]);
    device.converse(&sequence, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_epoch_silences_the_older() {
    let gate = Gate::closed();
    let cloud = start(config(), Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let mut device = connect(cloud.addr).await;
    let input = session_rows(0, 12);
    for pos in [0, 4, 8] {
        device.append(append(0, pos, 4), &input[pos * HIDDEN..(pos + 4) * HIDDEN]).await;
    }
    // The first is being computed, the others wait or are on their way.
    tokio::task::spawn_blocking({
        let gate = gate.clone();
        move || gate.wait_for_visitor(1)
    })
    .await
    .unwrap();
    device.append(append(1, 2, 2), &input[2 * HIDDEN..4 * HIDDEN]).await;
    device.append(append(0, 12, 1), &input[..HIDDEN]).await;
    device.append(append(1, 4, 1), &input[4 * HIDDEN..5 * HIDDEN]).await;
    // The order of messages on one stream is kept: once the queue is seen to hold epoch 1, what is
    // answered no longer depends on time.
    let mut client = dial(cloud.addr).await;
    gate.open();
    let expected = Toy::answer(HIDDEN, &input);
    let mut answered = Vec::new();
    while answered.last() != Some(&(1, 4)) {
        let (deep, answer) = device.deep().await;
        assert_eq!(answer, expected[deep.header.first_row_pos * HIDDEN..][..answer.len()]);
        answered.push((deep.header.epoch, deep.header.pos));
    }
    // Whatever was answered of epoch 0 before epoch 1 arrived, nothing of it comes after, and what
    // came late to it never does.
    let newer = answered.iter().position(|&(epoch, _)| epoch == 1).unwrap();
    assert_eq!(answered[newer..], [(1, 2), (1, 4)]);
    assert!(
        answered[..newer]
            .iter()
            .zip([(0, 0), (0, 4), (0, 8)])
            .all(|(found, expected)| *found == expected)
    );
    let load = Description::try_from(
        client.describe(proto::DescribeRequest {}).await.unwrap().into_inner(),
    )
    .unwrap()
    .load;
    assert_eq!((load.sessions, load.queued_rows), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_stops_reading_and_loses_nothing() {
    let gate = Gate::closed();
    let cloud = start(config(), Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let mut device = connect(cloud.addr).await;
    let input = session_rows(0, LIMITS.context);
    // Twice what the queue takes.
    for pos in (0..LIMITS.context).step_by(4) {
        device.append(append(0, pos, 4), &input[pos * HIDDEN..(pos + 4) * HIDDEN]).await;
    }
    gate.open();
    let mut answer = Vec::new();
    while answer.len() < input.len() {
        answer.extend(device.deep().await.1);
    }
    assert_eq!(answer, Toy::answer(HIDDEN, &input));
}

#[tokio::test(flavor = "multi_thread")]
async fn close_and_hanging_up_free_the_place() {
    let mut config = config();
    config.max_sessions = 1;
    let cloud = start(config, Toy::new(HIDDEN));
    let mut device = connect(cloud.addr).await;
    device.say(Uplink::Close).await;
    assert_eq!(device.hear().await, None);
    let device = open_when_free(cloud.addr).await;
    let mut down = device.hang_up();
    assert_eq!(down.message().await.unwrap(), None);
    open_when_free(cloud.addr).await;
}

/// The end of a stream is heard a moment before its place is free.
async fn open_when_free(addr: std::net::SocketAddr) -> Device {
    loop {
        let mut device = Device::dial(addr).await;
        match device.open(good_open()).await {
            Ok(_) => return device,
            Err(failure) => assert_eq!(failure.code, tricorn_wire::ErrorCode::Busy),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drains_when_told_to_stop() {
    let gate = Gate::closed();
    let cloud = start(config(), Toy { gate: Some(gate.clone()), ..Toy::new(HIDDEN) });
    let (mut idle, mut busy) = (connect(cloud.addr).await, connect(cloud.addr).await);
    // Connected, not open.
    let mut silent = Device::dial(cloud.addr).await;
    let input = session_rows(0, 4);
    busy.append(append(0, 0, 4), &input).await;
    tokio::task::spawn_blocking({
        let gate = gate.clone();
        move || gate.wait_for_visitor(1)
    })
    .await
    .unwrap();
    let stopping = tokio::spawn(cloud.stop());
    gate.open();
    // The running append is answered, before or after the news.
    let mut heard = Vec::new();
    while let Some(message) = busy.hear().await {
        heard.push(message);
    }
    assert!(heard.contains(&Downlink::Drain), "{heard:?}");
    assert!(heard.iter().any(|message| matches!(message, Downlink::Deep(_))), "{heard:?}");
    assert_eq!(heard.len(), 2);
    assert_eq!(idle.hear().await, Some(Downlink::Drain));
    assert_eq!(idle.hear().await, None);
    assert_eq!(silent.failure().await.code, tricorn_wire::ErrorCode::Shutdown);
    stopping.await.unwrap().unwrap();
}
