//! The prompts that a drafter is measured on, with the texts that the model writes for them.

use std::{hint::black_box, path::Path, sync::atomic::AtomicBool, time::Instant};

use tricorn_model::{Drafter, ModelError};

use crate::{
    config::HeldOutConfig,
    error::TrainError,
    lessons::{
        data::Dataset,
        teacher::{Lesson, Teacher},
        text::Renderer,
    },
};

/// Prompts that the model goes on from in one batch.
const BATCH: usize = 16;
/// Tokens over which the cost of a draft is measured.
const TIMED_TOKENS: usize = 24;
const TIMED_RUNS: usize = 5;

/// A text that the model wrote.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) lesson: Lesson,
    /// Tokens that were still allowed when the model ended the text.
    pub(crate) spare: usize,
}

/// Lets the model write the texts.
pub(crate) fn write(
    teacher: &Teacher,
    renderer: &Renderer,
    path: &Path,
    config: &HeldOutConfig,
    context: usize,
    stop: &AtomicBool,
) -> Result<Vec<Written>, TrainError> {
    let dataset = Dataset::read(path)?;
    let mut prompts = Vec::new();
    for example in &dataset.examples {
        if prompts.len() == config.prompts {
            break;
        }
        let prompt = renderer.prompt(&example.prompt)?;
        if !prompt.is_empty() && prompt.len() + config.new_tokens <= context {
            prompts.push(prompt);
        }
    }
    if prompts.is_empty() {
        let problem = format!(
            "no prompt leaves room for {} tokens in the model's context of {context}; use shorter \
             prompts",
            config.new_tokens
        );
        return Err(TrainError::NoExamples { path: path.to_owned(), problem });
    }
    let mut texts = Vec::with_capacity(prompts.len());
    for prompts in prompts.chunks(BATCH) {
        for lesson in teacher.write(prompts.to_vec(), config.new_tokens, context, stop)? {
            let spare = (lesson.first + 1 + config.new_tokens) - lesson.tokens.len();
            texts.push(Written { lesson, spare });
        }
    }
    Ok(texts)
}

/// The time of one draft over the time in which the whole model, on this machine and without any
/// link, makes one token.
pub(crate) fn measure_draft_cost(
    teacher: &Teacher,
    drafter: &Drafter,
    text: &Written,
) -> Result<f64, ModelError> {
    let tokens = &text.lesson.tokens;
    let count = TIMED_TOKENS.min(tokens.len());
    let mut input = teacher.input.new_kv(&teacher.pool, count);
    let mut kv = drafter.new_kv(&teacher.pool, count);
    let drafting = fastest(|| {
        let mut guess = Vec::new();
        for (pos, token) in tokens[..count].iter().enumerate() {
            let shallow = teacher.shallow_at(&mut input, pos, &[*token])?;
            guess = drafter.forward_at(&mut kv, pos, &shallow, &guess)?;
            black_box(teacher.output.logits(&guess)?);
        }
        Ok(())
    })?;
    let decoding = fastest(|| teacher.step_through(&tokens[..count]))?;
    Ok(drafting / decoding.max(1e-9))
}

/// Seconds of the fastest of some runs, the one that other programs disturbed least.
fn fastest(mut work: impl FnMut() -> Result<(), ModelError>) -> Result<f64, ModelError> {
    let mut best = f64::INFINITY;
    for _ in 0..TIMED_RUNS {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
