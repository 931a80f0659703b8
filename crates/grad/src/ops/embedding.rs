//! Embedding: rows of a table, picked by token.

use super::{add, linear::Weight};

/// The rows of `tokens` in a table `hidden` wide. Every token must be in the table.
#[must_use]
pub fn forward(table: Weight<'_>, hidden: usize, tokens: &[u32]) -> Vec<f32> {
    let mut rows = Vec::with_capacity(tokens.len() * hidden);
    for &token in tokens {
        rows.extend_from_slice(&table.rows(hidden, token as usize..token as usize + 1));
    }
    rows
}

/// Adds the gradient of the rows to that of the table, row by row.
pub fn add_weight_gradient(gradient: &[f32], tokens: &[u32], hidden: usize, table: &mut [f32]) {
    for (&token, gradient) in tokens.iter().zip(gradient.chunks_exact(hidden)) {
        add(&mut table[token as usize * hidden..][..hidden], gradient);
    }
}
