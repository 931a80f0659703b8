//! Arithmetic in registers alone: enough independent chains of multiply-adds to hide their latency,
//! on the widest instructions there are.

use std::hint::black_box;

use super::best;

/// Independent chains: more than the product of latency and throughput of any processor at hand.
const CHAINS: usize = 12;
/// Links of a chain; about a millisecond.
const LINKS: usize = 1 << 18;

/// f32 multiplications and additions a second.
pub(super) fn float_ops(threads: usize) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            #[allow(unsafe_code)]
            return rate(threads, 16, || unsafe { x86::float_512() });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            #[allow(unsafe_code)]
            return rate(threads, 8, || unsafe { x86::float_256() });
        }
    }
    rate(threads, 4, portable)
}

/// int8 multiplications and additions a second.
pub(super) fn int8_ops(threads: usize) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the processor has AVX-512F and VNNI.
            #[allow(unsafe_code)]
            return Some(rate(threads, 64, || unsafe { x86::int8_512() }));
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            #[allow(unsafe_code)]
            return Some(rate(threads, 32, || unsafe { x86::int8_256() }));
        }
    }
    let _ = threads;
    None
}

/// Operations a second where a link is so many multiply-adds.
fn rate<R>(threads: usize, multiply_adds: usize, chains: impl Fn() -> R + Sync) -> f64 {
    let time = best(threads, |_| chains());
    (threads * LINKS * CHAINS * multiply_adds * 2) as f64 / time.as_secs_f64()
}

fn portable() -> f32 {
    let (factor, term) = (black_box(0.5_f32), black_box(1.0_f32));
    let mut sums = [[0.0_f32; 4]; CHAINS];
    for _ in 0..LINKS {
        for sum in sums.as_flattened_mut() {
            *sum = *sum * factor + term;
        }
    }
    sums.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, LINKS};
    use std::{arch::x86_64::*, hint::black_box};

    #[target_feature(enable = "avx512f")]
    pub(super) fn float_512() -> f32 {
        let (factor, term) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..LINKS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        // All of them are asked for, so none is left out.
        _mm512_reduce_add_ps(black_box(sums)[0])
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn float_256() -> f32 {
        let (factor, term) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..LINKS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        _mm256_cvtss_f32(black_box(sums)[0])
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn int8_512() -> i32 {
        let (a, b) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(5)));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..LINKS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        _mm512_reduce_add_epi32(black_box(sums)[0])
    }

    /// Three instructions a product: into pairs, into fours, into the sum.
    #[target_feature(enable = "avx2")]
    pub(super) fn int8_256() -> i32 {
        let (a, b, ones) = (
            _mm256_set1_epi8(black_box(3)),
            _mm256_set1_epi8(black_box(5)),
            _mm256_set1_epi16(black_box(1)),
        );
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..LINKS {
            for sum in &mut sums {
                // Depends on the sum, so that it is not computed once for all.
                let pairs = _mm256_maddubs_epi16(_mm256_xor_si256(a, *sum), b);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        _mm256_extract_epi32::<0>(black_box(sums)[0])
    }
}
