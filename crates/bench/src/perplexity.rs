//! Perplexity: how well a model predicts a text, side by side for several formats of its weights.
//!
//! Perplexity is `exp(mean of -ln p(token))`, with `p` the model's probability of a token given
//! those before it in its window, over all tokens but the first of each window. Windows do not
//! overlap, which is what Hugging Face's documentation calls a stride of the window's length;
//! llama.cpp leaves out the first half of each window, so its figures are lower.

mod texts;

pub use texts::Texts;

use crate::{error::BenchError, figures::Table, run::Stop};
use serde::Serialize;
use std::sync::Arc;
use tricorn_core::Split;
use tricorn_kernels::KvFormat;
use tricorn_model::{InputPart, KvPool, MiddlePart, ModelError, ModelSource, OutputPart, SeqRows};

/// Rows that are computed at a time. It bounds the memory for logits and has no influence on a
/// figure.
const ROWS: usize = 256;

/// The figures of one format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// How the weights are held: `q4k`, `q8`, `f16`, `f32` or `stored`.
    pub weights: String,
    /// How keys and values are cached.
    pub kv: String,
    /// Bytes of weights held in memory, the embedding's rows left out.
    pub bytes: usize,
    /// Tokens predicted.
    pub tokens: usize,
    /// `-ln p` a token, in nats.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
    /// Perplexity over the first format's, less one; none for the first.
    pub change: Option<f64>,
    /// Standard error of `change`, from the tokens' differences in pairs.
    pub change_error: Option<f64>,
    /// Share of the tokens at which the likeliest token is the first format's.
    pub same_top: Option<f64>,
}

/// What is known of every token's prediction by one format.
#[derive(Debug, Default)]
pub struct Predictions {
    losses: Vec<f64>,
    tops: Vec<u32>,
    bytes: usize,
    kv: KvFormat,
}

/// Computes every window with the whole model in this process; `advance` hears how many tokens were
/// done. `None` when it was stopped.
///
/// # Errors
/// When the model cannot be loaded or a token is not in its vocabulary.
pub fn predict(
    source: &Arc<ModelSource>,
    kv: KvFormat,
    texts: &Texts,
    advance: impl Fn(usize),
    stop: &Stop,
) -> Result<Option<Predictions>, BenchError> {
    if source.bundle().is_some() {
        return Err(BenchError::Bundle);
    }
    let split = Split { input_layers: 1, output_layers: 0 };
    let (input, middle, output) = (
        InputPart::load(source, split)?,
        MiddlePart::load(source, split)?,
        OutputPart::load(source, split)?,
    );
    let pool = KvPool::with_format(usize::MAX, kv);
    let mut predictions = Predictions {
        bytes: input.bytes() + middle.bytes() + output.bytes(),
        kv,
        ..Predictions::default()
    };
    for window in texts.windows() {
        let (mut shallow, mut deep) =
            (input.new_kv(&pool, window.len()), middle.new_kv(&pool, window.len()));
        let (seen, expected) = (&window[..window.len() - 1], &window[1..]);
        for (index, (tokens, expected)) in seen.chunks(ROWS).zip(expected.chunks(ROWS)).enumerate()
        {
            if stop.is_asked() {
                return Ok(None);
            }
            let pos = index * ROWS;
            let mut x = input.forward_at(&mut shallow, pos, tokens)?;
            middle.forward(&mut [SeqRows { kv: &mut deep, pos, rows: tokens.len() }], &mut x)?;
            for (logits, &token) in output.logits(&x)?.chunks_exact(output.vocab()).zip(expected) {
                predictions.push(logits, token)?;
            }
            advance(tokens.len());
        }
    }
    Ok(Some(predictions))
}

impl Predictions {
    fn push(&mut self, logits: &[f32], token: u32) -> Result<(), ModelError> {
        let vocab = logits.len();
        let own = usize::try_from(token)
            .ok()
            .and_then(|token| logits.get(token))
            .ok_or(ModelError::Token { token, vocab })?;
        let (top, highest) =
            (0..).zip(logits).fold((0, f32::NEG_INFINITY), |best, (id, &logit)| {
                if logit > best.1 { (id, logit) } else { best }
            });
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
        self.losses.push(sum.ln() - f64::from(own - highest));
        self.tops.push(top);
        Ok(())
    }

    /// The figures, compared with those of `base` on the same texts.
    #[must_use]
    pub fn score(&self, weights: String, base: Option<&Self>) -> Score {
        let loss = mean(self.losses.iter().copied());
        let compared = base.map(|base| {
            let differences = || self.losses.iter().zip(&base.losses).map(|(own, base)| own - base);
            let shift = mean(differences());
            let variance = mean(differences().map(|difference| (difference - shift).powi(2)));
            let same = self
                .tops
                .iter()
                .zip(&base.tops)
                .map(|(own, base)| f64::from(u8::from(own == base)));
            (
                shift.exp_m1(),
                (variance / self.losses.len().max(1) as f64).sqrt() * shift.exp(),
                mean(same),
            )
        });
        Score {
            weights,
            kv: self.kv.to_string(),
            bytes: self.bytes,
            tokens: self.losses.len(),
            loss,
            perplexity: loss.exp(),
            change: compared.map(|(change, ..)| change),
            change_error: compared.map(|(_, error, _)| error),
            same_top: compared.map(|(.., same)| same),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

/// A table for people.
#[must_use]
pub fn table(scores: &[Score]) -> String {
    let mut table = Table::new(&[
        "weights",
        "kv",
        "MiB",
        "perplexity",
        "against the first",
        "same likeliest token",
    ]);
    for score in scores {
        let percent = |value: f64| format!("{:.2} %", value * 100.0);
        let change = score
            .change
            .zip(score.change_error)
            .map(|(change, error)| format!("{:+.3} % +- {:.3}", change * 100.0, error * 100.0));
        table.push(vec![
            score.weights.clone(),
            score.kv.clone(),
            format!("{:.1}", score.bytes as f64 / f64::from(1 << 20)),
            format!("{:.4}", score.perplexity),
            change.unwrap_or_else(|| "-".to_owned()),
            score.same_top.map_or_else(|| "-".to_owned(), percent),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(rows: &[([f32; 3], u32)]) -> Predictions {
        let mut predictions = Predictions::default();
        rows.iter().for_each(|(logits, token)| predictions.push(logits, *token).unwrap());
        predictions
    }

    #[test]
    fn perplexity_is_the_textbooks() {
        // Three equal logits: a third each. Then e against two ones.
        let e = std::f64::consts::E;
        let found = predictions(&[([5.0; 3], 1), ([1.0, 0.0, 0.0], 0), ([1.0, 0.0, 0.0], 2)]);
        let expected = (3.0 * ((e + 2.0) / e) * (e + 2.0)).powf(1.0 / 3.0);
        let score = found.score("f32".to_owned(), None);
        assert!((score.perplexity - expected).abs() < 1e-6, "{score:?} {expected}");
        assert_eq!((score.tokens, score.change), (3, None));
        // Large logits do not overflow.
        assert!(
            predictions(&[([3e38, -3e38, 0.0], 0)]).score(String::new(), None).loss.abs() < 1e-12
        );
        assert!(matches!(
            Predictions::default().push(&[0.0; 3], 3),
            Err(ModelError::Token { token: 3, vocab: 3 })
        ));
    }

    #[test]
    fn formats_are_compared_in_pairs() {
        let base = predictions(&[([0.0, 1.0, 2.0], 2), ([0.0, 3.0, 0.0], 0)]);
        let same = base.score("q8".to_owned(), Some(&base));
        assert_eq!(
            (same.change, same.change_error, same.same_top),
            (Some(0.0), Some(0.0), Some(1.0))
        );
        let other = predictions(&[([0.0, 1.0, 2.0], 2), ([4.0, 3.0, 0.0], 0)]);
        let other = other.score("q4k".to_owned(), Some(&base));
        assert!(other.change < Some(-0.5) && other.same_top == Some(0.5), "{other:?}");
        assert!(table(&[same, other]).lines().count() == 3);
    }
}
