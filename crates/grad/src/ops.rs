//! Operations of the decoder families on row-major `f32` slices, each with the products of its
//! backward pass.
//!
//! Convention: `gradient` is the loss's gradient with respect to an operation's output. Functions
//! named `input_gradient` and `weight_gradient` give those with respect to input and weight.

pub mod attention;
pub mod cross_entropy;
pub mod embedding;
pub mod heads;
pub mod linear;
pub mod norm;
pub mod rotary;
pub mod swiglu;

use std::ops::Range;

/// `sum += more`, element by element.
pub fn add(sum: &mut [f32], more: &[f32]) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// `y += factor * x`, element by element.
pub fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

/// Zero for what is too small to matter: products of tiny numbers are denormal, and those are a
/// hundred times slower to compute with.
#[must_use]
pub fn flush(value: f32) -> f32 {
    if value.abs() < 1e-18 { 0.0 } else { value }
}

/// Some columns of rows `width` wide, `rows x columns`.
fn columns(x: &[f32], width: usize, columns: Range<usize>) -> Vec<f32> {
    let mut part = Vec::with_capacity(x.len() / width * columns.len());
    x.chunks_exact(width).for_each(|row| part.extend_from_slice(&row[columns.clone()]));
    part
}

/// The sum of products, from the first element to the last.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
