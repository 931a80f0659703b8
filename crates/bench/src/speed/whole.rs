//! The whole model in this process.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use tricorn_core::Split;
use tricorn_kernels::KvFormat;
use tricorn_model::{InputPart, KvCache, KvPool, MiddlePart, ModelSource, OutputPart, SeqRows};

use super::work::{Work, token};
use crate::error::BenchError;

/// All three parts and one sequence.
pub(super) struct WholeModel {
    input: InputPart,
    middle: MiddlePart,
    output: OutputPart,
    caches: [KvCache; 3],
    source: Arc<ModelSource>,
}

/// What a model's weights weigh.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    /// Bytes in the file.
    pub(super) stored: usize,
    /// Bytes held in memory, which every token reads.
    pub(super) held: usize,
    /// Weights of all layers' matrices.
    pub(super) layers: usize,
    /// Weights of the head.
    pub(super) head: usize,
    /// Bytes of keys and values a position.
    pub(super) kv_position: usize,
}

impl WholeModel {
    pub(super) fn load(source: &Arc<ModelSource>, pool: &Arc<KvPool>) -> Result<Self, BenchError> {
        if source.bundle().is_some() {
            return Err(BenchError::Bundle);
        }
        let (split, context) =
            (Split { input_layers: 1, output_layers: 0 }, source.config().context);
        let (input, middle, output) = (
            InputPart::load(source, split)?,
            MiddlePart::load(source, split)?,
            OutputPart::load(source, split)?,
        );
        let caches = [
            input.new_kv(pool, context),
            middle.new_kv(pool, context),
            output.new_kv(pool, context),
        ];
        Ok(Self { input, middle, output, caches, source: Arc::clone(source) })
    }

    /// Does a piece of work; the time of each of its calls.
    pub(super) fn run(&mut self, work: Work) -> Result<Vec<Duration>, BenchError> {
        let held = self.caches[0].len();
        if held < work.at {
            self.call(held, work.at - held, 1)?;
        }
        work.starts()
            .map(|start| {
                let started = Instant::now();
                self.call(start, work.rows, work.logits())?;
                Ok(started.elapsed())
            })
            .collect()
    }

    /// Runs `rows` rows at `pos..` through all parts, and the last `logits` of them through the
    /// head.
    fn call(&mut self, pos: usize, rows: usize, logits: usize) -> Result<(), BenchError> {
        let vocab = self.source.config().vocab;
        let tokens: Vec<u32> = (pos..pos + rows).map(|position| token(position, vocab)).collect();
        let [first, second, third] = &mut self.caches;
        let mut x = self.input.forward_at(first, pos, &tokens)?;
        self.middle.forward(&mut [SeqRows { kv: second, pos, rows }], &mut x)?;
        self.output.forward_at(third, pos, &mut x)?;
        black_box(self.output.logits(&x[(rows - logits) * self.output.hidden()..])?);
        Ok(())
    }

    pub(super) fn weights(&self, kv: KvFormat) -> Weights {
        let config = self.source.config();
        let (mut stored, mut layers) = (0, 0);
        for tensor in self.source.tensors() {
            stored += tensor.bytes;
            if tensor.name.starts_with("model.layers.") && tensor.shape.len() == 2 {
                layers += tensor.shape.iter().product::<usize>();
            }
        }
        Weights {
            stored,
            held: self.input.bytes() + self.middle.bytes() + self.output.bytes(),
            layers,
            head: config.vocab * config.hidden,
            kv_position: kv.bytes_per_token(config.block_layout(0..config.layers).layers()),
        }
    }
}
