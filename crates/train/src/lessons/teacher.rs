//! The frozen model, run as it is in use: in three parts, with the hidden rows rounded at the cuts.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tricorn_core::{HiddenCodec, Split, argmax};
use tricorn_model::{
    InputPart, KvCache, KvPool, MiddlePart, ModelError, ModelSource, OutputPart, SeqRows,
};

use crate::lessons::text::Sequence;

/// The wire's default codec: a drafter must know the rows as they are in use.
const CODEC: HiddenCodec = HiddenCodec::F16;

/// The three parts of the model.
#[derive(Debug)]
pub(crate) struct Teacher {
    pub(crate) input: InputPart,
    middle: MiddlePart,
    pub(crate) output: OutputPart,
    pub(crate) pool: Arc<KvPool>,
    pub(crate) hidden: usize,
    pub(crate) end_tokens: Vec<u32>,
}

/// What the teacher knows about one sequence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lesson {
    pub(crate) tokens: Vec<u32>,
    /// The row of the prompt's last token, which predicts the response's first.
    pub(crate) first: usize,
    /// Rows of the first layers for all tokens but the last, rounded: `(tokens - 1) x hidden`.
    pub(crate) shallow: Vec<f32>,
    /// Rows of the last layer (before the final norm) of the rows from `first` on, one for each
    /// token of the response.
    pub(crate) target: Vec<f32>,
}

impl Lesson {
    /// Rows that have a shallow state.
    pub(crate) fn rows(&self) -> usize {
        self.tokens.len() - 1
    }

    /// For every row the last layer's row of the position before, as the device knows it: zeros up
    /// to the row after which the first one is answered. `rows x hidden`.
    pub(crate) fn previous(&self, hidden: usize) -> Vec<f32> {
        let known = (self.loss_rows() - 1) * hidden;
        [vec![0.0; (self.first + 1) * hidden], self.target[..known].to_vec()].concat()
    }

    /// Rows that the student learns from.
    pub(crate) fn loss_rows(&self) -> usize {
        self.rows() - self.first
    }
}

/// One sequence's caches over the three parts.
struct Caches {
    input: KvCache,
    middle: KvCache,
    output: KvCache,
}

/// A sequence that the teacher is writing.
struct Writing {
    lesson: Lesson,
    caches: Caches,
    limit: usize,
}

impl Teacher {
    pub(crate) fn load(source: &Arc<ModelSource>, split: Split) -> Result<Self, ModelError> {
        Ok(Self {
            input: InputPart::load(source, split)?,
            middle: MiddlePart::load(source, split)?,
            output: OutputPart::load(source, split)?,
            pool: KvPool::new(usize::MAX),
            hidden: source.config().hidden,
            end_tokens: source.config().eos.clone(),
        })
    }

    /// Shallow rows of `tokens` at `pos..`, rounded.
    pub(crate) fn shallow_at(
        &self,
        kv: &mut KvCache,
        pos: usize,
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        self.shallow(&mut [SeqRows { kv, pos, rows: tokens.len() }], tokens)
    }

    /// Shallow rows of a ragged batch, rounded.
    pub(crate) fn shallow(
        &self,
        batch: &mut [SeqRows<'_>],
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        let mut rows = self.input.forward_batch(batch, tokens)?;
        CODEC.round(&mut rows);
        Ok(rows)
    }

    /// Runs the whole model over a sequence.
    pub(crate) fn teach(&self, sequence: Sequence) -> Result<Lesson, ModelError> {
        let Sequence { tokens, prompt } = sequence;
        let (rows, first) = (tokens.len() - 1, prompt - 1);
        let mut caches = self.caches(rows);
        let (shallow, deep) = self.run(&mut caches, 0, &tokens[..rows])?;
        Ok(Lesson { tokens, first, shallow, target: deep[first * self.hidden..].to_vec() })
    }

    /// Lets the model go on greedily from each prompt until it ends the text, `new_tokens` are
    /// written or the sequence has `context` tokens. Rows do not depend on each other, so neither
    /// does a text on the prompts beside it. Texts are shorter when `stop` is set meanwhile.
    pub(crate) fn write(
        &self,
        prompts: Vec<Vec<u32>>,
        new_tokens: usize,
        context: usize,
        stop: &AtomicBool,
    ) -> Result<Vec<Lesson>, ModelError> {
        let limit = |prompt: &[u32]| prompt.len().saturating_add(new_tokens).min(context);
        let mut writing = prompts
            .into_iter()
            .map(|prompt| {
                let limit = limit(&prompt);
                self.begin(prompt, limit)
            })
            .collect::<Result<Vec<_>, _>>()?;
        loop {
            let mut active: Vec<&mut Writing> =
                writing.iter_mut().filter(|w| !self.is_finished(w)).collect();
            if active.is_empty() || stop.load(Ordering::Relaxed) {
                return Ok(writing.into_iter().map(|w| w.lesson).collect());
            }
            self.write_one_token(&mut active)?;
        }
    }

    /// Runs the whole model over tokens one by one, as decoding does.
    pub(crate) fn step_through(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let mut caches = self.caches(tokens.len());
        for (pos, token) in tokens.iter().enumerate() {
            let (_, deep) = self.run(&mut caches, pos, &[*token])?;
            black_box(self.output.logits(&deep)?);
        }
        Ok(())
    }

    fn begin(&self, prompt: Vec<u32>, limit: usize) -> Result<Writing, ModelError> {
        let mut caches = self.caches(limit);
        let (shallow, deep) = self.run(&mut caches, 0, &prompt)?;
        let target = deep[deep.len() - self.hidden..].to_vec();
        let next = argmax(&self.output.logits(&target)?);
        let first = prompt.len() - 1;
        let mut tokens = prompt;
        tokens.push(next);
        Ok(Writing { lesson: Lesson { tokens, first, shallow, target }, caches, limit })
    }

    fn is_finished(&self, writing: &Writing) -> bool {
        let tokens = &writing.lesson.tokens;
        tokens.len() >= writing.limit
            || tokens.last().is_some_and(|token| self.end_tokens.contains(token))
    }

    fn write_one_token(&self, active: &mut [&mut Writing]) -> Result<(), ModelError> {
        let last: Vec<u32> =
            active.iter().filter_map(|w| w.lesson.tokens.last().copied()).collect();
        let mut batch: Vec<SeqRows<'_>> = active
            .iter_mut()
            .map(|w| SeqRows { pos: w.lesson.tokens.len() - 1, rows: 1, kv: &mut w.caches.input })
            .collect();
        let shallow = self.shallow(&mut batch, &last)?;
        let mut x = shallow.clone();
        let mut batch: Vec<SeqRows<'_>> = active
            .iter_mut()
            .map(|w| SeqRows { pos: w.lesson.tokens.len() - 1, rows: 1, kv: &mut w.caches.middle })
            .collect();
        self.middle.forward(&mut batch, &mut x)?;
        CODEC.round(&mut x);
        for (w, row) in active.iter_mut().zip(x.chunks_exact_mut(self.hidden)) {
            self.output.forward_at(&mut w.caches.output, w.lesson.tokens.len() - 1, row)?;
        }
        let logits = self.output.logits(&x)?;
        let rows = shallow.chunks_exact(self.hidden).zip(x.chunks_exact(self.hidden));
        for ((w, (shallow, deep)), logits) in
            active.iter_mut().zip(rows).zip(logits.chunks_exact(self.output.vocab()))
        {
            w.lesson.shallow.extend_from_slice(shallow);
            w.lesson.target.extend_from_slice(deep);
            w.lesson.tokens.push(argmax(logits));
        }
        Ok(())
    }

    fn caches(&self, positions: usize) -> Caches {
        Caches {
            input: self.input.new_kv(&self.pool, positions),
            middle: self.middle.new_kv(&self.pool, positions),
            output: self.output.new_kv(&self.pool, positions),
        }
    }

    /// Shallow rows and last-layer rows of tokens at `pos..`.
    fn run(
        &self,
        caches: &mut Caches,
        pos: usize,
        tokens: &[u32],
    ) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        let shallow = self.shallow_at(&mut caches.input, pos, tokens)?;
        let mut deep = shallow.clone();
        self.middle.forward(
            &mut [SeqRows { kv: &mut caches.middle, pos, rows: tokens.len() }],
            &mut deep,
        )?;
        CODEC.round(&mut deep);
        self.output.forward_at(&mut caches.output, pos, &mut deep)?;
        Ok((shallow, deep))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{SPLIT, TempDir, tiny_model};

    #[test]
    fn writing_in_a_batch_equals_reading_what_was_written() {
        let dir = TempDir::new();
        let teacher =
            Teacher::load(&tiny_model(&dir, &json!({"eos_token_id": [1, 4, 9]})), SPLIT).unwrap();
        let prompts: Vec<Vec<u32>> = (0..6).map(|i| vec![0, 3 + i, 7, 12 + i]).collect();
        let lessons = teacher.write(prompts.clone(), 20, 18, &AtomicBool::new(false)).unwrap();
        for (lesson, prompt) in lessons.iter().zip(&prompts) {
            let (tokens, end) = (&lesson.tokens, lesson.tokens[lesson.tokens.len() - 1]);
            assert_eq!(tokens[..4], prompt[..]);
            assert!(tokens.len() == 18 || teacher.end_tokens.contains(&end), "{tokens:?}");
            assert!(
                tokens[4..tokens.len() - 1].iter().all(|token| !teacher.end_tokens.contains(token))
            );
            let read = teacher.teach(Sequence { tokens: tokens.clone(), prompt: 4 }).unwrap();
            assert_eq!(*lesson, read);
            let logits = teacher.output.logits(&read.target).unwrap();
            assert!(logits.chunks_exact(24).map(argmax).eq(tokens[4..].iter().copied()));
        }
    }
}
