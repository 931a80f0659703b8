//! Head with cross-entropy: `-ln softmax(x W^T)[target]`, and its gradients.
//!
//! Logits are made for as many rows at a time as fit a fixed amount of memory. With `p` the
//! softmax, the gradient of the logits is `p - onehot(target)`.

use tricorn_kernels::rows::softmax;

use super::{
    add, flush,
    linear::{self, Weight},
};

/// Memory for logits.
const LOGITS_BYTES: usize = 64 << 20;

/// The head's matrix.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `vocab x hidden`.
    pub weight: Weight<'a>,
    /// Width of a row.
    pub hidden: usize,
    /// Number of tokens.
    pub vocab: usize,
}

impl Head<'_> {
    /// The sum over all rows of the cross-entropy in nats; `targets` has a token for each row.
    #[must_use]
    pub fn loss(&self, rows: &[f32], targets: &[u32]) -> f64 {
        let mut sum = 0.0;
        for (rows, targets) in self.chunks(rows, targets) {
            sum += self.probabilities(rows, targets).1;
        }
        sum
    }

    /// The sum of the cross-entropies, and the gradient with respect to the rows of `share` times
    /// that sum. That of the matrix is added to `weight_gradient` where there is one.
    #[must_use]
    pub fn loss_and_gradient(
        &self,
        rows: &[f32],
        targets: &[u32],
        share: f32,
        mut weight_gradient: Option<&mut [f32]>,
    ) -> (f64, Vec<f32>) {
        let (mut sum, mut gradient) = (0.0, Vec::with_capacity(rows.len()));
        for (rows, targets) in self.chunks(rows, targets) {
            let (mut p, loss) = self.probabilities(rows, targets);
            sum += loss;
            for (p, &target) in p.chunks_exact_mut(self.vocab).zip(targets) {
                p[target as usize] -= 1.0;
                p.iter_mut().for_each(|p| *p = flush(*p * share));
            }
            gradient.extend(linear::input_gradient(&p, self.weight, self.hidden, self.vocab));
            if let Some(sum) = weight_gradient.as_deref_mut() {
                add(sum, &linear::weight_gradient(&p, self.vocab, rows, self.hidden));
            }
        }
        (sum, gradient)
    }

    /// Softmax of the logits, and the sum of the cross-entropies.
    fn probabilities(&self, rows: &[f32], targets: &[u32]) -> (Vec<f32>, f64) {
        let mut logits = linear::forward(rows, self.weight, self.hidden, self.vocab);
        let mut loss = 0.0;
        for (logits, &target) in logits.chunks_exact_mut(self.vocab).zip(targets) {
            let wanted = logits[target as usize];
            loss += f64::from(softmax(logits)) - f64::from(wanted);
        }
        (logits, loss)
    }

    fn chunks<'x>(
        &self,
        rows: &'x [f32],
        targets: &'x [u32],
    ) -> impl Iterator<Item = (&'x [f32], &'x [u32])> {
        let count = (LOGITS_BYTES / (self.vocab * size_of::<f32>())).max(1);
        rows.chunks(count * self.hidden).zip(targets.chunks(count))
    }
}
