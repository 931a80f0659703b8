//! Distils a drafter: `distill MODEL TRAIN.jsonl VALID.jsonl OUT [key=value ...]`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use tricorn_model::ModelSource;
use tricorn_train::{DistillConfig, Event, distill};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = |i: usize| PathBuf::from(&args[i]);
    let source = Arc::new(ModelSource::open(&path(0)).unwrap());
    let mut config = DistillConfig::new(path(1), path(2), path(3));
    for arg in &args[4..] {
        let (key, value) = arg.split_once('=').expect("key=value");
        match key {
            "split" => config.split = value.parse().unwrap(),
            "steps" => config.budget.steps = Some(value.parse().unwrap()),
            "tokens" => config.budget.tokens = Some(value.parse().unwrap()),
            "minutes" => config.budget.minutes = Some(value.parse().unwrap()),
            "batch" => config.batch_tokens = value.parse().unwrap(),
            "context" => config.context = value.parse().unwrap(),
            "lr" => config.learning_rate = value.parse().unwrap(),
            "warmup" => config.warmup_steps = value.parse().unwrap(),
            "ce" => config.ce_weight = value.parse().unwrap(),
            "own" => config.own_text = value.parse().unwrap(),
            "own_tokens" => config.own_text_tokens = value.parse().unwrap(),
            "eval" => config.eval_every = value.parse().unwrap(),
            "prompts" => config.held_out.prompts = value.parse().unwrap(),
            "new" => config.held_out.new_tokens = value.parse().unwrap(),
            "seed" => config.seed = value.parse().unwrap(),
            "flat" => config.stop_when_flat = Some(value.parse().unwrap()),
            "resume" => config.resume = value.parse().unwrap(),
            other => panic!("unknown {other}"),
        }
    }
    let outcome = distill(&source, &config, &AtomicBool::new(false), &mut |event| match event {
        Event::Step(step) if !step.step.is_multiple_of(20) => {}
        Event::Step(s) => println!(
            "step {:5} tokens {:8} {:6.0} tok/s loss {:.4} l1 {:.4} ce {:.3} lr {:.2e} left {:?}",
            s.step,
            s.tokens,
            s.tokens_per_s,
            s.loss,
            s.smooth_l1,
            s.cross_entropy,
            s.learning_rate,
            s.left.unwrap_or_default()
        ),
        other => println!("{other:?}"),
    });
    match outcome {
        Ok(outcome) => println!("{:?} {} steps {} tokens", outcome.end, outcome.steps, outcome.tokens),
        Err(error) => eprintln!("error: {error}"),
    }
}
