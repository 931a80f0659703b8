//! Quantising on AVX-512: the compiler makes something three to six times as slow of the plain
//! loops, which rows that are verified together feel.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{BLOCK, LIFT, Quantised, Wanted, is_handled, scale_of, tail};

/// As [`super::plain`]; the processor must have AVX-512F.
pub(super) fn blocks(x: &[[f32; BLOCK]], wanted: Wanted, out: &mut [Quantised]) {
    for (x, out) in x.iter().zip(out) {
        // SAFETY: this is only called where `isa` found the instructions.
        unsafe { block(x, wanted, out) };
    }
}

#[target_feature(enable = "avx512f")]
fn block(x: &[f32; BLOCK], wanted: Wanted, out: &mut Quantised) {
    let (lift, positive) = (_mm512_set1_ps(LIFT), _mm512_set1_epi32(0x7fff_ffff));
    // SAFETY: a block holds 32 values.
    let halves =
        unsafe { [_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(BLOCK / 2))] };
    let magnitudes = halves.map(|half| _mm512_and_si512(_mm512_castps_si512(half), positive));
    let top = _mm512_reduce_max_epu32(_mm512_max_epu32(magnitudes[0], magnitudes[1]));
    let scale = scale_of(top);
    let inverse = _mm512_set1_ps(1.0 / scale);
    let codes = if scale > 0.0 {
        halves.map(|half| {
            let lifted = _mm512_add_ps(_mm512_mul_ps(half, inverse), lift);
            _mm512_sub_epi32(_mm512_castps_si512(lifted), _mm512_castps_si512(lift))
        })
    } else {
        [_mm512_setzero_si512(); 2]
    };
    // SAFETY: the codes of a half fill four words, those of both eight.
    unsafe {
        _mm_storeu_si128(out.words.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(codes[0]));
        _mm_storeu_si128(out.words.as_mut_ptr().add(4).cast(), _mm512_cvtepi32_epi8(codes[1]));
    }
    out.words[8..].copy_from_slice(&tail(
        scale,
        codes.map(|codes| _mm512_reduce_add_epi32(codes)),
        wanted,
    ));
    let large = _mm512_castps_si512(_mm512_set1_ps(f32::from_bits(top) / 16.0));
    let reach =
        magnitudes.map(|magnitudes| _mm512_cmpge_epu32_mask(magnitudes, large).count_ones());
    out.peaked = is_handled(top) && reach[0] + reach[1] <= 2;
}
