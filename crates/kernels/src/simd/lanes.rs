//! Sixteen numbers at a time on every instruction set, for kernels that must keep their sums in
//! registers.

use super::isa::Isa;
use half::f16;

/// Numbers in one vector.
pub(crate) const LANES: usize = 16;

/// The operations of one instruction set. Each gives the same bits on all of them.
///
/// A value of an implementing type is the proof that this processor has the instructions: only
/// [`dispatch`] makes one.
pub(crate) trait Lanes: Copy {
    type V: Copy;
    /// Whether there are registers for six rows of four vectors each; if not, for six rows of one.
    const WIDE: bool;
    fn splat(self, value: f32) -> Self::V;
    fn load(self, from: &[f32; LANES]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; LANES]);
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Each of `a` that is greater than its neighbour in `b`, else that.
    fn greater(self, a: Self::V, b: Self::V) -> Self::V;
    /// The greatest of the sixteen; any of them where one is not a number.
    fn greatest(self, v: Self::V) -> f32;
    /// Exact.
    fn widen(self, from: &[f16; LANES]) -> Self::V;
}

/// What runs on the instruction set that [`dispatch`] was told. `run` and all that it calls with
/// lanes must be `#[inline(always)]`, and use them in no closure: a function that is not inlined is
/// compiled for none of the sets.
pub(crate) trait Kernel {
    fn run<L: Lanes>(self, lanes: L);
}

/// Runs a kernel on an instruction set that [`isa()`](super::isa::isa) has reported.
pub(crate) fn dispatch(isa: Isa, kernel: impl Kernel) {
    match isa {
        // SAFETY: the instruction sets come from `isa`, which reports only what this processor
        // supports.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Isa::Avx512 => unsafe { x86::avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Isa::Avx2 => unsafe { x86::avx2(kernel) },
        // NEON is part of every 64-bit Arm processor.
        #[cfg(target_arch = "aarch64")]
        Isa::Portable => kernel.run(neon::Neon(())),
        #[cfg(not(target_arch = "aarch64"))]
        Isa::Portable => kernel.run(Portable),
    }
}

/// Plain Rust.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "aarch64", allow(dead_code))]
struct Portable;

impl Lanes for Portable {
    type V = [f32; LANES];
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        *from
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for ((c, a), b) in c.iter_mut().zip(a).zip(b) {
            *c = a.mul_add(b, *c);
        }
        c
    }

    #[inline(always)]
    fn greater(self, a: Self::V, mut b: Self::V) -> Self::V {
        for (b, a) in b.iter_mut().zip(a) {
            *b = if a > *b { a } else { *b };
        }
        b
    }

    #[inline(always)]
    fn greatest(self, v: Self::V) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, |most, v| if v > most { v } else { most })
    }

    #[inline(always)]
    fn widen(self, from: &[f16; LANES]) -> Self::V {
        from.map(f16::to_f32)
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use super::{Kernel, LANES, Lanes, f16};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")]
    pub(super) fn avx512(kernel: impl Kernel) {
        kernel.run(Avx512(()));
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn avx2(kernel: impl Kernel) {
        kernel.run(Avx2(()));
    }

    // SAFETY, for all of both implementations: a value exists only inside `avx512` and `avx2`, on a
    // processor with these instructions; loads and stores are unaligned and their sixteen numbers
    // are in the array.

    #[derive(Clone, Copy)]
    pub(super) struct Avx512(());

    impl Lanes for Avx512 {
        type V = __m512;
        const WIDE: bool = true;

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> __m512 {
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, v: __m512, to: &mut [f32; LANES]) {
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn greater(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }

        #[inline(always)]
        fn greatest(self, v: __m512) -> f32 {
            unsafe { _mm512_reduce_max_ps(v) }
        }

        #[inline(always)]
        fn widen(self, from: &[f16; LANES]) -> __m512 {
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());

    impl Lanes for Avx2 {
        type V = [__m256; 2];
        const WIDE: bool = false;

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            [unsafe { _mm256_set1_ps(value) }; 2]
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::V {
            unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
        }

        #[inline(always)]
        fn store(self, v: Self::V, to: &mut [f32; LANES]) {
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
            }
        }

        #[inline(always)]
        fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        fn greater(self, a: Self::V, b: Self::V) -> Self::V {
            unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn greatest(self, v: Self::V) -> f32 {
            unsafe {
                let eight = _mm256_max_ps(v[0], v[1]);
                let four =
                    _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
            }
        }

        #[inline(always)]
        fn widen(self, from: &[f16; LANES]) -> Self::V {
            let at: *const __m128i = from.as_ptr().cast();
            unsafe {
                [_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at.add(1)))]
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod neon {
    use super::{LANES, Lanes, f16};
    use half::slice::HalfFloatSliceExt;
    use std::arch::aarch64::*;

    // SAFETY, for all of it: every 64-bit Arm processor has NEON, and the four quarters of a load
    // or store are in the array.

    #[derive(Clone, Copy)]
    pub(super) struct Neon(pub(super) ());

    impl Lanes for Neon {
        type V = [float32x4_t; 4];
        const WIDE: bool = false;

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            [unsafe { vdupq_n_f32(value) }; 4]
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::V {
            let at = from.as_ptr();
            unsafe {
                [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))]
            }
        }

        #[inline(always)]
        fn store(self, v: Self::V, to: &mut [f32; LANES]) {
            for (i, quarter) in v.into_iter().enumerate() {
                unsafe { vst1q_f32(to.as_mut_ptr().add(4 * i), quarter) };
            }
        }

        #[inline(always)]
        fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            unsafe {
                [
                    vfmaq_f32(c[0], a[0], b[0]),
                    vfmaq_f32(c[1], a[1], b[1]),
                    vfmaq_f32(c[2], a[2], b[2]),
                    vfmaq_f32(c[3], a[3], b[3]),
                ]
            }
        }

        #[inline(always)]
        fn greater(self, a: Self::V, b: Self::V) -> Self::V {
            let mut greater = b;
            for (i, greater) in greater.iter_mut().enumerate() {
                *greater = unsafe { vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]) };
            }
            greater
        }

        #[inline(always)]
        fn greatest(self, v: Self::V) -> f32 {
            unsafe { vmaxvq_f32(vmaxq_f32(vmaxq_f32(v[0], v[1]), vmaxq_f32(v[2], v[3]))) }
        }

        #[inline(always)]
        fn widen(self, from: &[f16; LANES]) -> Self::V {
            let mut wide = [0.0; LANES];
            from.convert_to_f32_slice(&mut wide);
            self.load(&wide)
        }
    }
}
