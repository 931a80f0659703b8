//! Messages survive the wire, and hostile ones are refused by the name of the field that is wrong.

use std::time::Duration;

use bytes::Bytes;
use prop::option;
use proptest::prelude::*;
use prost::Message;
use tricorn_core::{
    AnswerTiming, AppendHeader, AppendKind, CloudThroughput, DeepHeader, DelayPoint, Fingerprint,
    FormatName, Formats, HiddenCodec, Received, SessionLimits, Split, Want,
};
use tricorn_wire::{
    Append, Deep, Description, Downlink, ErrorCode, Failure, Load, Open, Opened, Uplink, WireError,
    limits::max_message_bytes, proto,
};

const HALF: usize = usize::MAX / 2;

fn over_the_wire<M, P>(message: M) -> Result<M, WireError>
where
    P: Message + Default + From<M>,
    M: TryFrom<P, Error = WireError>,
{
    P::decode(P::from(message).encode_to_vec().as_slice()).unwrap().try_into()
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    any::<[u8; 32]>().prop_map(Fingerprint)
}

fn split() -> impl Strategy<Value = Split> {
    any::<(usize, usize)>()
        .prop_map(|(input_layers, output_layers)| Split { input_layers, output_layers })
}

fn codec() -> impl Strategy<Value = HiddenCodec> {
    prop::sample::select(HiddenCodec::ALL.to_vec())
}

fn limits() -> impl Strategy<Value = SessionLimits> {
    any::<[usize; 3]>().prop_map(|[context, max_append_rows, max_queued_rows]| SessionLimits {
        context,
        max_append_rows,
        max_queued_rows,
    })
}

fn micros() -> impl Strategy<Value = Duration> {
    (0..3_600_000_001_u64).prop_map(Duration::from_micros)
}

fn throughput() -> impl Strategy<Value = CloudThroughput> {
    let delay = prop::collection::btree_map(0..1_usize << 24, micros(), 0..32).prop_map(|points| {
        points.into_iter().map(|(rows, delay)| DelayPoint { rows, delay }).collect()
    });
    let prompt_rows = option::of(1..1_usize << 24);
    (micros(), micros(), 0..1_usize << 24, 1..64_usize, prompt_rows, delay).prop_map(
        |(prompt_wait, verify_wait, batch_rows, stages, prompt_rows, delay)| CloudThroughput {
            prompt_wait,
            verify_wait,
            batch_rows,
            stages,
            prompt_rows,
            delay,
        },
    )
}

fn load() -> impl Strategy<Value = Load> {
    (any::<[u64; 3]>(), throughput()).prop_map(
        |([sessions, max_sessions, queued_rows], throughput)| Load {
            sessions,
            max_sessions,
            queued_rows,
            throughput,
        },
    )
}

fn timing() -> impl Strategy<Value = AnswerTiming> {
    let received =
        option::of((1..=1_u64 << 40, (1..3_600_000_000_u64).prop_map(Duration::from_micros)))
            .prop_map(|received| received.map(|(bytes, time)| Received { bytes, time }));
    (micros(), micros(), 0..1_usize << 24, 0..1_usize << 24, received).prop_map(
        |(queue, compute, batch_rows, batch_appends, received)| AnswerTiming {
            queue,
            compute,
            batch_rows,
            batch_appends,
            received,
        },
    )
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from)
}

fn formats() -> impl Strategy<Value = Formats> {
    let name = || "[A-Za-z0-9_-]{0,16}".prop_map(|name| FormatName::new(&name));
    (name(), name()).prop_map(|(weights, kv)| Formats { weights, kv })
}

fn uplink() -> impl Strategy<Value = Uplink> {
    let open = (
        fingerprint(),
        split(),
        any::<usize>(),
        prop::collection::vec(codec(), 0..3),
        option::of(1..usize::MAX),
        formats(),
    )
        .prop_map(|(fingerprint, split, hidden, codecs, context, formats)| {
            Uplink::Open(Open { fingerprint, split, hidden, codecs, context, formats })
        });
    let want = prop_oneof![Just(Want::None), Just(Want::Last), Just(Want::All)];
    let kind = prop_oneof![Just(AppendKind::Prompt), Just(AppendKind::Verify)];
    let append = (any::<u32>(), 0..HALF, 0..HALF, want, kind, bytes()).prop_map(
        |(epoch, pos, rows, want, kind, data)| {
            Uplink::Append(Append {
                header: AppendHeader { epoch, pos, rows, want, kind },
                rows: data,
            })
        },
    );
    prop_oneof![open, append, Just(Uplink::Close)]
}

fn downlink() -> impl Strategy<Value = Downlink> {
    let opened =
        (codec(), limits(), any::<u64>(), load()).prop_map(|(codec, limits, session_id, load)| {
            Downlink::Opened(Opened { codec, limits, session_id, load })
        });
    let deep = (any::<u32>(), any::<usize>(), 0..HALF, 0..HALF, bytes(), timing(), load())
        .prop_map(|(epoch, pos, rows, first_row_pos, data, timing, load)| {
            Downlink::Deep(Deep {
                header: DeepHeader { epoch, pos, rows, first_row_pos },
                rows: data,
                timing,
                load,
            })
        });
    let failed = (0..=14_i32, ".*").prop_map(|(code, message)| {
        Downlink::Failed(Failure { code: ErrorCode::try_from(code).unwrap(), message })
    });
    prop_oneof![opened, deep, Just(Downlink::Drain), failed]
}

proptest! {
    #[test]
    fn uplink_round_trip(message in uplink()) {
        prop_assert_eq!(over_the_wire::<_, proto::Uplink>(message.clone()).unwrap(), message);
    }

    #[test]
    fn downlink_round_trip(message in downlink()) {
        prop_assert_eq!(over_the_wire::<_, proto::Downlink>(message.clone()).unwrap(), message);
    }

    #[test]
    fn description_round_trip(
        fingerprint in fingerprint(),
        split in split(),
        (hidden, layers) in any::<(usize, usize)>(),
        codecs in prop::collection::vec(codec(), 0..3),
        limits in limits(),
        load in load(),
        formats in formats(),
    ) {
        let message =
            Description { fingerprint, split, hidden, layers, codecs, limits, load, formats };
        let received = over_the_wire::<_, proto::DescribeResponse>(message.clone()).unwrap();
        prop_assert_eq!(received, message);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let uplink = proto::Uplink::decode(bytes.as_slice()).map(Uplink::try_from);
        if let Ok(Ok(Uplink::Append(append))) = uplink {
            let _ = append.header.end();
            let _ = append.decode(HiddenCodec::F16, 8);
        }
        let downlink = proto::Downlink::decode(bytes.as_slice()).map(Downlink::try_from);
        if let Ok(Ok(Downlink::Deep(deep))) = downlink {
            let _ = deep.decode(HiddenCodec::F16, 8);
        }
    }

    #[test]
    fn hostile_numbers_never_panic(
        pos in any::<u64>(),
        row_count in any::<u64>(),
        want in -1..5_i32,
        kind in -1..4_i32,
    ) {
        let append = proto::Append { epoch: 0, pos, row_count, want, kind, rows: Bytes::new() };
        if let Ok(Uplink::Append(append)) = uplink_of(proto::uplink::Message::Append(append)) {
            let _ = append.header.end();
            let _ = append.decode(HiddenCodec::F32, usize::MAX);
        }
    }

    #[test]
    fn the_largest_message_fits_its_limit(
        hidden in 1_usize..64,
        rows in 1_usize..16,
        text in "[a-z ]{0,2000}",
    ) {
        let limits =
            SessionLimits { context: 1 << 20, max_append_rows: rows, max_queued_rows: rows };
        let limit = max_message_bytes(limits, HiddenCodec::F32, hidden);
        let (want, kind) = (Want::All, AppendKind::Verify);
        let header = AppendHeader { epoch: u32::MAX, pos: HALF, rows, want, kind };
        let values = vec![1.5; rows * hidden];
        let append = Append::encode(header, HiddenCodec::F32, hidden, &values).unwrap();
        prop_assert!(proto::Uplink::from(Uplink::Append(append.clone())).encoded_len() <= limit);
        let received = Some(Received { bytes: u64::MAX, time: Duration::MAX });
        let timing = AnswerTiming {
            queue: Duration::MAX,
            compute: Duration::MAX,
            batch_rows: HALF,
            batch_appends: HALF,
            received,
        };
        let delay = (0..32).map(|i| DelayPoint { rows: HALF + i, delay: Duration::MAX }).collect();
        let throughput = CloudThroughput {
            prompt_wait: Duration::MAX,
            verify_wait: Duration::MAX,
            batch_rows: HALF,
            stages: HALF,
            prompt_rows: Some(HALF),
            delay,
        };
        let most = u64::MAX;
        let load = Load { sessions: most, max_sessions: most, queued_rows: most, throughput };
        let deep = Deep { header: header.answer(), rows: append.rows, timing, load };
        prop_assert!(proto::Downlink::from(Downlink::Deep(deep)).encoded_len() <= limit);
        let failed = Downlink::Failed(Failure { code: ErrorCode::Internal, message: text });
        prop_assert!(proto::Downlink::from(failed).encoded_len() <= limit);
    }
}

fn uplink_of(message: proto::uplink::Message) -> Result<Uplink, WireError> {
    proto::Uplink { message: Some(message) }.try_into()
}

#[test]
fn hostile_uplinks_are_refused_by_field() {
    let open = proto::Open {
        model_fingerprint: Bytes::from_static(&[7; 32]),
        split: Some(proto::Split { input_layers: 2, output_layers: 0 }),
        hidden: 64,
        codecs: vec![99, proto::Codec::F32.into(), 0],
        context: 0,
        formats: None,
    };
    let append = proto::Append {
        epoch: 0,
        pos: 0,
        row_count: 1,
        want: proto::Want::Last.into(),
        kind: proto::AppendKind::Prompt.into(),
        rows: Bytes::new(),
    };
    let Ok(Uplink::Open(read)) = uplink_of(proto::uplink::Message::Open(open.clone())) else {
        panic!("a good Open was refused")
    };
    assert_eq!((read.codecs, read.context), (vec![HiddenCodec::F32], None));

    let bad_open = |change: fn(&mut proto::Open)| {
        let mut open = open.clone();
        change(&mut open);
        uplink_of(proto::uplink::Message::Open(open)).unwrap_err()
    };
    let bad_append = |change: fn(&mut proto::Append)| {
        let mut append = append.clone();
        change(&mut append);
        uplink_of(proto::uplink::Message::Append(append)).unwrap_err()
    };
    let cases = [
        (
            proto::Uplink { message: None }.try_into().map(|_: Uplink| ()).unwrap_err(),
            "uplink.message",
        ),
        (
            bad_open(|open| open.model_fingerprint = Bytes::from_static(&[7; 31])),
            "open.model_fingerprint",
        ),
        (bad_open(|open| open.split = None), "open.split"),
        (bad_append(|append| append.want = 0), "append.want"),
        (bad_append(|append| append.want = 9), "append.want"),
        (bad_append(|append| append.kind = -1), "append.kind"),
        (bad_append(|append| (append.pos, append.row_count) = (u64::MAX, 1)), "append.pos"),
    ];
    for (error, field) in cases {
        let line = error.to_string();
        assert!(line.contains(field) && !line.contains('\n'), "{line}");
    }
}

#[test]
fn an_error_code_from_the_future_is_still_an_error() {
    let error = proto::Error { code: 4711, message: "new".to_owned() };
    let read = Downlink::try_from(proto::Downlink {
        message: Some(proto::downlink::Message::Error(error)),
    });
    assert_eq!(
        read,
        Ok(Downlink::Failed(Failure { code: ErrorCode::Unspecified, message: "new".to_owned() }))
    );
}

#[test]
fn absurd_times_are_clamped() {
    let load = proto::Load {
        prompt_wait_us: u64::MAX,
        verify_wait_us: u64::MAX,
        batch_rows: u64::MAX,
        ..Default::default()
    };
    let timing = proto::Timing {
        queue_us: u64::MAX,
        compute_us: u64::MAX,
        receive_us: u64::MAX,
        receive_bytes: u64::MAX,
        ..Default::default()
    };
    let deep = proto::Deep { timing: Some(timing), load: Some(load), ..Default::default() };
    let read =
        Downlink::try_from(proto::Downlink { message: Some(proto::downlink::Message::Deep(deep)) });
    let Ok(Downlink::Deep(Deep { timing, load, .. })) = read else { panic!("{read:?}") };
    let hour = Duration::from_secs(3600);
    assert_eq!(
        (timing.queue, timing.compute, timing.received),
        (hour, hour, Some(Received { bytes: 1 << 40, time: hour }))
    );
    assert_eq!(
        (
            load.throughput.prompt_wait,
            load.throughput.verify_wait,
            load.throughput.batch_rows,
            load.throughput.stages
        ),
        (hour, hour, 1 << 24, 1)
    );
}

#[test]
fn batch_delays_must_be_few_and_ascend() {
    let read = |rows: &[u64]| {
        let delay = rows.iter().map(|&rows| proto::DelayPoint { rows, delay_us: 1 }).collect();
        Load::try_from(proto::Load { delay, ..Default::default() })
    };
    assert_eq!(read(&[1, 2, 4]).unwrap().throughput.delay.len(), 3);
    // Beyond any batch: left out, not refused for being alike.
    assert_eq!(read(&[1, 1 << 24, u64::MAX - 1, u64::MAX]).unwrap().throughput.delay.len(), 2);
    assert_eq!(read(&[1, 4, 4]), Err(WireError::NotAscending { field: "load.delay", index: 2 }));
    assert_eq!(read(&[2, 1]), Err(WireError::NotAscending { field: "load.delay", index: 1 }));
    assert_eq!(
        read(&[0; 33]),
        Err(WireError::TooMany { field: "load.delay", found: 33, limit: 32 })
    );
}
