//! Models whose layers differ in their shapes, or lack a half.

use std::{borrow::Cow, sync::Arc};

use tricorn_grad::{Batch, LanguageModel, TokenSequence};
use tricorn_kernels::{Dtype, KvFormat, rows::softmax};
use tricorn_model::{
    InputPart, KvPool, LayerShape, MiddlePart, ModelSource, OutputPart, SeqRows,
    export::{DenseDirectory, DenseTensor},
};

use crate::support::{add_adapters, assert_slope, noise, open};

const fn shape(heads: usize, kv_heads: usize, head_dim: usize, intermediate: usize) -> LayerShape {
    LayerShape { heads, kv_heads, head_dim, intermediate }
}

/// Random weights in a family's configuration with uneven layers.
fn uneven(family: &str) -> (tempfile::TempDir, ModelSource) {
    let mut shapes =
        vec![shape(4, 2, 8, 64), shape(0, 0, 0, 24), shape(6, 3, 4, 40), shape(3, 1, 10, 0)];
    let like = open(family);
    shapes.resize(like.config().layers, shape(2, 1, 16, 33));
    let config = like.config().with_layers(shapes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 0;
    let weights = |tensor: &DenseTensor| {
        seed += 1;
        let count = tensor.shape.iter().product();
        let inputs = if tensor.shape.len() == 2 { tensor.shape[1] } else { 4 };
        let scale = 2.0 * (inputs as f32).sqrt().recip();
        let bytes = noise(count, seed).into_iter().flat_map(|v| (scale * v).to_le_bytes());
        Ok(Cow::Owned(bytes.collect()))
    };
    DenseDirectory::new(&config).write(dir.path(), |_| Dtype::F32, weights).unwrap();
    let source = ModelSource::open(dir.path()).unwrap();
    (dir, source)
}

/// The mean cross-entropy of the next tokens, by the parts that write texts.
fn loss_in_use(source: ModelSource, tokens: &[u32]) -> f64 {
    let (source, split) = (Arc::new(source), "1:0".parse().unwrap());
    let pool = KvPool::with_format(usize::MAX, KvFormat::F32);
    let input = InputPart::load(&source, split).unwrap();
    let output = OutputPart::load(&source, split).unwrap();
    let mut x = input.forward_at(&mut input.new_kv(&pool, 64), 0, tokens).unwrap();
    let middle = MiddlePart::load(&source, split).unwrap();
    let mut kv = middle.new_kv(&pool, 64);
    middle.forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows: tokens.len() }], &mut x).unwrap();
    let mut logits = output.logits(&x).unwrap();
    let rows = logits.chunks_exact_mut(output.vocab()).zip(&tokens[1..]);
    let sum: f64 = rows
        .map(|(logits, &next)| {
            let wanted = f64::from(logits[next as usize]);
            f64::from(softmax(logits)) - wanted
        })
        .sum();
    sum / (tokens.len() - 1) as f64
}

#[test]
fn uneven_layers_have_the_loss_of_the_model_in_use_and_its_slope() {
    for family in ["llama", "qwen3"] {
        let (_dir, source) = uneven(family);
        let tokens: Vec<u32> = (0..40).map(|i| (i * 37 + 11) % 270).collect();
        let batch = Batch::new(&[TokenSequence::next_tokens(tokens.clone(), 0)]).unwrap();
        let mut model = LanguageModel::load(&source).unwrap();
        let loss = model.loss(&batch).unwrap();
        add_adapters(&mut model, 3);
        model.train("model.layers.1.mlp.up_proj.weight").unwrap();
        model.train("model.embed_tokens.weight").unwrap();
        assert_slope(&mut model, &batch, family);
        let in_use = loss_in_use(source, &tokens);
        assert!((loss - in_use).abs() < 1e-5 * loss, "{family}: {loss}, in use {in_use}");
    }
}
