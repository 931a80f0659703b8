//! Hidden rows: any bytes decoded, any values encoded.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use tricorn_core::HiddenCodec;
use tricorn_fuzz::{assert_one_line, messages::assert_rows};
use tricorn_wire::codec::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    // An input that is too short for a choice is worth nothing.
    let _ = run(Unstructured::new(bytes));
});

fn run(mut input: Unstructured<'_>) -> Result<()> {
    let codec = *input.choose(&HiddenCodec::ALL)?;
    let hidden =
        if input.ratio(1, 8)? { input.arbitrary()? } else { input.int_in_range(1..=64)? };
    let of_values = input.arbitrary()?;
    let rest = input.take_rest();
    if of_values {
        let quads = rest.chunks_exact(4).filter_map(|quad| quad.try_into().ok());
        written(codec, hidden, quads.map(f32::from_le_bytes).collect());
    } else {
        taken(codec, hidden, rest);
    }
    Ok(())
}

/// Whatever arrives is refused, or is values that survive the wire as they are.
fn taken(codec: HiddenCodec, hidden: usize, bytes: &[u8]) {
    for rows in [0, 1, 2, bytes.len() / hidden.max(1) / 2, usize::MAX] {
        let values = decode("rows", codec, rows, hidden, bytes);
        assert_rows(values.clone(), bytes.len());
        if let Ok(values) = values {
            let again = encode("rows", codec, rows, hidden, &values).expect("finite values");
            let decoded = decode("rows", codec, rows, hidden, &again).expect("our own bytes");
            assert_eq!(bits(&decoded), bits(&values));
        }
    }
}

/// Values are refused, or arrive as the local reference rounds them, in no more bytes than plain.
fn written(codec: HiddenCodec, hidden: usize, mut values: Vec<f32>) {
    let hidden = hidden.clamp(1, values.len().max(1));
    let rows = values.len() / hidden;
    values.truncate(rows * hidden);
    match encode("rows", codec, rows, hidden, &values) {
        Ok(bytes) => {
            assert!(bytes.len() <= 1 + values.len() * codec.bytes_per_value());
            let decoded = decode("rows", codec, rows, hidden, &bytes).expect("our own bytes");
            codec.round(&mut values);
            assert_eq!(bits(&decoded), bits(&values));
        }
        Err(error) => {
            assert_one_line(&error);
            assert!(values.iter().any(|value| !value.is_finite()));
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
