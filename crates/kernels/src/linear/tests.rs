use super::*;
use crate::{
    linear::{PanelBytes, packed_bytes},
    quant::k_scale,
};

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Stored numbers: any codes, scales of either sign and of ordinary size.
fn stored(dtype: Dtype, count: usize, seed: u32) -> Vec<u8> {
    let numbers = noise(count, seed);
    let halves = |places: &[usize]| {
        let mut bytes: Vec<u8> = noise(dtype.bytes(count).unwrap(), seed)
            .iter()
            .map(|v| (v.to_bits() >> 3 ^ v.to_bits() >> 11) as u8)
            .collect();
        for (block, scale) in
            bytes.chunks_exact_mut(dtype.block_bytes()).zip(numbers.iter().cycle())
        {
            for &place in places {
                block[place..place + 2]
                    .copy_from_slice(&half::f16::from_f32(scale / 64.0).to_le_bytes());
            }
        }
        bytes
    };
    match dtype {
        Dtype::F32 => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F16 => numbers.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
        Dtype::Bf16 => {
            numbers.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect()
        }
        Dtype::Q4_0 | Dtype::Q8_0 => halves(&[0]),
        Dtype::Q4K | Dtype::Q5K => halves(&[0, 2]),
        Dtype::Q6K => halves(&[208]),
    }
}

/// Scale and minimum of the number at `index` of a row's bytes.
fn scale_and_minimum(dtype: Dtype, row: &[u8], index: usize) -> (f32, f32) {
    let block = &row[index / dtype.block_len() * dtype.block_bytes()..];
    let half = |at: usize| half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    match dtype {
        Dtype::Q4K | Dtype::Q5K => {
            let (scale, minimum) = k_scale(&block[4..16], index % 256 / 32);
            (half(0) * f32::from(scale), half(2) * f32::from(minimum))
        }
        Dtype::Q6K => (half(208) * f32::from(block[192 + index % 256 / 16] as i8), 0.0),
        _ => (half(0), 0.0),
    }
}

/// Codes and scale of a block of activations, as documented.
fn quantised(x: &[f32]) -> (Vec<f32>, f32) {
    let top = x.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
    if top < 2_f32.powi(-100) {
        return (vec![0.0; x.len()], 0.0);
    }
    let scale = f32::from_bits((top / 127.0).to_bits() & !3);
    let inverse = 1.0 / scale;
    (x.iter().map(|v| (v * inverse).round_ties_even()).collect(), scale)
}

/// What a block's codes leave of it, where a few of its values are far above the others.
fn residue(x: &[f32]) -> Option<Vec<f32>> {
    let top = x.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
    let (codes, scale) = quantised(x);
    let large = x.iter().filter(|v| v.abs() >= top / 16.0).count();
    (scale > 0.0 && large <= 2)
        .then(|| x.iter().zip(codes).map(|(x, code)| (-scale).mul_add(code, *x)).collect())
}

/// The documented sequence of operations, one output after the other.
fn naive(tensor: &RawTensor<'_>, x: &[f32], inputs: usize) -> Vec<f32> {
    let dtype = tensor.dtype;
    let run = if dtype == Dtype::Q6K { 16 } else { 32 };
    let mut y = Vec::new();
    for x in x.chunks_exact(inputs) {
        for output in 0..tensor.len() / inputs {
            let row = tensor.slice(output * inputs, inputs);
            let weights = row.to_f32();
            let mut sum = 0.0_f32;
            if dtype.block_len() == 1 {
                y.push(x.iter().zip(&weights).fold(0.0_f32, |sum, (&x, &w)| x.mul_add(w, sum)));
                continue;
            }
            for from in (0..inputs).step_by(256) {
                let blocks = || {
                    (from..inputs.min(from + 256))
                        .step_by(32)
                        .map(|at| (at, x[at..at + 32].to_vec()))
                };
                for (at, x) in
                    blocks().chain(blocks().filter_map(|(at, x)| Some((at, residue(&x)?))))
                {
                    let (codes, x_scale) = quantised(&x);
                    let mut least = 0.0;
                    for (codes, at) in codes.chunks_exact(run).zip((at..).step_by(run)) {
                        let (scale, minimum) = scale_and_minimum(dtype, row.bytes, at);
                        let code = |w: f32| {
                            if scale == 0.0 { 0.0 } else { ((w + minimum) / scale).round() }
                        };
                        let dot: f32 =
                            codes.iter().zip(&weights[at..]).map(|(q, &w)| q * code(w)).sum();
                        sum = (dot * x_scale).mul_add(scale, sum);
                        least = minimum;
                    }
                    if matches!(dtype, Dtype::Q4K | Dtype::Q5K) {
                        sum = (-(x_scale * codes.iter().sum::<f32>())).mul_add(least, sum);
                    }
                }
            }
            y.push(sum);
        }
    }
    y
}

fn shapes(dtype: Dtype) -> &'static [(usize, usize)] {
    match dtype.block_len() {
        1 => &[(7, 5), (64, 33), (48, 160)],
        32 => &[(32, 5), (288, 33), (512, 70)],
        _ => &[(256, 5), (512, 33), (768, 70)],
    }
}

#[test]
fn every_row_equals_the_naive_chain_at_every_batch_size_on_all_instructions() {
    for dtype in Dtype::ALL {
        for &(inputs, outputs) in shapes(dtype) {
            let bytes = stored(dtype, inputs * outputs, 3);
            let tensor = RawTensor { dtype, bytes: &bytes };
            let linear = Linear::pack(&[tensor], inputs, None);
            let mut x = noise(inputs * 100, 5);
            x.iter_mut().step_by(97).for_each(|x| *x *= 50.0);
            let expected = naive(&tensor, &x, inputs);
            for dot in IntegerDot::available() {
                for rows in (1..=64).chain([96, 97, 100]) {
                    let mut y = vec![0.0; rows * outputs];
                    linear.apply_with(dot, &x[..rows * inputs], &mut y);
                    let same = y.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{inputs} -> {outputs}, {dtype}, {rows} rows, {dot:?}");
                }
            }
        }
    }
}

#[test]
fn parts_of_several_formats_stand_side_by_side() {
    let (inputs, x) = (512, noise(512 * 9, 5));
    let formats =
        [(Dtype::Q4K, 40), (Dtype::Q6K, 33), (Dtype::Q6K, 7), (Dtype::Bf16, 5), (Dtype::Q8_0, 64)];
    let bytes: Vec<Vec<u8>> =
        formats.iter().map(|&(dtype, outputs)| stored(dtype, inputs * outputs, 3)).collect();
    let tensors: Vec<RawTensor<'_>> =
        formats.iter().zip(&bytes).map(|(&(dtype, _), bytes)| RawTensor { dtype, bytes }).collect();
    let outputs: usize = formats.iter().map(|(_, outputs)| outputs).sum();
    let bias = noise(outputs, 8);
    let linear = Linear::pack(&tensors, inputs, Some(bias.clone()));
    assert_eq!(linear.parts().iter().map(|part| part.outputs).collect::<Vec<_>>(), [40, 40, 5, 64]);
    let y = linear.apply(&x);
    for (row, x) in x.chunks_exact(inputs).enumerate() {
        let expected = tensors.iter().flat_map(|tensor| naive(tensor, x, inputs));
        let expected: Vec<f32> = expected.zip(&bias).map(|(y, b)| y + b).collect();
        assert_eq!(y[row * outputs..][..outputs], expected, "row {row}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (inputs, outputs, rows) = (512, 1024, 130);
    let x = noise(inputs * rows, 5);
    for dtype in Dtype::ALL {
        let bytes = stored(dtype, inputs * outputs, 3);
        let run = |threads: usize| {
            threads::with(threads, || {
                Linear::pack(&[RawTensor { dtype, bytes: &bytes }], inputs, Some(noise(outputs, 4)))
                    .apply(&x)
            })
        };
        assert!(run(1) == run(3), "{dtype}");
    }
}

/// Root of the mean squared difference over that of the values themselves.
fn relative_error(values: &[f32], exact: &[f64]) -> f64 {
    let squares = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>();
    (squares(&mut values.iter().zip(exact).map(|(&v, e)| f64::from(v) - e))
        / squares(&mut exact.iter().copied()))
    .sqrt()
}

#[test]
fn channels_far_above_the_others_cost_little_accuracy() {
    let (inputs, outputs, rows) = (2048, 64, 8);
    let mut x = noise(inputs * rows, 5);
    for x in x.chunks_exact_mut(inputs) {
        for channel in [3, 700, 1501, 2047] {
            x[channel] *= 100.0;
        }
    }
    for dtype in [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K] {
        let bytes = stored(dtype, inputs * outputs, 3);
        let tensor = RawTensor { dtype, bytes: &bytes };
        let weights = tensor.to_f32();
        let dot = |x: &[f32], w: &[f32]| {
            x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>()
        };
        let exact: Vec<f64> = x
            .chunks_exact(inputs)
            .flat_map(|x| weights.chunks_exact(inputs).map(move |w| dot(x, w)))
            .collect();
        let error = relative_error(&Linear::pack(&[tensor], inputs, None).apply(&x), &exact);
        assert!(error < 0.01, "{dtype}: {error}");
    }
}

#[test]
fn rows_that_are_not_numbers_stay_among_themselves() {
    let (inputs, outputs) = (256, 40);
    let sound = noise(inputs, 5);
    for dtype in Dtype::ALL {
        let bytes = stored(dtype, inputs * outputs, 3);
        let linear = Linear::pack(&[RawTensor { dtype, bytes: &bytes }], inputs, None);
        let expected = linear.apply(&sound);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [sound.clone(), sound.clone(), sound.clone()].concat();
            x[inputs + 70] = bad;
            for dot in IntegerDot::available() {
                let mut y = vec![0.0; 3 * outputs];
                linear.apply_with(dot, &x, &mut y);
                assert_eq!(y[..outputs], expected, "{dtype}, {bad}, {dot:?}");
                assert!(
                    y[outputs..2 * outputs].iter().all(|y| !y.is_finite()),
                    "{dtype}, {bad}, {dot:?}"
                );
                assert_eq!(y[2 * outputs..], expected, "{dtype}, {bad}, {dot:?}");
            }
        }
    }
}

#[test]
fn the_smallest_and_the_greatest_activations_are_handled_alike_on_all_instructions() {
    let (inputs, outputs) = (256, 40);
    for dtype in [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K] {
        let bytes = stored(dtype, inputs * outputs, 3);
        let tensor = RawTensor { dtype, bytes: &bytes };
        let linear = Linear::pack(&[tensor], inputs, None);
        for magnitude in
            [0.0, f32::MIN_POSITIVE / 4.0, 2_f32.powi(-101), 2_f32.powi(-99), 2_f32.powi(40)]
        {
            let x: Vec<f32> = noise(inputs, 5).iter().map(|x| x * magnitude).collect();
            let expected = naive(&tensor, &x, inputs);
            for dot in IntegerDot::available() {
                let mut y = vec![1.0; outputs];
                linear.apply_with(dot, &x, &mut y);
                assert!(
                    y.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{dtype}, {magnitude:e}, {dot:?}"
                );
            }
        }
    }
}

#[test]
fn the_greatest_codes_do_not_overflow() {
    let (inputs, outputs) = (256, 32);
    for dtype in [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4K, Dtype::Q5K, Dtype::Q6K] {
        for fill in [0, 0x7f, 0x80, 0xff] {
            let mut bytes = vec![fill; dtype.bytes(inputs * outputs).unwrap()];
            let places: &[usize] = if dtype == Dtype::Q6K { &[208] } else { &[0, 2] };
            for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
                for place in &places[..if dtype.block_len() == 32 { 1 } else { places.len() }] {
                    block[*place..place + 2]
                        .copy_from_slice(&half::f16::from_f32(0.01).to_le_bytes());
                }
            }
            let tensor = RawTensor { dtype, bytes: &bytes };
            let linear = Linear::pack(&[tensor], inputs, None);
            for sign in [1.0, -1.0] {
                let x = vec![sign; inputs];
                let expected = naive(&tensor, &x, inputs);
                for dot in IntegerDot::available() {
                    let mut y = vec![0.0; outputs];
                    linear.apply_with(dot, &x, &mut y);
                    assert_eq!(y, expected, "{dtype}, {fill:#x}, {sign}, {dot:?}");
                }
            }
        }
    }
}

#[test]
fn packed_parts_make_the_same_layer_again() {
    let (inputs, outputs) = (256, 70);
    let x = noise(inputs * 3, 5);
    for dtype in Dtype::ALL {
        let bytes = stored(dtype, inputs * outputs, 3);
        let linear = Linear::pack(&[RawTensor { dtype, bytes: &bytes }], inputs, None);
        let expected = linear.apply(&x);
        assert_eq!(Some(linear.bytes()), packed_bytes(dtype, inputs, outputs));
        assert!(
            linear.bytes() * 100
                <= 104 * dtype.bytes(inputs * outputs.next_multiple_of(32)).unwrap(),
            "{dtype} grows"
        );
        let again = Linear::from_parts(linear.parts, inputs, None).unwrap();
        assert_eq!(again.apply(&x), expected, "{dtype}");
    }
}

#[test]
fn parts_of_the_wrong_size_or_alignment_are_refused() {
    let map = {
        let mut map = memmap2::MmapMut::map_anon(1 << 20).unwrap();
        map.fill(1);
        std::sync::Arc::new(map.make_read_only().unwrap())
    };
    let part = |dtype, outputs, range| PackedPart {
        dtype,
        outputs,
        bytes: PanelBytes::Mapped { map: map.clone(), range },
    };
    let size = packed_bytes(Dtype::Q4K, 256, 33).unwrap();
    let refusal = |parts, inputs, bias: Option<Vec<f32>>| {
        Linear::from_parts(parts, inputs, bias).unwrap_err().to_string()
    };

    assert!(Linear::from_parts(vec![part(Dtype::Q4K, 33, 64..64 + size)], 256, None).is_ok());
    assert!(
        refusal(vec![part(Dtype::Q4K, 33, 64..63 + size)], 256, None)
            .contains("33 packed rows of 256 numbers in Q4_K do not take")
    );
    assert!(
        refusal(vec![part(Dtype::Q4K, 33, 32..32 + size)], 256, None).contains("multiple of 64")
    );
    assert!(refusal(vec![part(Dtype::Q4K, 33, 0..size)], 255, None).contains("255 numbers"));
    assert!(
        refusal(vec![part(Dtype::Q4K, 33, 1 << 20..(1 << 20) + size)], 256, None)
            .contains("do not take 0 bytes")
    );
    assert!(
        refusal(vec![part(Dtype::Q4K, 33, 0..size)], 256, Some(vec![0.0; 32]))
            .contains("32 values of a bias for 33 outputs")
    );
    assert_eq!(packed_bytes(Dtype::F32, usize::MAX / 4, 1), None);
    assert_eq!(packed_bytes(Dtype::F32, 1 << 40, 1 << 40), None);
}

#[test]
fn slices_cover_all_panels_in_order_and_get_shorter() {
    for (panels, threads) in [(0, 2), (1, 2), (3, 8), (64, 2), (352, 2), (1000, 64)] {
        let slices = slices(panels, threads);
        assert_eq!(
            slices.iter().cloned().flatten().collect::<Vec<_>>(),
            (0..panels).collect::<Vec<_>>()
        );
        assert!(
            slices.windows(2).all(|pair| pair[0].len() >= pair[1].len()),
            "{panels} on {threads}"
        );
        assert!(slices.last().is_none_or(|last| last.len() == 1));
    }
}
