//! Top-k, top-p and min-p: which of the likeliest tokens take part in the draw.
//!
//! The sets are those of transformers' `TopKLogitsWarper`, `TopPLogitsWarper` and
//! `MinPLogitsWarper` applied in this order to `logits / T`: top-k keeps the k greatest logits and
//! all that equal the least of them; top-p (Holtzman et al. 2019, arXiv 1904.09751) keeps a token
//! while those before it, likeliest first, have less than p of the probability that top-k left;
//! min-p (Nguyen et al. 2024, arXiv 2407.01082) keeps a token with at least its share of the
//! greatest probability.

use super::{
    SamplingOptions,
    guesses::greatest as head,
    softmax::{exp_nonpositive, greatest},
};

/// Up to this many the greatest logits are found by insertion, beyond by selection.
const FEW: usize = 128;

/// How far below the likeliest token, in units of `logit / T`, a top-p's tokens are looked for,
/// until they are all there.
const REACHES: [f32; 4] = [4.0, 8.0, 16.0, f32::INFINITY];

/// The tokens that the filters leave, with their logits, likeliest first, of equal ones the lowest
/// token first; `None` when no filter is on. `options.temperature` is above 0.
pub(super) fn keep(logits: &[f32], options: &SamplingOptions) -> Option<Vec<(u32, f32)>> {
    let &SamplingOptions { temperature, top_p, top_k, min_p, .. } = options;
    let top_k = if top_k < logits.len() { top_k } else { 0 };
    if top_k == 0 && top_p == 1.0 && min_p == 0.0 {
        return None;
    }
    let max = greatest(logits);
    if !max.is_finite() {
        // Infinite logits share the whole probability, and where there is nothing else negative
        // infinities do.
        return Some(from(logits, max));
    }
    let by_k = if top_k == 0 { f32::NEG_INFINITY } else { kth_greatest(logits, top_k) };
    let likely_enough = |&(_, logit): &(u32, f32)| {
        f64::from(logit - max) >= f64::from(temperature) * f64::from(min_p).ln()
    };
    let mut kept = if top_p < 1.0 {
        nucleus(logits, by_k, max, temperature, top_p)
    } else {
        from(logits, by_k)
    };
    kept.retain(likely_enough);
    kept.sort_unstable_by(likelier);
    Some(kept)
}

/// The tokens whose logit is at least `bar`.
fn from(logits: &[f32], bar: f32) -> Vec<(u32, f32)> {
    (0_u32..).zip(logits.iter().copied()).filter(|&(_, logit)| logit >= bar).collect()
}

fn likelier(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The `k`th greatest logit that is a number; negative infinity when there are not so many.
fn kth_greatest(logits: &[f32], k: usize) -> f32 {
    if k <= FEW {
        return head(logits, k).get(k - 1).map_or(f32::NEG_INFINITY, |&(_, logit)| logit);
    }
    let mut numbers: Vec<f32> = logits.iter().copied().filter(|logit| !logit.is_nan()).collect();
    if numbers.len() < k {
        return f32::NEG_INFINITY;
    }
    *numbers.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
}

/// Top-p among the tokens whose logit is at least `bar`.
fn nucleus(logits: &[f32], bar: f32, max: f32, temperature: f32, top_p: f32) -> Vec<(u32, f32)> {
    let weight = |logit: f32| exp_nonpositive((logit - max) / temperature);
    let wanted = f64::from(top_p) * total(logits, bar, weight);
    for reach in REACHES {
        let mut head = from(logits, bar.max(max - reach * temperature));
        let held: f64 = head.iter().map(|&(_, logit)| f64::from(weight(logit))).sum();
        // What was looked at may miss the last token by a rounding; then the next, wider look
        // decides.
        if held > wanted || reach == f32::INFINITY {
            head.sort_unstable_by(likelier);
            let mut before = 0.0;
            let kept = head.iter().take_while(|&&(_, logit)| {
                let takes = before < wanted;
                before += f64::from(weight(logit));
                takes
            });
            let kept = kept.count();
            head.truncate(kept);
            return head;
        }
    }
    Vec::new()
}

/// The sum of the weights of the logits from `bar` on. In lanes, so that it vectorises.
fn total(logits: &[f32], bar: f32, weight: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0_f32; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    let padded: [f32; 16] = std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(f32::NAN));
    for chunk in chunks.iter().chain([&padded]) {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane += if logit >= bar { weight(logit) } else { 0.0 };
        }
    }
    lanes.into_iter().map(f64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logits: &[f32], change: impl Fn(&mut SamplingOptions)) -> Vec<u32> {
        let mut options = SamplingOptions { temperature: 1.0, ..SamplingOptions::default() };
        change(&mut options);
        keep(logits, &options)
            .map_or(vec![99], |kept| kept.into_iter().map(|(token, _)| token).collect())
    }

    #[test]
    fn nothing_is_done_where_nothing_is_asked_for() {
        assert_eq!(kept(&[1.0, 2.0], |_| ()), [99]);
        assert_eq!(kept(&[1.0, 2.0], |options| options.top_k = 2), [99], "all of them");
    }

    #[test]
    fn equal_logits_are_kept_together_by_k_and_in_order_by_p() {
        let logits = [0.0, 3.0, 1.0, 1.0, 1.0];
        assert_eq!(kept(&logits, |options| options.top_k = 2), [1, 2, 3, 4]);
        assert_eq!(kept(&logits, |options| options.top_p = 0.68), [1]);
        assert_eq!(kept(&logits, |options| options.top_p = 0.75), [1, 2]);
    }

    #[test]
    fn logits_without_a_probability_are_dropped_and_infinite_ones_share_it() {
        let odd = [f32::NAN, f32::INFINITY, 2.0, f32::INFINITY];
        let all_on = |options: &mut SamplingOptions| {
            (options.top_k, options.top_p, options.min_p) = (3, 0.5, 0.1)
        };
        assert_eq!(kept(&odd, all_on), [1, 3]);
        assert_eq!(
            kept(&[f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NAN], all_on),
            [1, 2]
        );
        assert_eq!(kept(&[f32::NAN; 4], all_on), Vec::<u32>::new());
        assert_eq!(
            kept(&[f32::NAN, 1.0, f32::NEG_INFINITY, f32::NAN], |options| options.top_p = 0.9),
            [1]
        );
    }

    #[test]
    fn a_wide_nucleus_is_found_by_the_last_look() {
        // Ninety-nine in a hundred of the probability lie 20 below the likeliest.
        let mut logits = vec![-20.0; 1 << 20];
        logits[77] = -20.0 + (1.0_f32 / 99.0 * (1 << 20) as f32).ln();
        assert_eq!(kept(&logits, |options| options.top_p = 0.005), [77]);
        let half = kept(&logits, |options| options.top_p = 0.505).len() as f64;
        assert!((half / f64::from(1 << 19) - 1.0).abs() < 0.01, "{half}");
    }
}
