//! Single precision to stored blocks, after `ggml-quants.c`'s reference quantisers.
//!
//! Sums run over fixed lanes and nothing is contracted to fused multiply-adds, so the same numbers
//! give the same bytes on every machine.

mod affine;
mod signed;
mod simple;

use super::Dtype;
use half::{bf16, f16};

/// A number that no scale of 16 bits can stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutOfRange(pub f32);

/// Writes `values`, whole blocks of `dtype`, to `out`, which has exactly their size.
///
/// # Errors
/// When a value is not finite, or beyond half precision's range in any format but F32 and BF16.
pub fn encode(dtype: Dtype, values: &[f32], out: &mut [u8]) -> Result<(), OutOfRange> {
    debug_assert_eq!(dtype.bytes(values.len()), Some(out.len()));
    let limit =
        if matches!(dtype, Dtype::F32 | Dtype::Bf16) { f32::MAX } else { f16::MAX.to_f32() };
    if let Some(&value) = values.iter().find(|value| !(-limit..=limit).contains(*value)) {
        return Err(OutOfRange(value));
    }
    match dtype {
        Dtype::F32 => each(values, out, |[value], out| *out = value.to_le_bytes()),
        Dtype::F16 => each(values, out, |[value], out| *out = f16::from_f32(*value).to_le_bytes()),
        Dtype::Bf16 => {
            each(values, out, |[value], out| *out = bf16::from_f32(*value).to_le_bytes())
        }
        Dtype::Q4_0 => each(values, out, simple::q4_0),
        Dtype::Q8_0 => each(values, out, simple::q8_0),
        Dtype::Q4K => each(values, out, affine::q4k),
        Dtype::Q5K => each(values, out, affine::q5k),
        Dtype::Q6K => each(values, out, signed::q6k),
    }
    Ok(())
}

fn each<const N: usize, const B: usize>(
    values: &[f32],
    out: &mut [u8],
    block: impl Fn(&[f32; N], &mut [u8; B]),
) {
    values
        .as_chunks()
        .0
        .iter()
        .zip(out.as_chunks_mut().0)
        .for_each(|(values, out)| block(values, out));
}

/// The nearest whole number, halves to even, of one below 2^22: adding 1.5 x 2^23 leaves no
/// fraction bits. `round_ties_even` is a call on processors without SSE 4.1, and this is the
/// innermost loop.
#[inline(always)]
fn nearest(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// Sum of `term(i)` for all `i < N`, in lanes of eight.
#[inline(always)]
fn sum<const N: usize>(term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for from in (0..N).step_by(8) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(from + lane);
        }
    }
    lanes.iter().sum()
}
