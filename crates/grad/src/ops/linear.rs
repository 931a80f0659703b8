//! Dense layers: `y = x W^T + b`, with `W` a row-major `outputs x inputs` matrix, quantised or
//! not.
//!
//! A weight is brought to `f32` a block at a time, so that a frozen one never takes more memory
//! than as it is stored. Blocks depend on the weight's shape alone, and where their results are
//! added it is in order, so nothing depends on the number of threads.

use std::{borrow::Cow, ops::Range};

use rayon::prelude::*;
use tricorn_kernels::{
    RawTensor,
    linear::transposed::{Packed, transposed_product},
    quant::decode,
};

use super::{add, columns};

/// Numbers of a weight that are brought to `f32` together, 1 MiB.
const BLOCK: usize = 1 << 18;
/// Rows of a block are a multiple of what the kernels take at a time.
const PANEL: usize = 16;
/// Columns of a block in the backward pass: whole blocks of every quantised format.
const SLAB: usize = 256;

/// The numbers of a weight matrix.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// As they are stored, row-major, rows of whole blocks of their format.
    Stored(RawTensor<'a>),
    /// In single precision.
    Values(&'a [f32]),
}

impl<'a> Weight<'a> {
    /// Some rows of `inputs` numbers in single precision.
    #[must_use]
    pub fn rows(&self, inputs: usize, rows: Range<usize>) -> Cow<'a, [f32]> {
        match self {
            Self::Stored(raw) => {
                Cow::Owned(raw.slice(rows.start * inputs, rows.len() * inputs).to_f32())
            }
            Self::Values(values) => Cow::Borrowed(&values[rows.start * inputs..rows.end * inputs]),
        }
    }

    /// Some columns of some rows of `inputs` numbers in single precision.
    fn block(&self, inputs: usize, rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            let from = row * inputs + columns.start;
            match self {
                Self::Stored(raw) => {
                    let part = raw.slice(from, columns.len());
                    decode(part.dtype, part.bytes, &mut numbers);
                }
                Self::Values(values) => {
                    numbers.extend_from_slice(&values[from..from + columns.len()]);
                }
            }
        }
        numbers
    }

    /// All numbers in single precision.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::Stored(raw) => raw.to_f32(),
            Self::Values(values) => values.to_vec(),
        }
    }
}

/// `x W^T`: `rows x outputs` from `rows x inputs`.
#[must_use]
pub fn forward(x: &[f32], weight: Weight<'_>, inputs: usize, outputs: usize) -> Vec<f32> {
    let blocks = runs(outputs, (BLOCK / inputs / PANEL * PANEL).max(PANEL));
    let products: Vec<(Range<usize>, Vec<f32>)> = blocks
        .into_par_iter()
        .map(|rows| {
            let product = Packed::transposed(&weight.rows(inputs, rows.clone()), inputs).times(x);
            (rows, product)
        })
        .collect();
    side_by_side(products, x.len() / inputs, outputs)
}

/// `dY W`: the gradient of `x`, `rows x inputs`, given that of the output, `rows x outputs`.
#[must_use]
pub fn input_gradient(
    gradient: &[f32],
    weight: Weight<'_>,
    inputs: usize,
    outputs: usize,
) -> Vec<f32> {
    // The gradient cut as the rows of the weight are, once for all slabs of columns.
    let cut = |rows: Range<usize>| {
        let columns = columns(gradient, outputs, rows.clone());
        (rows, columns)
    };
    let blocks: Vec<(Range<usize>, Vec<f32>)> =
        runs(outputs, BLOCK / SLAB).into_iter().map(cut).collect();
    let products: Vec<(Range<usize>, Vec<f32>)> = runs(inputs, SLAB)
        .into_par_iter()
        .map(|columns| {
            let mut sum = vec![0.0; gradient.len() / outputs * columns.len()];
            for (rows, gradient) in &blocks {
                let block = weight.block(inputs, rows.clone(), columns.clone());
                add(&mut sum, &Packed::new(&block, columns.len()).times(gradient));
            }
            (columns, sum)
        })
        .collect();
    side_by_side(products, gradient.len() / outputs, inputs)
}

/// `dY^T x`: the gradient of `W`, `outputs x inputs`.
#[must_use]
pub fn weight_gradient(gradient: &[f32], outputs: usize, x: &[f32], inputs: usize) -> Vec<f32> {
    transposed_product(gradient, outputs, x, inputs)
}

/// The gradient of the bias: the sum of the output's over the rows.
#[must_use]
pub fn bias_gradient(gradient: &[f32], outputs: usize) -> Vec<f32> {
    let mut bias = vec![0.0; outputs];
    gradient.chunks_exact(outputs).for_each(|row| add(&mut bias, row));
    bias
}

/// Adds a bias to every row.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    y.chunks_exact_mut(bias.len()).for_each(|row| add(row, bias));
}

/// `0..count` in runs of `length`, the last one shorter.
fn runs(count: usize, length: usize) -> Vec<Range<usize>> {
    (0..count).step_by(length).map(|start| start..(start + length).min(count)).collect()
}

/// Some columns each, put together to rows `width` wide.
fn side_by_side(parts: Vec<(Range<usize>, Vec<f32>)>, rows: usize, width: usize) -> Vec<f32> {
    let mut whole = vec![0.0; rows * width];
    for (columns, part) in parts {
        for (row, part) in whole.chunks_exact_mut(width).zip(part.chunks_exact(columns.len())) {
            row[columns.clone()].copy_from_slice(part);
        }
    }
    whole
}

/// A trained weight, `outputs x inputs`, packed once for both directions and used many times.
#[derive(Debug)]
pub struct PackedWeight {
    forward: Packed,
    backward: Packed,
    inputs: usize,
    outputs: usize,
}

impl PackedWeight {
    /// Packs a row-major matrix with rows of `inputs` numbers.
    #[must_use]
    pub fn new(values: &[f32], inputs: usize) -> Self {
        Self {
            forward: Packed::transposed(values, inputs),
            backward: Packed::new(values, inputs),
            inputs,
            outputs: values.len() / inputs,
        }
    }

    /// `x W^T`.
    #[must_use]
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.forward.times(x)
    }

    /// The gradient of `x`, given that of `x W^T`.
    #[must_use]
    pub fn input_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        self.backward.times(gradient)
    }

    /// The gradient of `W`, given that of `x W^T`.
    #[must_use]
    pub fn weight_gradient(&self, gradient: &[f32], x: &[f32]) -> Vec<f32> {
        weight_gradient(gradient, self.outputs, x, self.inputs)
    }
}
