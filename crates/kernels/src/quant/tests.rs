use super::*;
use safetensors::SafeTensors;

const QUANTISED: [Dtype; 5] = [Dtype::Q4_0, Dtype::Q8_0, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K];

fn fixture() -> Vec<u8> {
    std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/quant/blocks.safetensors"
    ))
    .unwrap()
}

fn stored(fixture: &[u8], name: &str) -> Vec<u8> {
    SafeTensors::deserialize(fixture).unwrap().tensor(name).unwrap().data().to_vec()
}

fn numbers(fixture: &[u8], name: &str) -> Vec<f32> {
    let bytes = stored(fixture, name);
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn encoded(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; dtype.bytes(values.len()).unwrap()];
    encode(dtype, values, &mut bytes).unwrap();
    bytes
}

fn decoded(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::new();
    decode(dtype, bytes, &mut values);
    values
}

/// Root of the mean squared difference, as a share of the values'.
fn error(values: &[f32], found: &[f32]) -> f64 {
    let sum = |terms: &mut dyn Iterator<Item = f64>| terms.sum::<f64>();
    let off =
        sum(&mut values.iter().zip(found).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)));
    (off / sum(&mut values.iter().map(|a| f64::from(*a).powi(2)))).sqrt()
}

/// Nearly normal numbers, as weights are: sums of twelve uniform ones.
fn weights(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() * 0.02).collect()
}

#[test]
fn bytes_mean_what_gguf_py_says() {
    let fixture = fixture();
    for dtype in QUANTISED {
        let expected = numbers(&fixture, &format!("{dtype}.decoded"));
        assert_eq!(decoded(dtype, &stored(&fixture, dtype.name())), expected, "{dtype}");
    }
}

#[test]
fn encoders_are_ggmls() {
    let fixture = fixture();
    let values = numbers(&fixture, "values");
    for dtype in QUANTISED {
        let (ours, ggmls) = (encoded(dtype, &values), stored(&fixture, dtype.name()));
        if matches!(dtype, Dtype::Q4_0 | Dtype::Q8_0) {
            assert_eq!(ours, ggmls, "{dtype}");
        }
        // ggml adds up in another order and contracts, so that of nearly equal fits another may be
        // taken.
        let differing = ours.iter().zip(&ggmls).filter(|(a, b)| a != b).count();
        assert!(
            differing * 10 <= ours.len(),
            "{dtype}: {differing} of {} bytes differ",
            ours.len()
        );
        let (ours, ggmls) =
            (error(&values, &decoded(dtype, &ours)), error(&values, &decoded(dtype, &ggmls)));
        assert!(ours <= ggmls * 1.1, "{dtype}: {ours} against {ggmls}");
    }
}

#[test]
fn errors_are_those_of_the_bits() {
    let values = weights(256 * 64);
    for (dtype, most) in [
        (Dtype::Q4_0, 0.1),
        (Dtype::Q8_0, 0.006),
        (Dtype::Q4K, 0.075),
        (Dtype::Q5K, 0.038),
        (Dtype::Q6K, 0.02),
    ] {
        let error = error(&values, &decoded(dtype, &encoded(dtype, &values)));
        assert!((most / 3.0..most).contains(&error), "{dtype}: {error}");
    }
    for (dtype, most) in [(Dtype::F32, 0.0), (Dtype::F16, 3e-4), (Dtype::Bf16, 2.5e-3)] {
        let error = error(&values, &decoded(dtype, &encoded(dtype, &values)));
        assert!(error <= most, "{dtype}: {error}");
    }
}

#[test]
fn an_outlier_harms_its_own_run_only() {
    let plain = weights(256);
    let mut values = plain.clone();
    values[40] = 5.0;
    for (dtype, run) in [(Dtype::Q4_0, 32), (Dtype::Q8_0, 32)] {
        let found = decoded(dtype, &encoded(dtype, &values));
        let apart = 40 / run * run..40 / run * run + run;
        let same = decoded(dtype, &encoded(dtype, &plain));
        assert!((0..256).filter(|i| !apart.contains(i)).all(|i| found[i] == same[i]), "{dtype}");
        assert!((found[40] - 5.0).abs() < 0.01, "{dtype}: {}", found[40]);
    }
    for dtype in [Dtype::Q4K, Dtype::Q5K, Dtype::Q6K] {
        let found = decoded(dtype, &encoded(dtype, &values));
        assert!((found[40] - 5.0).abs() < 0.2, "{dtype}: {}", found[40]);
    }
}

#[test]
fn what_was_decoded_encodes_to_the_same_numbers() {
    let values = weights(256 * 8);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Q4_0, Dtype::Q8_0] {
        let once = decoded(dtype, &encoded(dtype, &values));
        assert_eq!(decoded(dtype, &encoded(dtype, &once)), once, "{dtype}");
    }
}

#[test]
fn zeros_stay_zero_and_extremes_stay_finite() {
    for dtype in QUANTISED {
        assert_eq!(decoded(dtype, &encoded(dtype, &[0.0; 512])), [0.0; 512], "{dtype}");
        for extreme in [65504.0, -65504.0, 1e-7, -1e-30, f32::MIN_POSITIVE, 1e-45] {
            let mut values = vec![extreme; 256];
            values.extend(weights(256));
            let found = decoded(dtype, &encoded(dtype, &values));
            assert!(found.iter().all(|value| value.is_finite()), "{dtype}: {extreme}");
            // Seven powers of two below the range of the scales there is nothing left.
            assert!(
                found[..256]
                    .iter()
                    .all(|value| (value - extreme).abs() <= 0.07 * extreme.abs() + 1e-5),
                "{dtype}: {extreme} {}",
                found[0]
            );
        }
    }
}

#[test]
fn numbers_that_no_scale_can_hold_are_refused() {
    for dtype in Dtype::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e5] {
            let mut values = weights(256);
            values[100] = value;
            let mut bytes = vec![0; dtype.bytes(256).unwrap()];
            let allowed = value.is_finite() && matches!(dtype, Dtype::F32 | Dtype::Bf16);
            assert_eq!(encode(dtype, &values, &mut bytes).is_ok(), allowed, "{dtype}: {value}");
        }
    }
}
