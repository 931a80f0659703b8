//! Loss of the student against the teacher, and its gradient.
//!
//! `loss = SmoothL1(h, h*) + w * CE(p*, p)` over the loss rows, with `h` and `h*` the student's and
//! the teacher's rows after the final norm (SmoothL1 is the mean over all elements), and `CE(p*,
//! p) = -sum_t p*_t ln p_t` the cross-entropy between the teacher's and the student's token
//! distributions (mean over the rows); `w = 0.1` in HAT (arXiv 2503.18989, section 3).
//!
//! Norm and head are frozen, so with respect to `h` the gradient is `clamp(h - h*, -1, 1) /
//! elements + w / rows * (p - p*) Head`.

use tricorn_grad::ops::{flush, norm};
use tricorn_kernels::{linear::transposed::Packed, rows::softmax};
use tricorn_model::{ModelError, ModelSource, OutputPart, parts::head_table};

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

/// The student's last-layer rows for some consecutive rows of the teacher's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guess<'a> {
    /// `rows x hidden`, before the final norm.
    pub(crate) rows: &'a [f32],
    /// The teacher's row that the first of them is a guess of.
    pub(crate) from: usize,
    /// What one row counts for in the batch: one over the batch's rows, for a plain mean.
    pub(crate) share: f64,
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
        Ok(Self {
            norm,
            eps: config.norm_eps,
            head: Packed::new(&head_table(source)?.view().to_f32(), config.hidden),
            ce_weight,
        })
    }

    /// The sum of the two terms.
    pub(crate) fn total(&self, losses: Losses) -> f64 {
        losses.smooth_l1 + self.ce_weight * losses.cross_entropy
    }

    /// The share of the student's guesses in the losses of a batch, against the teacher's rows
    /// `target` (`rows x hidden`, before the final norm), and the gradient of the total with
    /// respect to each guess.
    ///
    /// # Errors
    /// When an accelerator that the head is on fails.
    pub(crate) fn of(
        &self,
        output: &OutputPart,
        target: &[f32],
        guesses: &[Guess<'_>],
    ) -> Result<(Losses, Vec<Vec<f32>>), ModelError> {
        let (vocab, hidden) = (output.vocab(), output.hidden());
        let mut losses = Losses::default();
        let mut gradients: Vec<Vec<f32>> =
            guesses.iter().map(|guess| Vec::with_capacity(guess.rows.len())).collect();
        let chunk = (CHUNK_BYTES / (vocab * size_of::<f32>())).max(1) * hidden;
        for (index, target) in target.chunks(chunk).enumerate() {
            let (start, end) = (index * chunk, index * chunk + target.len());
            let mut wanted = output.logits(target)?;
            for wanted in wanted.chunks_exact_mut(vocab) {
                softmax(wanted);
            }
            for (guess, gradient) in guesses.iter().zip(&mut gradients) {
                let offset = guess.from * hidden;
                let (from, to) = (start.max(offset), end.min(offset + guess.rows.len()));
                if from >= to {
                    continue;
                }
                let wanted = &wanted[(from - start) / hidden * vocab..];
                let mut p = output.logits(&guess.rows[from - offset..to - offset])?;
                let mut cross_entropy = 0.0;
                for (p, wanted) in p.chunks_exact_mut(vocab).zip(wanted.chunks_exact(vocab)) {
                    let expected: f32 = wanted.iter().zip(&*p).map(|(w, logit)| w * logit).sum();
                    cross_entropy += f64::from(softmax(p) - expected);
                    p.iter_mut().zip(wanted).for_each(|(p, w)| *p = flush(*p - w));
                }
                losses.cross_entropy += cross_entropy * guess.share;
                let scale = (self.ce_weight * guess.share) as f32;
                gradient.extend(self.head.times(&p).into_iter().map(|g| g * scale));
            }
        }
        let target = output.normed(target);
        for (guess, gradient) in guesses.iter().zip(&mut gradients) {
            let per_element = guess.share / hidden as f64;
            let mut smooth_l1 = 0.0;
            let rows = output.normed(guess.rows);
            for (gradient, (ours, theirs)) in
                gradient.iter_mut().zip(rows.iter().zip(&target[guess.from * hidden..]))
            {
                let difference = ours - theirs;
                smooth_l1 += f64::from(huber(difference));
                *gradient += difference.clamp(-1.0, 1.0) * per_element as f32;
            }
            losses.smooth_l1 += smooth_l1 * per_element;
            *gradient = norm::input_gradient(guess.rows, &self.norm, self.eps, gradient);
        }
        Ok((losses, gradients))
    }
}

/// Huber's function with its kink at 1.
fn huber(difference: f32) -> f32 {
    let size = difference.abs();
    if size < 1.0 { 0.5 * size * size } else { size - 0.5 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        rng::Rng,
        testing::{SPLIT, TempDir, tiny_model},
    };

    const ROWS: usize = 6;

    fn textbook(output: &OutputPart, guess: &[f32], target: &[f32]) -> (f64, f64) {
        let differences = output
            .normed(guess)
            .into_iter()
            .zip(output.normed(target))
            .map(|(a, b)| f64::from((a - b).abs()));
        let smooth_l1 =
            differences.map(|d| if d < 1.0 { d * d / 2.0 } else { d - 0.5 }).sum::<f64>()
                / guess.len() as f64;
        let probabilities = |x: &[f32]| {
            let exp: Vec<f64> =
                output.logits(x).unwrap().into_iter().map(|logit| f64::from(logit).exp()).collect();
            let vocab = output.vocab();
            exp.chunks_exact(vocab)
                .flat_map(|row| row.iter().map(|e| e / row.iter().sum::<f64>()))
                .collect::<Vec<f64>>()
        };
        let terms = probabilities(target)
            .into_iter()
            .zip(probabilities(guess))
            .map(|(wanted, p)| -wanted * p.ln());
        (smooth_l1, terms.sum::<f64>() / ROWS as f64)
    }

    #[test]
    fn equals_the_textbook_and_adds_up_over_shares() {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &json!({}));
        let (output, loss) =
            (OutputPart::load(&source, SPLIT).unwrap(), Loss::new(&source, 0.1).unwrap());
        let mut rng = Rng::new(1, 0);
        let [guess, target] = [1.0, 3.0]
            .map(|size| (0..ROWS * 16).map(|_| size * rng.normal()).collect::<Vec<f32>>());
        let share = 1.0 / ROWS as f64;
        let (whole, whole_gradients) =
            loss.of(&output, &target, &[Guess { rows: &guess, from: 0, share }]).unwrap();
        let (smooth_l1, cross_entropy) = textbook(&output, &guess, &target);
        assert!(
            (whole.smooth_l1 - smooth_l1).abs() < 1e-5
                && (whole.cross_entropy - cross_entropy).abs() < 1e-5,
            "{whole:?}"
        );
        assert!((loss.total(whole) - (smooth_l1 + 0.1 * cross_entropy)).abs() < 1e-5);
        let parts = [
            Guess { rows: &guess[..32], from: 0, share },
            Guess { rows: &guess[32..], from: 2, share },
        ];
        let (shares, gradients) = loss.of(&output, &target, &parts).unwrap();
        assert_eq!(gradients.concat(), whole_gradients.concat());
        assert!((loss.total(shares) - loss.total(whole)).abs() < 1e-6);
    }

    #[test]
    fn a_perfect_guess_has_no_gradient() {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &json!({}));
        let (output, loss) =
            (OutputPart::load(&source, SPLIT).unwrap(), Loss::new(&source, 0.1).unwrap());
        let target: Vec<f32> = (0..ROWS * 16).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
        let (losses, gradients) = loss
            .of(&output, &target, &[Guess { rows: &target, from: 0, share: 1.0 / ROWS as f64 }])
            .unwrap();
        let gradient = gradients.concat();
        assert_eq!(losses.smooth_l1, 0.0);
        assert!(gradient.iter().all(|g| g.abs() < 1e-7), "{gradient:?}");
    }
}
