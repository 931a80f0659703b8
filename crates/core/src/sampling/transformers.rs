//! Transformers' sets and penalties, which ours must equal (tools/make_sampling_fixtures.py).
#![allow(clippy::unwrap_used)]

use super::{
    SamplingOptions, filters,
    penalties::{self, History},
};
use serde_json::Value;

const CASES: &str = include_str!("../../../../tests/fixtures/sampling.json");

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|token| token.as_u64().unwrap() as u32).collect()
}

#[test]
fn kept_tokens_and_penalised_logits_are_those_of_transformers() {
    let fixture: Value = serde_json::from_str(CASES).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let number = |name: &str| case[name].as_f64().unwrap() as f32;
        let options = SamplingOptions {
            temperature: number("temperature"),
            top_k: number("top_k") as usize,
            top_p: number("top_p"),
            min_p: number("min_p"),
            repetition_penalty: number("repetition_penalty"),
            ..SamplingOptions::default()
        };
        let (mut logits, history) = (numbers(&case["logits"]), tokens(&case["history"]));
        penalties::bias(&options, &mut logits);
        // Some of the history is the prompt's, some the text's: repetition makes no difference
        // between them.
        let (prompt, path) = history.split_at(5);
        if let Some(mut history) = History::new(&options, prompt) {
            history.seek(path);
            history.penalise(&options, &mut logits);
        }
        for (ours, theirs) in logits.iter().zip(numbers(&case["penalised"])) {
            assert!((ours - theirs).abs() < 1e-4, "{options:?}: {ours} {theirs}");
        }
        let kept = filters::keep(&logits, &options);
        let mut kept: Vec<u32> = kept.map_or((0..logits.len() as u32).collect(), |kept| {
            kept.into_iter().map(|(token, _)| token).collect()
        });
        kept.sort_unstable();
        assert_eq!(kept, tokens(&case["kept"]), "{options:?}");
    }
}
