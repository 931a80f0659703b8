//! Hidden rows survive the wire exactly as the local reference rounds them, and nothing malformed
//! gets through.

use proptest::prelude::*;
use tricorn_core::HiddenCodec;
use tricorn_wire::{WireError, codec};

fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![any::<u32>().prop_map(f32::from_bits), -70000.0_f32..70000.0, -1e-4_f32..1e-4]
        .prop_filter("finite", |v| v.is_finite())
}

proptest! {
    #[test]
    fn decode_gives_what_the_reference_rounds_to(
        rows in 1_usize..5,
        hidden in 1_usize..300,
        seed in prop::collection::vec(finite(), 1500),
    ) {
        let values = &seed[..rows * hidden];
        for codec in HiddenCodec::ALL {
            let mut rounded = values.to_vec();
            codec.round(&mut rounded);
            let bytes = codec::encode("x", codec, rows, hidden, values).unwrap();
            let plain = values.len() * codec.bytes_per_value();
            match codec {
                HiddenCodec::F16z => prop_assert!(bytes.len() <= 1 + plain),
                HiddenCodec::F16 | HiddenCodec::F32 => prop_assert_eq!(bytes.len(), plain),
            }
            let decoded = codec::decode("x", codec, rows, hidden, &bytes).unwrap();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&decoded), bits(&rounded));
        }
    }

    /// No byte may be changed, added or lost without an error or another value, and nothing panics.
    #[test]
    fn damaged_rows_are_never_taken_for_the_same(
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        cut in any::<bool>(),
        scale in 1e-6_f32..1e4,
    ) {
        let values = rows_like(3 * 40, scale);
        let mut bytes = codec::encode("x", HiddenCodec::F16z, 3, 40, &values).unwrap().to_vec();
        let whole = codec::decode("x", HiddenCodec::F16z, 3, 40, &bytes).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        if let Ok(decoded) = codec::decode("x", HiddenCodec::F16z, 3, 40, &bytes) {
            prop_assert!(decoded != whole);
        }
    }

    #[test]
    fn decode_survives_anything(
        rows in any::<usize>(),
        hidden in any::<usize>(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for codec in HiddenCodec::ALL {
            if let Ok(values) = codec::decode("x", codec, rows, hidden, &bytes) {
                prop_assert!(values.len() <= bytes.len());
                prop_assert!(values.iter().all(|v| v.is_finite()));
            }
        }
    }
}

/// Values as hidden rows have them: about normally distributed.
fn rows_like(values: usize, scale: f32) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..values).map(|_| scale * ((0..12).map(|_| uniform()).sum::<f32>() - 6.0)).collect()
}

#[test]
fn coded_rows_take_fewer_bytes_at_any_scale() {
    for scale in [1e-3, 1.0, 70.0] {
        for (rows, most) in [(1, 0.90), (64, 0.87)] {
            let values = rows_like(rows * 256, scale);
            let coded = codec::encode("x", HiddenCodec::F16z, rows, 256, &values).unwrap();
            let plain = codec::encode("x", HiddenCodec::F16, rows, 256, &values).unwrap();
            assert!(
                (coded.len() as f64) < most * plain.len() as f64,
                "{} of {}, {rows} rows x {scale}",
                coded.len(),
                plain.len()
            );
            let decode = |codec, bytes: &[u8]| codec::decode("x", codec, rows, 256, bytes).unwrap();
            assert_eq!(decode(HiddenCodec::F16z, &coded), decode(HiddenCodec::F16, &plain));
        }
    }
}

#[test]
fn what_does_not_get_shorter_is_sent_as_it_is() {
    let values = [1.0, 2.0, -4.0, 1e-3];
    let plain = codec::encode("x", HiddenCodec::F16, 1, 4, &values).unwrap();
    let coded = codec::encode("x", HiddenCodec::F16z, 1, 4, &values).unwrap();
    assert_eq!((coded[0], &coded[1..]), (0, &plain[..]));
}

const VALUES: [f32; 8] = [1.0, 1.0, 1.75, 1.25, 2.5, 1.0, 1.0, -1.0];
/// [`VALUES`]: exponents 15 and 16, of one bit each; low bytes; then four bits a value.
const CODED: [u8; 16] = [1, 15, 2, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x26, 0x03, 0x80];

#[test]
fn the_contracts_layout_is_kept() {
    assert_eq!(codec::encode("x", HiddenCodec::F16z, 2, 4, &VALUES).unwrap()[..], CODED);
    assert_eq!(codec::decode("x", HiddenCodec::F16z, 2, 4, &CODED).unwrap(), VALUES);
}

#[test]
fn coded_rows_that_break_the_rules_are_refused() {
    let broken = |change: fn(&mut Vec<u8>)| {
        let mut bytes = CODED.to_vec();
        change(&mut bytes);
        match codec::decode("append.rows", HiddenCodec::F16z, 2, 4, &bytes) {
            Err(WireError::Corrupt { field: "append.rows", reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(broken(Vec::clear), "no bytes");
    assert_eq!(broken(|bytes| bytes[0] = 2), "unknown first byte");
    assert_eq!(broken(|bytes| bytes[0] = 0), "plain values of another number");
    assert_eq!(broken(|bytes| bytes.truncate(2)), "no table of codes");
    assert_eq!(broken(|bytes| bytes[2] = 255), "a short table of codes");
    assert_eq!(broken(|bytes| bytes[1] = 31), "exponents beyond five bits");
    assert_eq!(broken(|bytes| bytes[3] = 0x19), "lengths of no prefix code");
    assert_eq!(broken(|bytes| bytes[2] = 1), "padding that is not zero");
    assert_eq!(broken(|bytes| bytes.truncate(8)), "fewer bytes than values");
    assert_eq!(broken(|bytes| bytes[3] = 0x21), "bits that begin no code");
    assert_eq!(broken(|bytes| bytes.truncate(15)), "bits missing or left over");
    assert_eq!(broken(|bytes| bytes.push(0)), "bits missing or left over");
}

#[test]
fn no_more_is_allocated_than_bytes_came() {
    let refused = |rows, bytes: &[u8]| {
        codec::decode("x", HiddenCodec::F16z, rows, usize::MAX, bytes).unwrap_err()
    };
    for rows in [1, usize::MAX] {
        assert!(matches!(refused(rows, &CODED), WireError::Corrupt { .. }));
        assert!(matches!(refused(rows, &[0; 9]), WireError::Corrupt { .. }));
    }
}

#[test]
fn every_finite_f16_is_kept() {
    let halves: Vec<u16> = (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00).collect();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let values = codec::decode("x", HiddenCodec::F16, 1, halves.len(), &bytes).unwrap();
    assert_eq!(codec::encode("x", HiddenCodec::F16, 1, halves.len(), &values).unwrap(), bytes);
}

#[test]
fn f16_saturates() {
    let values = [65504.0, 65519.0, f32::MAX, f32::INFINITY, f32::MIN];
    let bytes = codec::encode("x", HiddenCodec::F16, 1, 5, &values).unwrap();
    let decoded = codec::decode("x", HiddenCodec::F16, 1, 5, &bytes).unwrap();
    assert_eq!(decoded, [65504.0, 65504.0, 65504.0, 65504.0, -65504.0]);
}

#[test]
fn what_is_not_finite_is_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for codec in HiddenCodec::ALL {
            let mut values = [1.0; 12];
            values[7] = bad;
            let refused = Err(WireError::NotFinite { field: "append.rows", row: 1, column: 3 });
            if codec == HiddenCodec::F32 || bad.is_nan() {
                assert_eq!(codec::encode("append.rows", codec, 3, 4, &values), refused);
            }
            let bytes: Vec<u8> = match codec {
                HiddenCodec::F16z => std::iter::once(0)
                    .chain(values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()))
                    .collect(),
                HiddenCodec::F16 => {
                    values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect()
                }
                HiddenCodec::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            };
            assert_eq!(
                codec::decode("append.rows", codec, 3, 4, &bytes),
                refused.map(|_| Vec::new())
            );
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for codec in HiddenCodec::ALL {
        let bytes = codec::encode("x", codec, 2, 3, &[0.5; 6]).unwrap();
        let length = |rows, hidden, bytes: &[u8]| {
            matches!(
                codec::decode("x", codec, rows, hidden, bytes),
                Err(WireError::Length { .. } | WireError::Corrupt { .. })
            )
        };
        assert!(length(2, 3, &bytes[..bytes.len() - 1]));
        assert!(length(1, 3, &bytes) && length(3, 3, &bytes) && length(0, 3, &bytes));
        assert!(length(usize::MAX, 3, &bytes) && length(usize::MAX, usize::MAX, &bytes));
        assert!(matches!(
            codec::encode("x", codec, 2, 3, &[0.5; 5]),
            Err(WireError::Length { .. })
        ));
        assert_eq!(codec::decode("x", codec, 0, 3, &[]), Ok(Vec::new()));
    }
}
