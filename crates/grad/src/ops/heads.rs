//! Rows cut into heads, and heads put together to rows. Both are permutations, so each is the
//! other's backward pass.

/// Rows of all heads side by side, `width` wide, to one `rows x dim` matrix for each head.
#[must_use]
pub fn split(x: &[f32], width: usize, dim: usize) -> Vec<Vec<f32>> {
    (0..width / dim).map(|head| column(x, width, dim, head)).collect()
}

/// One head of rows, `rows x dim`.
#[must_use]
pub fn column(x: &[f32], width: usize, dim: usize, head: usize) -> Vec<f32> {
    super::columns(x, width, head * dim..(head + 1) * dim)
}

/// The inverse of [`split`].
#[must_use]
pub fn join(heads: &[Vec<f32>], dim: usize) -> Vec<f32> {
    let width = heads.len() * dim;
    let mut x = vec![0.0; heads.iter().map(Vec::len).sum()];
    for (index, head) in heads.iter().enumerate() {
        set_column(&mut x, width, dim, index, head);
    }
    x
}

/// Writes one head's rows, `rows x dim`, to their place in rows of all heads.
pub(super) fn set_column(x: &mut [f32], width: usize, dim: usize, head: usize, values: &[f32]) {
    for (row, values) in x.chunks_exact_mut(width).zip(values.chunks_exact(dim)) {
        row[head * dim..][..dim].copy_from_slice(values);
    }
}
