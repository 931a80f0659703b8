//! Time of a training step with adapters on all dense layers of a model:
//! `cargo run --release -p tricorn-grad --example lora_step -- MODEL [TOKENS] [STEPS]`.

use std::{env, error::Error, path::Path, time::Instant};

use tricorn_grad::{AdamW, AdamWSettings, Batch, Group, LanguageModel, LoraConfig, TokenSequence};
use tricorn_model::ModelSource;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, numbers @ ..] = arguments.as_slice() else {
        return Err("give a model's path, and then tokens and steps where you like".into());
    };
    let number = |index: usize, default| numbers.get(index).map_or(Ok(default), |n| n.parse());
    let (tokens, steps) = (number(0, 512)?, number(1, 3)?);

    let source = ModelSource::open(Path::new(path))?;
    let started = Instant::now();
    let mut model = LanguageModel::load(&source)?;
    println!("loaded in {:.1} s", started.elapsed().as_secs_f64());
    let names: Vec<String> = model.dense_layers().map(str::to_owned).collect();
    let mut random = 0.0;
    for name in &names {
        let mut uniform = || {
            random = (random + 0.618_033_988_749_895_f64) % 1.0;
            random
        };
        model.add_lora(name, LoraConfig { rank: 8, alpha: 16.0 }, &mut uniform)?;
    }
    let vocab = source.config().vocab;
    let text = (0..tokens).map(|i| ((i * 7919 + 13) % vocab) as u32).collect();
    let batch = Batch::new(&[TokenSequence::next_tokens(text, 0)])?;
    let members = model.parameters().members("adapters");
    let groups = vec![Group::new("adapters").clip_norm(1.0)];
    let mut optimizer = AdamW::new(AdamWSettings::default(), groups, members)?;
    for step in 1..=steps {
        let started = Instant::now();
        let (loss, gradients) = model.loss_and_gradients(&batch)?;
        optimizer.step(1e-3, model.parameters_mut().values_mut(), gradients.values())?;
        let seconds = started.elapsed().as_secs_f64();
        let speed = tokens as f64 / seconds;
        println!("step {step}: loss {loss:.4}, {seconds:.2} s, {speed:.0} tokens/s");
    }
    Ok(())
}
