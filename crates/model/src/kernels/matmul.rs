//! Dense layers: `y = x W^T + b`.

use super::isa::{Isa, isa, multiversion};
use crate::{
    threads,
    weights::{Dtype, RawTensor},
};

/// Output columns in one panel of packed weights.
const PANEL: usize = 32;
/// Rows that one pass over a panel serves.
const TILE: usize = 8;
/// Multiply-adds below which waking another thread costs more than it saves.
const PARALLEL_FROM: usize = 3 << 20;

/// A weight matrix packed for the matmul kernel, with an optional bias.
///
/// Columns (output features) are cut in panels of 32, each stored input-major, so that one output element is one chain of fused
/// multiply-adds over the inputs in order, whatever else is computed beside it.
#[derive(Debug)]
pub(crate) struct Linear {
    inputs: usize,
    outputs: usize,
    panels: Panels,
    bias: Option<Vec<f32>>,
}

#[derive(Debug)]
enum Panels {
    /// `[panel][input][32]`
    F32(Vec<f32>),
    /// `[panel][input][16 x (column c, column c + 16)]`: two bf16 side by side widen to two f32 with one shift and one mask.
    Bf16(Vec<u32>),
}

impl Linear {
    /// Packs row-major `outputs x inputs` matrices, stacked in order along the outputs; all-bf16 stacks stay bf16, others become f32.
    pub(crate) fn pack(parts: &[RawTensor<'_>], inputs: usize, bias: Option<Vec<f32>>) -> Self {
        let outputs: usize = parts.iter().map(|part| part.len() / inputs).sum();
        let count = outputs.div_ceil(PANEL);
        let rows = || parts.iter().flat_map(|part| (0..part.len() / inputs).map(move |row| part.slice(row * inputs, inputs))).enumerate();
        let panels = if parts.iter().all(|part| part.dtype == Dtype::Bf16) {
            let mut packed = vec![0_u32; count * inputs * PANEL / 2];
            for (column, row) in rows() {
                let (panel, c) = (column / PANEL, column % PANEL);
                let out = &mut packed[panel * inputs * PANEL / 2..][..inputs * PANEL / 2];
                let shift = if c < PANEL / 2 { 0 } else { 16 };
                for (k, bits) in row.bytes.chunks_exact(2).enumerate() {
                    out[k * PANEL / 2 + c % (PANEL / 2)] |= u32::from(u16::from_le_bytes([bits[0], bits[1]])) << shift;
                }
            }
            Panels::Bf16(packed)
        } else {
            let mut packed = vec![0_f32; count * inputs * PANEL];
            for (column, row) in rows() {
                let (panel, c) = (column / PANEL, column % PANEL);
                let out = &mut packed[panel * inputs * PANEL..][..inputs * PANEL];
                for (k, value) in row.to_f32().into_iter().enumerate() {
                    out[k * PANEL + c] = value;
                }
            }
            Panels::F32(packed)
        };
        Self { inputs, outputs, panels, bias }
    }

    /// Packs one row-major `outputs x inputs` matrix.
    pub(crate) fn from_rows(values: &[f32], inputs: usize) -> Self {
        let outputs = values.len() / inputs;
        let mut packed = vec![0_f32; outputs.div_ceil(PANEL) * inputs * PANEL];
        for (rows, panel) in values.chunks(PANEL * inputs).zip(packed.chunks_exact_mut(inputs * PANEL)) {
            for (c, row) in rows.chunks_exact(inputs).enumerate() {
                for (k, &value) in row.iter().enumerate() {
                    panel[k * PANEL + c] = value;
                }
            }
        }
        Self { inputs, outputs, panels: Panels::F32(packed), bias: None }
    }

    /// Packs one row-major `inputs x outputs` matrix.
    pub(crate) fn from_columns(values: &[f32], outputs: usize) -> Self {
        let inputs = values.len() / outputs;
        let mut packed = vec![0_f32; outputs.div_ceil(PANEL) * inputs * PANEL];
        for (index, panel) in packed.chunks_exact_mut(inputs * PANEL).enumerate() {
            let columns = index * PANEL..outputs.min((index + 1) * PANEL);
            for (row, packed) in values.chunks_exact(outputs).zip(panel.chunks_exact_mut(PANEL)) {
                packed[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        }
        Self { inputs, outputs, panels: Panels::F32(packed), bias: None }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of packed weights held in memory.
    pub(crate) fn bytes(&self) -> usize {
        let packed = match &self.panels {
            Panels::F32(p) => p.len() * 4,
            Panels::Bf16(p) => p.len() * 4,
        };
        packed + self.bias.as_ref().map_or(0, |b| b.len() * 4)
    }

    /// `y = x W^T + b`; `x` is rows x inputs, the result rows x outputs.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut y = vec![0.0; rows * self.outputs];
        self.apply_into(x, &mut y);
        y
    }

    /// As [`Linear::apply`], into `y`.
    pub(crate) fn apply_into(&self, x: &[f32], y: &mut [f32]) {
        let rows = x.len() / self.inputs;
        assert_eq!(y.len(), rows * self.outputs, "the output must hold a row for each input row");
        let target = Target { y: y.as_mut_ptr(), stride: self.outputs, rows };
        let panels = self.outputs.div_ceil(PANEL);
        let work = rows * self.inputs * self.outputs;
        let threads = if work < PARALLEL_FROM { 1 } else { threads::count() };
        if threads == 1 {
            self.run_panels(0..panels, x, &target);
        } else {
            // Several slices a thread, so that a thread that loses its core for a while leaves work to take over.
            let slice = panels.div_ceil(threads * 4).max(1);
            threads::run(panels.div_ceil(slice), |i| {
                let from = i * slice;
                self.run_panels(from..(from + slice).min(panels), x, &target);
            });
        }
        if let Some(bias) = &self.bias {
            for row in y.chunks_exact_mut(self.outputs) {
                row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
            }
        }
    }

    /// Computes a run of panels for all rows. Runs of different calls must not overlap: they write disjoint columns of `target`.
    fn run_panels(&self, panels: std::ops::Range<usize>, x: &[f32], target: &Target) {
        let mut panel = panels.start;
        while panel < panels.end {
            let left = panels.end - panel;
            let mut row = 0;
            // Few rows: several panels at once keep enough independent chains in flight to hide the latency of an addition.
            let group = match target.rows {
                1 | 2 => left.min(4),
                3 | 4 => left.min(2),
                _ => 1,
            };
            let group = if group == 3 { 2 } else { group };
            while row < target.rows {
                let tile = (target.rows - row).min(TILE);
                let rows = &x[row * self.inputs..][..tile * self.inputs];
                match group {
                    4 => self.tile::<4>(panel, rows, row, target),
                    2 => self.tile::<2>(panel, rows, row, target),
                    _ => self.tile::<1>(panel, rows, row, target),
                }
                row += tile;
            }
            panel += group;
        }
    }

    fn tile<const P: usize>(&self, panel: usize, x: &[f32], row: usize, target: &Target) {
        let mut out = [[[0.0_f32; PANEL]; P]; TILE];
        let rows = x.len() / self.inputs;
        match rows {
            1 => self.accumulate::<1, P>(panel, x, &mut out),
            2 => self.accumulate::<2, P>(panel, x, &mut out),
            3 => self.accumulate::<3, P>(panel, x, &mut out),
            4 => self.accumulate::<4, P>(panel, x, &mut out),
            5 => self.accumulate::<5, P>(panel, x, &mut out),
            6 => self.accumulate::<6, P>(panel, x, &mut out),
            7 => self.accumulate::<7, P>(panel, x, &mut out),
            _ => self.accumulate::<8, P>(panel, x, &mut out),
        }
        for (r, out) in out.iter().take(rows).enumerate() {
            for (p, out) in out.iter().enumerate() {
                let column = (panel + p) * PANEL;
                target.store(row + r, column, &out[..PANEL.min(self.outputs - column)]);
            }
        }
    }

    #[inline(always)]
    fn accumulate<const R: usize, const P: usize>(&self, panel: usize, x: &[f32], out: &mut [[[f32; PANEL]; P]; TILE]) {
        assert!(x.len() >= R * self.inputs);
        match &self.panels {
            Panels::F32(packed) => {
                let size = self.inputs * PANEL;
                let weights = &packed[panel * size..][..P * size];
                match isa() {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: the processor has AVX-512; `weights` holds P panels and `x` R rows of `inputs` values.
                    #[allow(unsafe_code)]
                    Isa::Avx512 => unsafe { avx512::f32::<R, P>(weights, x, self.inputs, out) },
                    _ => (0..P).for_each(|p| {
                        portable_f32(&weights[p * size..][..size], x, self.inputs, R, &mut out.each_mut().map(|o| &mut o[p]))
                    }),
                }
            }
            Panels::Bf16(packed) => {
                let size = self.inputs * PANEL / 2;
                let weights = &packed[panel * size..][..P * size];
                match isa() {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    #[allow(unsafe_code)]
                    Isa::Avx512 => unsafe { avx512::bf16::<R, P>(weights, x, self.inputs, out) },
                    _ => (0..P).for_each(|p| {
                        portable_bf16(&weights[p * size..][..size], x, self.inputs, R, &mut out.each_mut().map(|o| &mut o[p]))
                    }),
                }
            }
        }
    }
}

/// The output matrix, written by several threads at disjoint columns.
struct Target {
    y: *mut f32,
    stride: usize,
    rows: usize,
}

// SAFETY: the pointer is only written through `store`, and `run_panels` gives every thread its own columns.
#[allow(unsafe_code)]
unsafe impl Sync for Target {}

impl Target {
    fn store(&self, row: usize, column: usize, values: &[f32]) {
        assert!(row < self.rows && column + values.len() <= self.stride);
        // SAFETY: in bounds by the assertion; no other thread touches these columns, and `y` outlives the call that made this target.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.y.add(row * self.stride + column), values.len());
        }
    }
}

multiversion! {
    fn portable_f32(weights: &[f32], x: &[f32], inputs: usize, rows: usize, out: &mut [&mut [f32; PANEL]; TILE]) {
        for (r, x) in x.chunks_exact(inputs).take(rows).enumerate() {
            let mut sums = [0.0_f32; PANEL];
            for (&x, weights) in x.iter().zip(weights.chunks_exact(PANEL)) {
                for (sum, &w) in sums.iter_mut().zip(weights) {
                    *sum = x.mul_add(w, *sum);
                }
            }
            *out[r] = sums;
        }
    }
}

multiversion! {
    fn portable_bf16(weights: &[u32], x: &[f32], inputs: usize, rows: usize, out: &mut [&mut [f32; PANEL]; TILE]) {
        for (r, x) in x.chunks_exact(inputs).take(rows).enumerate() {
            let mut low = [0.0_f32; PANEL / 2];
            let mut high = [0.0_f32; PANEL / 2];
            for (&x, weights) in x.iter().zip(weights.chunks_exact(PANEL / 2)) {
                for ((low, high), &pair) in low.iter_mut().zip(&mut high).zip(weights) {
                    *low = x.mul_add(f32::from_bits(pair << 16), *low);
                    *high = x.mul_add(f32::from_bits(pair & 0xffff_0000), *high);
                }
            }
            out[r][..PANEL / 2].copy_from_slice(&low);
            out[r][PANEL / 2..].copy_from_slice(&high);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx512 {
    use super::{PANEL, TILE};
    use std::arch::x86_64::*;

    type Out<const P: usize> = [[[f32; PANEL]; P]; TILE];

    /// How many bytes ahead weights are fetched: one group of panels where that stays well within the second-level cache, so that the next
    /// group is there when this one is done; else what covers the memory's latency at full bandwidth. `None` for few rows: there the
    /// processor's own prefetcher keeps up, and the instructions would only cost time.
    #[inline(always)]
    fn ahead<const R: usize, const P: usize>(inputs: usize, line: usize) -> Option<usize> {
        let group = P * inputs * line;
        (R >= 4).then_some(if group <= 256 << 10 { group } else { 4608 })
    }

    /// `out[r][p][c] = sum over k of x[r][k] * weights[p][k][c]`.
    ///
    /// # Safety
    /// The processor must have AVX-512F; `weights` must hold `P * inputs * 32` values and `x` `R * inputs`.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn f32<const R: usize, const P: usize>(weights: &[f32], x: &[f32], inputs: usize, out: &mut Out<P>) {
        debug_assert!(weights.len() >= P * inputs * PANEL && x.len() >= R * inputs);
        let (w, x) = (weights.as_ptr(), x.as_ptr());
        let ahead = ahead::<R, P>(inputs, PANEL * 4);
        let mut sums = [[[_mm512_setzero_ps(); 2]; P]; R];
        for k in 0..inputs {
            // SAFETY: k < inputs, so every address is inside the two slices (sizes promised by the caller); prefetches may go anywhere.
            unsafe {
                let mut row = [[_mm512_setzero_ps(); 2]; P];
                for (p, row) in row.iter_mut().enumerate() {
                    let at = w.add((p * inputs + k) * PANEL);
                    if let Some(ahead) = ahead {
                        _mm_prefetch::<_MM_HINT_T1>(at.cast::<i8>().wrapping_add(ahead));
                        _mm_prefetch::<_MM_HINT_T1>(at.cast::<i8>().wrapping_add(ahead + 64));
                    }
                    *row = [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))];
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
        store(&sums, out);
    }

    /// As [`f32()`], over pairs of bf16.
    ///
    /// # Safety
    /// The processor must have AVX-512F; `weights` must hold `P * inputs * 16` pairs and `x` `R * inputs` values.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn bf16<const R: usize, const P: usize>(weights: &[u32], x: &[f32], inputs: usize, out: &mut Out<P>) {
        debug_assert!(weights.len() >= P * inputs * PANEL / 2 && x.len() >= R * inputs);
        let (w, x) = (weights.as_ptr(), x.as_ptr());
        let ahead = ahead::<R, P>(inputs, PANEL * 2);
        let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        let mut sums = [[[_mm512_setzero_ps(); 2]; P]; R];
        for k in 0..inputs {
            // SAFETY: k < inputs, so every address is inside the two slices (sizes promised by the caller); prefetches may go anywhere.
            unsafe {
                let mut row = [[_mm512_setzero_ps(); 2]; P];
                for (p, row) in row.iter_mut().enumerate() {
                    let at = w.add((p * inputs + k) * PANEL / 2);
                    if let Some(ahead) = ahead {
                        _mm_prefetch::<_MM_HINT_T1>(at.cast::<i8>().wrapping_add(ahead));
                    }
                    let pairs = _mm512_loadu_si512(at.cast());
                    *row = [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), _mm512_castsi512_ps(_mm512_and_si512(pairs, mask))];
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
        store(&sums, out);
    }

    #[target_feature(enable = "avx512f")]
    fn store<const R: usize, const P: usize>(sums: &[[[__m512; 2]; P]; R], out: &mut Out<P>) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// One fused multiply-add after the other: what every path must equal to the bit.
    fn naive(weights: &[f32], x: &[f32], inputs: usize) -> Vec<f32> {
        let mut y = Vec::new();
        for x in x.chunks_exact(inputs) {
            for w in weights.chunks_exact(inputs) {
                y.push(x.iter().zip(w).fold(0.0_f32, |sum, (&x, &w)| x.mul_add(w, sum)));
            }
        }
        y
    }

    fn bytes(values: &[f32], dtype: Dtype) -> Vec<u8> {
        match dtype {
            Dtype::Bf16 => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    #[test]
    fn every_row_equals_the_naive_chain_at_every_batch_size() {
        for (inputs, outputs) in [(7, 5), (64, 33), (48, 160), (96, 257)] {
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                let raw = bytes(&noise(inputs * outputs, 3), dtype);
                let tensor = RawTensor { dtype, bytes: &raw };
                let weights = tensor.to_f32();
                let linear = Linear::pack(&[tensor], inputs, None);
                let x = noise(inputs * 64, 5);
                for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 64] {
                    let x = &x[..rows * inputs];
                    assert_eq!(linear.apply(x), naive(&weights, x, inputs), "{inputs} -> {outputs}, {dtype:?}, {rows} rows");
                }
            }
        }
    }

    #[test]
    fn portable_kernels_equal_the_vector_ones() {
        let (inputs, rows) = (40, 5);
        let x = noise(inputs * rows, 9);
        let values = noise(inputs * PANEL, 11);
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let raw = bytes(&values, dtype);
            let linear = Linear::pack(&[RawTensor { dtype, bytes: &raw }], inputs, None);
            let mut out = [[0.0; PANEL]; TILE];
            match &linear.panels {
                Panels::F32(w) => portable_f32(w, &x, inputs, rows, &mut out.each_mut()),
                Panels::Bf16(w) => portable_bf16(w, &x, inputs, rows, &mut out.each_mut()),
            }
            assert_eq!(linear.apply(&x), out[..rows].concat());
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (inputs, outputs, rows) = (512, 1024, 24);
        let raw = bytes(&noise(inputs * outputs, 3), Dtype::F32);
        let linear = Linear::pack(&[RawTensor { dtype: Dtype::F32, bytes: &raw }], inputs, Some(noise(outputs, 4)));
        let x = noise(inputs * rows, 5);
        let run = |threads| match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => pool.install(|| linear.apply(&x)),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(run(1), run(3));
    }
}
