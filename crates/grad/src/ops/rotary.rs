//! Rotary positions (Su et al. 2021, arXiv 2104.09864). A rotation's transpose is the rotation
//! back, so the backward pass rotates the gradient by the angles' negatives.

use tricorn_model::config::Rope;

/// The angles of some rows, for heads of one width.
#[derive(Clone, Debug)]
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Angles {
    /// Angles from their cosines and sines, `rows x dim / 2` each, for heads `dim` wide. Pairs are
    /// `(i, i + dim / 2)`, as in Hugging Face transformers.
    #[must_use]
    pub fn new(cos: Vec<f32>, sin: Vec<f32>, dim: usize) -> Self {
        Self { cos, sin, half: dim / 2 }
    }

    /// The angles of rows at `positions`.
    #[must_use]
    pub fn at(rope: &Rope, dim: usize, positions: &[usize]) -> Self {
        let (cos, sin) = rope.angles(dim, positions.iter().copied());
        Self::new(cos, sin, dim)
    }

    /// Rotates all heads of all rows of `x`, `width` numbers a row, in place.
    pub fn rotate(&self, x: &mut [f32], width: usize) {
        self.turn(x, width, 1.0);
    }

    /// Rotates back: the gradient of the rows before [`Angles::rotate`] from that after.
    pub fn rotate_back(&self, x: &mut [f32], width: usize) {
        self.turn(x, width, -1.0);
    }

    fn turn(&self, x: &mut [f32], width: usize, direction: f32) {
        let angles = self.cos.chunks_exact(self.half).zip(self.sin.chunks_exact(self.half));
        for (row, (cos, sin)) in x.chunks_exact_mut(width).zip(angles) {
            for head in row.chunks_exact_mut(2 * self.half) {
                let (a, b) = head.split_at_mut(self.half);
                for (((a, b), &c), &s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    let s = s * direction;
                    (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                }
            }
        }
    }
}
