//! The float kernels on AVX-512.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{PANEL, Sums, TILE};
use crate::quant::Dtype;

/// Adds the products of `P` panels and the rows of `x` (at most [`TILE`]) to `sums`; the processor
/// must have AVX-512F.
pub(super) fn pass<const P: usize>(
    dtype: Dtype,
    weights: &[u8],
    x: &[f32],
    inputs: usize,
    sums: &mut Sums<P>,
) {
    match dtype {
        Dtype::F32 => lines::<F32, P>(weights, x, inputs, sums),
        Dtype::F16 => lines::<F16, P>(weights, x, inputs, sums),
        _ => lines::<Bf16, P>(weights, x, inputs, sums),
    }
}

fn lines<L: PanelRow, const P: usize>(
    weights: &[u8],
    x: &[f32],
    inputs: usize,
    sums: &mut Sums<P>,
) {
    let rows = x.len() / inputs;
    assert!(rows <= TILE && weights.len() >= P * inputs * L::BYTES);
    // SAFETY: the caller found AVX-512F; `x` holds as many rows as R says, and `weights` P panels.
    unsafe {
        match rows {
            0 => {}
            1 => multiply::<L, 1, P>(weights, x, inputs, sums),
            2 => multiply::<L, 2, P>(weights, x, inputs, sums),
            3 => multiply::<L, 3, P>(weights, x, inputs, sums),
            4 => multiply::<L, 4, P>(weights, x, inputs, sums),
            5 => multiply::<L, 5, P>(weights, x, inputs, sums),
            6 => multiply::<L, 6, P>(weights, x, inputs, sums),
            7 => multiply::<L, 7, P>(weights, x, inputs, sums),
            _ => multiply::<L, TILE, P>(weights, x, inputs, sums),
        }
    }
}

/// How the 32 numbers of one input lie in memory.
trait PanelRow {
    const BYTES: usize;

    /// # Safety
    /// The processor must have AVX-512F, and `at` must point to [`PanelRow::BYTES`] readable bytes.
    unsafe fn load(at: *const u8) -> [__m512; 2];
}

struct F32;
struct F16;
struct Bf16;

impl PanelRow for F32 {
    const BYTES: usize = 4 * PANEL;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [__m512; 2] {
        // SAFETY: promised by the caller.
        unsafe { [_mm512_loadu_ps(at.cast()), _mm512_loadu_ps(at.add(64).cast())] }
    }
}

impl PanelRow for F16 {
    const BYTES: usize = 2 * PANEL;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [__m512; 2] {
        // SAFETY: promised by the caller.
        unsafe {
            [
                _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast())),
            ]
        }
    }
}

impl PanelRow for Bf16 {
    const BYTES: usize = 2 * PANEL;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [__m512; 2] {
        // SAFETY: promised by the caller.
        unsafe {
            let pairs = _mm512_loadu_si512(at.cast());
            let high = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), _mm512_castsi512_ps(high)]
        }
    }
}

/// How many bytes ahead weights are fetched: one group of panels where that stays well within the
/// second-level cache, so that the next group is there when this one is done; else what covers the
/// memory's latency at full bandwidth. `None` for few rows: there the processor's own prefetcher
/// keeps up, and the instructions would only cost time.
#[inline(always)]
fn ahead<const R: usize, const P: usize>(inputs: usize, line: usize) -> Option<usize> {
    let group = P * inputs * line;
    (R >= 4).then_some(if group <= 256 << 10 { group } else { 4608 })
}

/// # Safety
/// The processor must have AVX-512F; `weights` must hold `P` panels of `inputs` lines and `x` `R *
/// inputs` values.
#[target_feature(enable = "avx512f,fma")]
unsafe fn multiply<L: PanelRow, const R: usize, const P: usize>(
    weights: &[u8],
    x: &[f32],
    inputs: usize,
    out: &mut Sums<P>,
) {
    let (weights, x) = (weights.as_ptr(), x.as_ptr());
    let ahead = ahead::<R, P>(inputs, L::BYTES);
    let mut sums = [[[_mm512_setzero_ps(); 2]; P]; R];
    for k in 0..inputs {
        // SAFETY: k < inputs, so every address is inside the two slices (sizes promised by the
        // caller); prefetches may go anywhere.
        unsafe {
            let mut row = [[_mm512_setzero_ps(); 2]; P];
            for (p, row) in row.iter_mut().enumerate() {
                let at = weights.add((p * inputs + k) * L::BYTES);
                if let Some(ahead) = ahead {
                    for line in (0..L::BYTES).step_by(64) {
                        _mm_prefetch::<_MM_HINT_T1>(at.cast::<i8>().wrapping_add(ahead + line));
                    }
                }
                *row = L::load(at);
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*x.add(r * inputs + k));
                for (sums, row) in sums.iter_mut().zip(&row) {
                    sums[0] = _mm512_fmadd_ps(x, row[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, row[1], sums[1]);
                }
            }
        }
    }
    for (sums, out) in sums.iter().zip(out) {
        for (sums, out) in sums.iter().zip(out) {
            // SAFETY: `out` holds 32 values.
            unsafe {
                _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
                _mm512_storeu_ps(out.as_mut_ptr().add(16), sums[1]);
            }
        }
    }
}
