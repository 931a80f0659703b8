//! Matrix products that gradients need, on the same kernels.

use super::Linear;

/// A matrix packed once and multiplied many times. All matrices are row-major.
#[derive(Debug)]
pub struct Packed(Linear);

impl Packed {
    /// Packs `M`, `inner x columns`: [`Packed::times`] gives `x M`.
    #[must_use]
    pub fn new(values: &[f32], columns: usize) -> Self {
        Self(Linear::from_columns(values, columns))
    }

    /// Packs `M^T` from `M`, `columns x inner`: [`Packed::times`] gives `x M^T`.
    #[must_use]
    pub fn transposed(values: &[f32], inner: usize) -> Self {
        Self(Linear::from_rows(values, inner))
    }

    /// The product of `x` (`rows x inner`) and the packed matrix: `rows x columns`. Each row
    /// depends on its own row of `x` alone.
    #[must_use]
    pub fn times(&self, x: &[f32]) -> Vec<f32> {
        self.0.apply(x)
    }
}

/// `a^T b` of two matrices with the same number of rows, `a_columns` and `b_columns` wide:
/// `a_columns x b_columns`.
#[must_use]
pub fn transposed_product(a: &[f32], a_columns: usize, b: &[f32], b_columns: usize) -> Vec<f32> {
    Packed::new(b, b_columns).times(&transpose(a, a_columns))
}

fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    let mut transposed = vec![0.0; values.len()];
    for (r, row) in values.chunks_exact(columns).enumerate() {
        for (c, &value) in row.iter().enumerate() {
            transposed[c * rows + r] = value;
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_the_textbook_ones() {
        let value = |i: usize, seed: usize| ((i * 37 + seed * 11) % 29) as f32 - 14.0;
        let (rows, inner, columns) = (5, 7, 45);
        let a: Vec<f32> = (0..rows * inner).map(|i| value(i, 1)).collect();
        let b: Vec<f32> = (0..inner * columns).map(|i| value(i, 2)).collect();
        let mut expected = vec![0.0; rows * columns];
        for (i, e) in expected.iter_mut().enumerate() {
            *e =
                (0..inner).map(|k| a[i / columns * inner + k] * b[k * columns + i % columns]).sum();
        }
        assert_eq!(Packed::new(&b, columns).times(&a), expected);
        assert_eq!(Packed::transposed(&transpose(&b, columns), inner).times(&a), expected);
        assert_eq!(transposed_product(&transpose(&a, inner), rows, &b, columns), expected);
    }
}
