//! Hidden rows survive the wire exactly as the local reference rounds them, and nothing malformed gets through.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use tricorn_core::HiddenCodec;
use tricorn_wire::{WireError, codec};

fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![any::<u32>().prop_map(f32::from_bits), -70000.0_f32..70000.0, -1e-4_f32..1e-4].prop_filter("finite", |v| v.is_finite())
}

proptest! {
    #[test]
    fn decode_gives_what_the_reference_rounds_to(rows in 1_usize..5, hidden in 1_usize..300, seed in prop::collection::vec(finite(), 1500)) {
        let values = &seed[..rows * hidden];
        for codec in HiddenCodec::ALL {
            let mut rounded = values.to_vec();
            codec.round(&mut rounded);
            let bytes = codec::encode("x", codec, rows, hidden, values).unwrap();
            prop_assert_eq!(bytes.len(), values.len() * codec.bytes_per_value());
            let decoded = codec::decode("x", codec, rows, hidden, &bytes).unwrap();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&decoded), bits(&rounded));
        }
    }

    #[test]
    fn decode_survives_anything(rows in any::<usize>(), hidden in any::<usize>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for codec in HiddenCodec::ALL {
            if let Ok(values) = codec::decode("x", codec, rows, hidden, &bytes) {
                prop_assert_eq!(values.len() * codec.bytes_per_value(), bytes.len());
                prop_assert!(values.iter().all(|v| v.is_finite()));
            }
        }
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
                HiddenCodec::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
                HiddenCodec::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            };
            assert_eq!(codec::decode("append.rows", codec, 3, 4, &bytes), refused.map(|_| Vec::new()));
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for codec in HiddenCodec::ALL {
        let bytes = codec::encode("x", codec, 2, 3, &[0.5; 6]).unwrap();
        let length = |rows, hidden, bytes: &[u8]| matches!(codec::decode("x", codec, rows, hidden, bytes), Err(WireError::Length { .. }));
        assert!(length(2, 3, &bytes[..bytes.len() - 1]));
        assert!(length(1, 3, &bytes) && length(3, 3, &bytes) && length(0, 3, &bytes));
        assert!(length(usize::MAX, 3, &bytes) && length(usize::MAX, usize::MAX, &bytes));
        assert!(matches!(codec::encode("x", codec, 2, 3, &[0.5; 5]), Err(WireError::Length { .. })));
        assert_eq!(codec::decode("x", codec, 0, 3, &[]), Ok(Vec::new()));
    }
}
