//! Dense copy of a model, for tools/check_dense.py: `cargo run --release -p tricorn-model --example
//! dense_copy -- MODEL OUT` writes the directory OUT, and OUT/logits.json with a sequence of token
//! ids and the logits of its rows.

use std::{borrow::Cow, env, error::Error, fs, path::Path, sync::Arc};
use tricorn_core::Split;
use tricorn_kernels::{Dtype, KvFormat};
use tricorn_model::{
    InputPart, KvPool, MiddlePart, ModelSource, OutputPart, SeqRows,
    export::{DenseDirectory, DenseTensor},
};

const SPLIT: Split = Split { input_layers: 1, output_layers: 0 };

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, out] = arguments.as_slice() else {
        return Err("usage: dense_copy MODEL OUT".into());
    };
    let (source, out) = (ModelSource::open(Path::new(model))?, Path::new(out));
    let read = |tensor: &DenseTensor| {
        let numbers = source.weights().f32(&tensor.name, &tensor.shape)?;
        Ok(Cow::Owned(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()))
    };
    DenseDirectory::new(source.config()).with_files_of(&source).with_shards_of(1 << 16).write(
        out,
        |_| Dtype::F32,
        read,
    )?;

    let source = Arc::new(ModelSource::open(out)?);
    let vocab = source.config().vocab as u32;
    let tokens: Vec<u32> = (0..48).map(|n| (n * n * 7 + 3) % vocab).collect();
    let pool = KvPool::with_format(usize::MAX, KvFormat::F32);
    let input = InputPart::load(&source, SPLIT)?;
    let middle = MiddlePart::load(&source, SPLIT)?;
    let output = OutputPart::load(&source, SPLIT)?;
    let mut x = input.forward_at(&mut input.new_kv(&pool, 64), 0, &tokens)?;
    let mut kv = middle.new_kv(&pool, 64);
    middle.forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows: tokens.len() }], &mut x)?;
    output.forward_at(&mut output.new_kv(&pool, 64), 0, &mut x)?;
    let logits = serde_json::json!({ "tokens": tokens, "logits": output.logits(&x)? });
    fs::write(out.join("logits.json"), logits.to_string())?;
    Ok(())
}
