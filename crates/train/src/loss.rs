//! What the student is punished for, and the gradient of that.
//!
//! `loss = SmoothL1(h, h*) + w * CE(p*, p)` over the loss rows, with `h` and `h*` the student's and the teacher's rows after the final
//! norm (SmoothL1 is the mean over all elements), and `CE(p*, p) = -sum_t p*_t ln p_t` the cross-entropy between the teacher's and the
//! student's token distributions (mean over the rows); `w = 0.1` in HAT (arXiv 2503.18989, section 3).
//!
//! Norm and head are frozen, so the gradient with respect to `h` is written down directly,
//! `clamp(h - h*, -1, 1) / elements + w / rows * (p - p*) Head`,
//! and autograd starts from `h`. That way the vocabulary-wide rows exist for a few rows at a time only.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use tricorn_model::{OutputPart, softmax};

/// Vocabulary-wide rows are made so many bytes at a time.
const CHUNK_BYTES: usize = 8 << 20;

/// Means over the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Losses {
    pub(crate) smooth_l1: f64,
    pub(crate) cross_entropy: f64,
}

impl Losses {
    pub(crate) fn total(&self, ce_weight: f64) -> f64 {
        self.smooth_l1 + ce_weight * self.cross_entropy
    }
}

/// The losses of the student's last-layer rows `guess` against the teacher's rows `target` (`rows x hidden`, before the final norm), and
/// the gradient of the total with respect to the student's rows after the final norm. `head` is `vocab x hidden`.
pub(crate) fn losses(
    output: &OutputPart,
    head: &Tensor,
    guess: &[f32],
    target: &[f32],
    ce_weight: f64,
) -> candle_core::Result<(Losses, Vec<f32>)> {
    let (vocab, hidden) = (output.vocab(), output.hidden());
    let rows = guess.len() / hidden;
    let (ours, theirs) = (output.normed(guess), output.normed(target));
    let per_element = (guess.len() as f32).recip();
    let smooth_l1 = ours.iter().zip(&theirs).map(|(a, b)| f64::from(smooth_l1(a - b))).sum::<f64>() * f64::from(per_element);

    let mut cross_entropy = 0.0;
    let mut gradient = Vec::with_capacity(guess.len());
    let scale = (ce_weight / rows as f64) as f32;
    let chunk = (CHUNK_BYTES / (vocab * size_of::<f32>())).clamp(1, rows.max(1)) * hidden;
    for (guess, target) in guess.chunks(chunk).zip(target.chunks(chunk)) {
        let (mut p, mut wanted) = (output.logits(guess), output.logits(target));
        let entropies: Vec<f64> = p
            .par_chunks_exact_mut(vocab)
            .zip(wanted.par_chunks_exact_mut(vocab))
            .map(|(p, wanted)| {
                softmax(wanted);
                let expected: f32 = wanted.iter().zip(&*p).map(|(w, logit)| w * logit).sum();
                let normaliser = softmax(p);
                p.iter_mut().zip(&*wanted).for_each(|(p, w)| *p = (*p - w) * scale);
                f64::from(normaliser - expected)
            })
            .collect();
        cross_entropy += entropies.iter().sum::<f64>();
        let p = Tensor::from_vec(p, (guess.len() / hidden, vocab), &Device::Cpu)?;
        gradient.extend(p.matmul(head)?.flatten_all()?.to_vec1::<f32>()?);
    }
    for (gradient, (a, b)) in gradient.iter_mut().zip(ours.iter().zip(&theirs)) {
        *gradient += (a - b).clamp(-1.0, 1.0) * per_element;
    }
    Ok((Losses { smooth_l1, cross_entropy: cross_entropy / rows.max(1) as f64 }, gradient))
}

/// Huber's function with its kink at 1.
fn smooth_l1(difference: f32) -> f32 {
    let size = difference.abs();
    if size < 1.0 { 0.5 * size * size } else { size - 0.5 }
}
