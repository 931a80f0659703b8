//! Dense layers: `y = x W^T + b`.

mod activations;
mod float;
mod panels;
mod quantised;
pub mod transposed;

use std::ops::Range;

use crate::{
    error::KernelError,
    quant::{Dtype, RawTensor},
    simd::isa::IntegerDot,
    threads::{self, Disjoint},
};
use activations::{Activations, Wanted};
use panels::PANEL;
pub use panels::{PackedPart, PanelBytes, packed_bytes};

/// Multiply-adds below which waking another thread costs more than it saves.
const PARALLEL_FROM: usize = 3 << 20;
/// As many rows as quantised weights are multiplied by in about the time of one: a single row waits
/// for memory.
const QUANTISED_ROWS: usize = 4;

/// A slice is this part of what is left for its thread.
const SHARES: usize = 2;

/// A weight matrix packed for the kernels, with an optional bias.
///
/// Its outputs may be stored in several formats, one [`PackedPart`] after the other.
#[derive(Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    parts: Vec<PackedPart>,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// Packs row-major `outputs x inputs` matrices, stacked in order along the outputs; `inputs` is
    /// a whole number of blocks of each format.
    pub fn pack(parts: &[RawTensor<'_>], inputs: usize, bias: Option<Vec<f32>>) -> Self {
        let runs = parts.chunk_by(|a, b| a.dtype == b.dtype);
        Self::new(
            runs.filter_map(|run| Some(panels::pack(run, run.first()?.dtype, inputs))).collect(),
            inputs,
            bias,
        )
    }

    /// Packs one row-major `outputs x inputs` matrix.
    pub fn from_rows(values: &[f32], inputs: usize) -> Self {
        Self::new(vec![panels::pack_rows(values, inputs)], inputs, None)
    }

    /// Packs one row-major `inputs x outputs` matrix.
    pub fn from_columns(values: &[f32], outputs: usize) -> Self {
        Self::new(vec![panels::pack_columns(values, outputs)], values.len() / outputs, None)
    }

    /// A layer of parts that were packed before.
    ///
    /// # Errors
    /// When a part does not have the bytes that its format and outputs call for, is not aligned to
    /// 64 bytes, or the bias has another length.
    pub fn from_parts(
        parts: Vec<PackedPart>,
        inputs: usize,
        bias: Option<Vec<f32>>,
    ) -> Result<Self, KernelError> {
        for PackedPart { dtype, outputs, bytes } in &parts {
            let (dtype, outputs) = (*dtype, *outputs);
            if panels::packed_bytes(dtype, inputs, outputs) != Some(bytes.len()) {
                return Err(KernelError::PackedSize { dtype, inputs, outputs, found: bytes.len() });
            }
            if !bytes.is_aligned() {
                return Err(KernelError::Alignment { dtype });
            }
        }
        let linear = Self::new(parts, inputs, bias);
        match &linear.bias {
            Some(bias) if bias.len() != linear.outputs => {
                Err(KernelError::BiasLength { bias: bias.len(), outputs: linear.outputs })
            }
            _ => Ok(linear),
        }
    }

    fn new(parts: Vec<PackedPart>, inputs: usize, bias: Option<Vec<f32>>) -> Self {
        let outputs = parts.iter().map(|part| part.outputs).sum();
        Self { inputs, outputs, parts, bias }
    }

    /// The packed outputs, in order.
    pub fn parts(&self) -> &[PackedPart] {
        &self.parts
    }

    /// Numbers in a row of the result.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of packed weights held in memory.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum::<usize>()
            + self.bias.as_ref().map_or(0, |b| b.len() * 4)
    }

    /// `y = x W^T + b`; `x` is rows x inputs, the result rows x outputs.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut y = vec![0.0; rows * self.outputs];
        self.apply_into(x, &mut y);
        y
    }

    /// As [`Linear::apply`], into `y`.
    pub fn apply_into(&self, x: &[f32], y: &mut [f32]) {
        self.apply_with(IntegerDot::detect(), x, y);
    }

    /// As [`Linear::apply_into`], with these instructions for quantised parts; the processor must
    /// have them.
    fn apply_with(&self, dot: IntegerDot, x: &[f32], y: &mut [f32]) {
        let rows = x.len() / self.inputs;
        assert_eq!(y.len(), rows * self.outputs, "the output must hold a row for each input row");
        let quantised = self.quantise(x);
        let y = Disjoint::new(y);
        let panels: usize = self.parts.iter().map(PackedPart::panels).sum();
        let work = self.inputs
            * self.outputs
            * if quantised.is_empty() { rows } else { rows.div_ceil(QUANTISED_ROWS) };
        if work < PARALLEL_FROM || threads::count() == 1 {
            self.run_panels(0..panels, x, &quantised, dot, &y);
        } else {
            let slices = slices(panels, threads::count());
            threads::run(slices.len(), |i| {
                self.run_panels(slices[i].clone(), x, &quantised, dot, &y)
            });
        }
    }

    /// The rows of `x`, quantised once for each way in which the parts want them.
    fn quantise(&self, x: &[f32]) -> Vec<(Wanted, Activations)> {
        let mut quantised: Vec<(Wanted, Activations)> = Vec::new();
        for wanted in self.parts.iter().filter_map(|part| quantised::wanted(part.dtype)) {
            if quantised.iter().all(|(has, _)| *has != wanted) {
                quantised.push((wanted, Activations::new(x, self.inputs, wanted)));
            }
        }
        quantised
    }

    /// Computes a run of panels, counted over all parts, for all rows. Runs of different calls must
    /// not overlap: they write disjoint columns of `y`.
    fn run_panels(
        &self,
        panels: Range<usize>,
        x: &[f32],
        quantised: &[(Wanted, Activations)],
        dot: IntegerDot,
        y: &Disjoint<'_, f32>,
    ) {
        let (mut first, mut column) = (0, 0);
        for part in &self.parts {
            let here = panels.start.clamp(first, first + part.panels()) - first
                ..panels.end.clamp(first, first + part.panels()) - first;
            let store = |row: usize, panel: usize, sums: &[f32; PANEL]| {
                let width = PANEL.min(part.outputs - panel * PANEL);
                let column = column + panel * PANEL;
                let at = row * self.outputs + column;
                // SAFETY: columns of different panels are disjoint, and no panel is computed twice.
                #[allow(unsafe_code)]
                let y = unsafe { y.part(at..at + width) };
                y.copy_from_slice(&sums[..width]);
                if let Some(bias) = &self.bias {
                    y.iter_mut().zip(&bias[column..]).for_each(|(y, b)| *y += b);
                }
            };
            match part.dtype {
                Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                    float::multiply(part, here, x, self.inputs, store)
                }
                _ => {
                    let wanted = quantised::wanted(part.dtype);
                    if let Some((_, x)) = quantised.iter().find(|(has, _)| Some(*has) == wanted) {
                        quantised::multiply(part, here, x, dot, store);
                    }
                }
            }
            first += part.panels();
            column += part.outputs;
        }
    }
}

/// Cuts `panels` panels for `threads` threads, which take one slice after the other: long ones at
/// first, which are read in one go, and short ones at last, so that threads end together and one
/// that loses its core for a while leaves work to take over (guided self-scheduling;
/// Polychronopoulos and Kuck 1987).
fn slices(panels: usize, threads: usize) -> Vec<Range<usize>> {
    let mut slices = Vec::new();
    let mut first = 0;
    while first < panels {
        let len = ((panels - first) / (SHARES * threads)).max(1);
        slices.push(first..first + len);
        first += len;
    }
    slices
}

#[cfg(test)]
mod tests;
