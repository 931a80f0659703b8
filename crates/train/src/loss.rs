//! What the student is punished for, and the gradient of that.
//!
//! `loss = SmoothL1(h, h*) + w * CE(p*, p)` over the loss rows, with `h` and `h*` the student's and the teacher's rows after the final
//! norm (SmoothL1 is the mean over all elements), and `CE(p*, p) = -sum_t p*_t ln p_t` the cross-entropy between the teacher's and the
//! student's token distributions (mean over the rows); `w = 0.1` in HAT (arXiv 2503.18989, section 3).
//!
//! Norm and head are frozen, so with respect to `h` the gradient is `clamp(h - h*, -1, 1) / elements + w / rows * (p - p*) Head`.

use tricorn_model::{
    ModelError, ModelSource, OutputPart,
    dense::{Packed, softmax},
    parts::head_table,
};

use crate::pass::rms_norm_backward;

/// Vocabulary-wide rows are made so many bytes at a time.
const CHUNK_BYTES: usize = 4 << 20;

/// Means over the rows of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Losses {
    pub(crate) smooth_l1: f64,
    pub(crate) cross_entropy: f64,
}

impl Losses {
    pub(crate) fn add(&mut self, other: Self) {
        self.smooth_l1 += other.smooth_l1;
        self.cross_entropy += other.cross_entropy;
    }
}

/// The loss with the model's frozen norm and head.
#[derive(Debug)]
pub(crate) struct Loss {
    norm: Vec<f32>,
    eps: f32,
    head: Packed,
    ce_weight: f64,
}

impl Loss {
    pub(crate) fn new(source: &ModelSource, ce_weight: f64) -> Result<Self, ModelError> {
        let config = source.config();
        let norm = source.weights().f32("model.norm.weight", &[config.hidden])?;
        Ok(Self { norm, eps: config.norm_eps, head: Packed::new(&head_table(source)?.to_f32(), config.hidden), ce_weight })
    }

    /// The sum of the two terms.
    pub(crate) fn total(&self, losses: Losses) -> f64 {
        losses.smooth_l1 + self.ce_weight * losses.cross_entropy
    }

    /// The share that the student's last-layer rows `guess` have in the losses of a batch of `batch_rows` rows, against the teacher's rows
    /// `target` (both `rows x hidden`, before the final norm), and the gradient of the total with respect to `guess`.
    pub(crate) fn of(&self, output: &OutputPart, guess: &[f32], target: &[f32], batch_rows: usize) -> (Losses, Vec<f32>) {
        let (vocab, hidden) = (output.vocab(), output.hidden());
        let per_row = (batch_rows as f64).recip();
        let per_element = per_row / hidden as f64;

        let mut cross_entropy = 0.0;
        let mut gradient = Vec::with_capacity(guess.len());
        let scale = (self.ce_weight * per_row) as f32;
        let chunk = (CHUNK_BYTES / (vocab * size_of::<f32>())).max(1) * hidden;
        for (guess, target) in guess.chunks(chunk).zip(target.chunks(chunk)) {
            let (mut p, mut wanted) = (output.logits(guess), output.logits(target));
            for (p, wanted) in p.chunks_exact_mut(vocab).zip(wanted.chunks_exact_mut(vocab)) {
                softmax(wanted);
                let expected: f32 = wanted.iter().zip(&*p).map(|(w, logit)| w * logit).sum();
                cross_entropy += f64::from(softmax(p) - expected);
                p.iter_mut().zip(&*wanted).for_each(|(p, w)| *p = (*p - w) * scale);
            }
            gradient.extend(self.head.times(&p));
        }

        let mut smooth_l1 = 0.0;
        for (gradient, (ours, theirs)) in gradient.iter_mut().zip(output.normed(guess).iter().zip(output.normed(target))) {
            let difference = ours - theirs;
            smooth_l1 += f64::from(huber(difference));
            *gradient += difference.clamp(-1.0, 1.0) * per_element as f32;
        }
        let losses = Losses { smooth_l1: smooth_l1 * per_element, cross_entropy: cross_entropy * per_row };
        (losses, rms_norm_backward(guess, &self.norm, self.eps, &gradient))
    }
}

/// Huber's function with its kink at 1.
fn huber(difference: f32) -> f32 {
    let size = difference.abs();
    if size < 1.0 { 0.5 * size * size } else { size - 0.5 }
}
