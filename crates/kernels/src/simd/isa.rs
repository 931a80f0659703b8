//! Vector instructions that this processor has.

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

#[cfg(test)]
impl Isa {
    /// Every instruction set of this processor.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        match isa() {
            Self::Avx512 => return vec![Self::Avx512, Self::Avx2, Self::Portable],
            Self::Avx2 => return vec![Self::Avx2, Self::Portable],
            Self::Portable => {}
        }
        vec![Self::Portable]
    }
}

/// How many bytes ahead of a reader lines are brought to the second cache: as many as cover the
/// memory's latency at full bandwidth.
#[cfg(target_arch = "x86_64")]
const FAR: usize = 16384;
/// How many bytes ahead of a reader lines are brought from there to the first.
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 4608;

/// The best instruction set of this processor (the standard library caches the detection).
pub(crate) fn isa() -> Isa {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
        {
            return Isa::Avx512;
        }
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
        {
            return Isa::Avx2;
        }
    }
    Isa::Portable
}

/// The instructions that sum products of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegerDot {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl IntegerDot {
    /// Those that this processor has, the best first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let vector = {
            let avx2 = matches!(isa(), Isa::Avx512 | Isa::Avx2);
            [
                (
                    Self::Avx512Vnni,
                    isa() == Isa::Avx512 && std::arch::is_x86_feature_detected!("avx512vnni"),
                ),
                (Self::AvxVnni, avx2 && std::arch::is_x86_feature_detected!("avxvnni")),
                (Self::Avx2, avx2),
            ]
        };
        #[cfg(target_arch = "aarch64")]
        let vector = [
            (Self::NeonDot, std::arch::is_aarch64_feature_detected!("dotprod")),
            (Self::Neon, true),
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let vector = [];
        vector.into_iter().filter_map(|(dot, has)| has.then_some(dot)).chain([Self::Portable])
    }

    /// The best that this processor has.
    pub(crate) fn detect() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }
}

/// Asks for what a reader of one stream of memory, now at `at`, will want: a line far ahead for the
/// second cache, and one near for the first, which has few places for lines on their way. The
/// address may be any.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: part of the base instruction set, and never faults.
    #[allow(unsafe_code)]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(FAR).cast());
        _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(NEAR).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Defines a function whose body is compiled once per instruction set and picked at run time.
///
/// The body must be plain Rust that the compiler can vectorise; `f32::mul_add` becomes one
/// instruction where the set has it and gives the same bits where it has not.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn portable($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) {
                    portable($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) {
                    portable($($arg),*)
                }
                match $crate::simd::isa::isa() {
                    // SAFETY: `isa` reports only what this processor supports.
                    $crate::simd::isa::Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::simd::isa::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::isa::Isa::Portable => {}
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use multiversion;
