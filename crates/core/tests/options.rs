//! Every sampling option, against the plainest way to do the same.

use proptest::{collection::vec, prelude::*};
use tricorn_core::{
    Constraint, ConstraintFailed, Sampler, SamplingOptions, SamplingParams, TokenMask, choose,
};

const VOCAB: u32 = 24;

/// The same tokens everywhere.
#[derive(Clone, Debug)]
struct Only(TokenMask);

impl Only {
    fn boxed(tokens: &[u32]) -> Box<dyn Constraint> {
        let mut mask = TokenMask::default();
        tokens.iter().for_each(|&token| mask.insert(token));
        Box::new(Self(mask))
    }
}

impl Constraint for Only {
    fn allowed(&mut self, _: &[u32]) -> Result<&TokenMask, ConstraintFailed> {
        Ok(&self.0)
    }

    fn is_complete(&mut self, _: &[u32]) -> Result<bool, ConstraintFailed> {
        Ok(false)
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

/// Cannot tell what may follow.
#[derive(Clone, Debug)]
struct Lost;

impl Constraint for Lost {
    fn allowed(&mut self, _: &[u32]) -> Result<&TokenMask, ConstraintFailed> {
        Err(ConstraintFailed { problem: "lost".to_owned() })
    }

    fn is_complete(&mut self, _: &[u32]) -> Result<bool, ConstraintFailed> {
        Err(ConstraintFailed { problem: "lost".to_owned() })
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

/// The logits with all that depends on the tokens before, one token at a time.
fn adjusted(
    logits: &[f32],
    options: &SamplingOptions,
    prompt: &[u32],
    path: &[u32],
    allowed: Option<&[u32]>,
) -> Vec<f32> {
    let adjust = |(token, &logit): (u32, &f32)| {
        if allowed.is_some_and(|allowed| !allowed.contains(&token)) {
            return f32::NAN;
        }
        let mut logit = logit
            + options
                .logit_bias
                .iter()
                .rfind(|(biased, _)| *biased == token)
                .map_or(0.0, |&(_, bias)| bias);
        let count = path.iter().filter(|&&other| other == token).count();
        if count > 0 || prompt.contains(&token) {
            logit = if logit < 0.0 {
                logit * options.repetition_penalty
            } else {
                logit / options.repetition_penalty
            };
        }
        logit
            - count as f32 * options.frequency_penalty
            - if count > 0 { options.presence_penalty } else { 0.0 }
    };
    (0..).zip(logits).map(adjust).collect()
}

/// Those that top-k, top-p and min-p leave, by a sort and in double precision; the others are NaN.
/// `None` where rounding decides.
fn filtered(logits: &[f32], options: &SamplingOptions) -> Option<Vec<f32>> {
    let mut order: Vec<usize> =
        (0..logits.len()).filter(|&token| !logits[token].is_nan()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if options.top_k > 0 && options.top_k < order.len() {
        let bar = logits[order[options.top_k - 1]];
        order.retain(|&token| logits[token] >= bar);
    }
    let greatest = f64::from(logits[order[0]]);
    let weight = |token: usize| {
        ((f64::from(logits[token]) - greatest) / f64::from(options.temperature)).exp()
    };
    let sum: f64 = order.iter().map(|&token| weight(token)).sum();
    let mut before = 0.0;
    let mut kept = Vec::new();
    for &token in &order {
        let edge_of_p =
            options.top_p < 1.0 && (before / sum - f64::from(options.top_p)).abs() < 1e-5;
        let edge_of_min =
            options.min_p > 0.0 && (weight(token) - f64::from(options.min_p)).abs() < 1e-5;
        if edge_of_p || edge_of_min {
            return None;
        }
        if (options.top_p == 1.0 || before / sum < f64::from(options.top_p))
            && weight(token) >= f64::from(options.min_p)
        {
            kept.push(token);
        }
        before += weight(token);
    }
    Some(
        (0..logits.len())
            .map(|token| if kept.contains(&token) { logits[token] } else { f32::NAN })
            .collect(),
    )
}

fn options() -> impl Strategy<Value = SamplingOptions> {
    let temperature = prop_oneof![1 => Just(0.0_f32), 4 => 0.1..3.0_f32];
    let top_p = prop_oneof![Just(1.0_f32), 0.05..1.0_f32];
    let top_k = prop_oneof![Just(0_usize), 1..=VOCAB as usize + 2];
    let min_p = prop_oneof![Just(0.0_f32), 0.0..1.0_f32];
    let penalty = || prop_oneof![Just(0.0_f32), -2.0..=2.0_f32];
    let repetition = prop_oneof![Just(1.0_f32), 0.2..4.0_f32];
    let bias = vec((0..VOCAB, -9.0..9.0_f32), 0..4);
    (temperature, any::<u64>(), top_p, top_k, min_p, penalty(), penalty(), repetition, bias)
        .prop_map(
            |(
                temperature,
                seed,
                top_p,
                top_k,
                min_p,
                presence_penalty,
                frequency_penalty,
                repetition_penalty,
                logit_bias,
            )| SamplingOptions {
                temperature,
                seed,
                top_p,
                top_k,
                min_p,
                presence_penalty,
                frequency_penalty,
                repetition_penalty,
                logit_bias,
            },
        )
}

/// Eighths, so that some are equal.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let eighths = (-40..40_i32).prop_map(|eighths| eighths as f32 / 8.0);
    vec(prop_oneof![60 => eighths, 1 => Just(f32::NAN)], VOCAB as usize)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_choice_is_that_of_the_plainest_way(
        options in options(),
        rows in vec((logits(), vec(0..VOCAB, 0..12)), 1..5),
        prompt in vec(0..VOCAB, 1..10),
        allowed in proptest::option::of(vec(0..VOCAB, 1..12)),
    ) {
        let params = SamplingParams::checked(options.clone()).unwrap();
        let mut sampler = Sampler::new(params, &prompt, allowed.as_deref().map(Only::boxed));
        // One sampler goes from path to path; each choice is as if it were the only one.
        for (logits, path) in rows {
            let mut adjusted = adjusted(&logits, &options, &prompt, &path, allowed.as_deref());
            if let Some(allowed) = &allowed {
                // One of the allowed is chosen whatever the model says of it.
                for &token in allowed {
                    let logit = &mut adjusted[token as usize];
                    *logit = logit.max(f32::NEG_INFINITY);
                }
            }
            let choice = sampler.choose(&mut logits.clone(), &path).unwrap();
            if let Some(allowed) = &allowed {
                prop_assert!(allowed.contains(&choice.token));
            }
            let plain = SamplingParams::new(options.temperature, options.seed).unwrap();
            let greedy =
                options.temperature == 0.0 || adjusted.iter().all(|logit| !logit.is_finite());
            let left = if greedy { Some(adjusted) } else { filtered(&adjusted, &options) };
            let Some(left) = left else { continue };
            prop_assert_eq!(choice.token, choose(&left, &plain, prompt.len() + path.len()));
            // A draft from the same logits is the same token.
            let draft = sampler.draft(&mut logits.clone(), &path, 3);
            prop_assert_eq!(draft.token, choice.token);
            let likeliest = draft.others.first();
            prop_assert!(likeliest.is_none_or(|first| first.token == choice.token || greedy));
            if let Some(allowed) = &allowed {
                prop_assert!(draft.others.iter().all(|other| allowed.contains(&other.token)));
            }
        }
    }
}

/// Pearson's statistic over the value that a right sampler exceeds once in a million (Wilson and
/// Hilferty 1931).
fn excess(counts: &[usize], expected: &[f64]) -> f64 {
    let total = counts.iter().sum::<usize>() as f64;
    let cells = expected.iter().zip(counts).filter(|&(&p, _)| p > 0.0);
    let (statistic, freedom) = cells.fold((0.0, -1.0), |(sum, cells), (p, &count)| {
        (sum + (count as f64 - total * p).powi(2) / (total * p), cells + 1.0)
    });
    let variance = 2.0 / (9.0 * freedom);
    statistic / (freedom * (1.0 - variance + 4.753 * f64::sqrt(variance)).powi(3))
}

#[test]
fn draws_follow_what_the_options_make_of_the_softmax() {
    let logits: Vec<f32> = (0..VOCAB).map(|token| (token * 7 % VOCAB) as f32 / 6.0).collect();
    let (prompt, path) = ([3, 9], [1, 1, 20]);
    let options = SamplingOptions {
        temperature: 0.9,
        top_p: 0.9,
        top_k: 15,
        min_p: 0.02,
        presence_penalty: 0.4,
        frequency_penalty: 0.7,
        repetition_penalty: 1.4,
        logit_bias: vec![(5, 1.5), (8, -1.0)],
        ..SamplingOptions::default()
    };
    let expected = |options: &SamplingOptions| -> Vec<f64> {
        let left = filtered(&adjusted(&logits, options, &prompt, &path, None), options).unwrap();
        let weights: Vec<f64> =
            left.iter()
                .map(|&logit| {
                    if logit.is_nan() { 0.0 } else { f64::from(logit / options.temperature).exp() }
                })
                .collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    };
    let mut counts = vec![0; VOCAB as usize];
    for seed in 0..60_000 {
        let params = SamplingParams::checked(SamplingOptions { seed, ..options.clone() }).unwrap();
        counts[Sampler::new(params, &prompt, None).choose(&mut logits.clone(), &path).unwrap().token
            as usize] += 1;
    }
    let exact = expected(&options);
    assert!(
        exact.iter().zip(&counts).all(|(&p, &count)| p > 0.0 || count == 0),
        "only what the filters leave"
    );
    assert!((5..15).contains(&exact.iter().filter(|&&p| p > 0.0).count()));
    assert!(excess(&counts, &exact) < 1.0);
    // The test can fail: it tells a repetition penalty of 1.4 from one of 1.3.
    let other = expected(&SamplingOptions { repetition_penalty: 1.3, ..options });
    assert!(excess(&counts, &other) > 1.5, "{}", excess(&counts, &other));
}

#[test]
fn logprobs_are_the_models_own() {
    let options = SamplingOptions {
        logit_bias: vec![(0, -100.0)],
        repetition_penalty: 2.0,
        ..SamplingOptions::default()
    };
    let sampler = Sampler::new(SamplingParams::checked(options).unwrap(), &[1], None);
    let raw = [5.0_f32.ln(), 3.0_f32.ln(), 2.0_f32.ln()];
    let choice = sampler.with_logprobs(Some(2)).choose(&mut raw.to_vec(), &[]).unwrap();
    let logprobs = choice.logprobs.unwrap();
    assert_eq!(choice.token, 2, "0 is biased away, and 1 is in the prompt");
    assert!((logprobs.chosen - 0.2_f32.ln()).abs() < 1e-6);
    assert_eq!(logprobs.top.iter().map(|token| token.id).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn where_nothing_may_follow_or_nobody_can_tell_the_text_fails_and_drafts_only_end() {
    let constraints: [Box<dyn Constraint>; 2] = [Only::boxed(&[]), Box::new(Lost)];
    for constraint in constraints {
        let mut sampler = Sampler::new(SamplingParams::greedy(), &[1], Some(constraint));
        assert!(sampler.choose(&mut [1.0, 2.0], &[]).is_err());
        let draft = sampler.draft(&mut [1.0, 2.0], &[], 4);
        assert!(draft.ends && draft.confidence == 0.0);
        assert!(sampler.guesses(&mut [1.0, 2.0], &[], 4).is_empty());
    }
}

#[test]
fn a_forced_token_is_drafted_with_certainty() {
    let mut sampler = Sampler::new(SamplingParams::greedy(), &[1], Some(Only::boxed(&[2])));
    let draft = sampler.draft(&mut [9.0, 3.0, -4.0, 5.0], &[], 0);
    assert_eq!((draft.token, draft.confidence), (2, 1.0));
}
