//! `tricorn bench perplexity`

use super::super::{print_json, use_threads};
use crate::{
    args::{Format, PerplexityArgs},
    bundled,
    error::CliError,
    ui,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tricorn_bench::{
    Stop,
    perplexity::{Predictions, Texts, predict, table},
};
use tricorn_model::quant::Quant;

pub(super) fn run(args: &PerplexityArgs) -> Result<(), CliError> {
    // Before anything that takes time.
    let stop = Stop::default();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || on_signal.ask())?;
    use_threads(args.threads)?;
    let source = bundled::open(&args.model)?;
    let formats = match args.quant.as_slice() {
        [] if source.is_quantised() => vec![Format::Stored],
        [] => [Quant::F32, Quant::Q8, Quant::Q4K].map(Format::Held).to_vec(),
        formats => formats.to_vec(),
    };
    let context = source.config().context;
    let window = args.window.unwrap_or(context);
    if window > context {
        return Err(CliError::Window { window, context });
    }
    let texts = Texts::from_file(&args.text, &source, window, args.tokens.unwrap_or(usize::MAX))?;
    let bar = if args.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new((texts.predicted() * formats.len() * args.kv.len()) as u64)
    };
    // The template is a constant; the default style is a fair second.
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} tokens, {per_sec}, {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut base: Option<Predictions> = None;
    let mut scores = Vec::new();
    for (kv, format) in
        args.kv.iter().flat_map(|kv| formats.iter().map(move |format| (*kv, *format)))
    {
        let (name, quant) = match format {
            Format::Stored => ("stored", None),
            Format::Held(quant) => (quant.name(), Some(quant)),
        };
        bar.set_message(format!("{name}, kv {kv}"));
        let source = bundled::open_quantised(&args.model, quant)?;
        let Some(predictions) =
            predict(&source, kv, &texts, |tokens| bar.inc(tokens as u64), &stop)?
        else {
            bar.finish_and_clear();
            return Err(CliError::Interrupted);
        };
        scores.push(predictions.score(name.to_owned(), base.as_ref()));
        base.get_or_insert(predictions);
    }
    bar.finish_and_clear();
    if args.json {
        let windows = texts.windows().len();
        return print_json(&json!({
            "bench": "perplexity", "window": window, "windows": windows, "scores": scores
        }));
    }
    let about = format!(
        "{} tokens in {} windows of at most {window}\n",
        texts.predicted(),
        texts.windows().len()
    );
    Ok(ui::print(about + &table(&scores))?)
}
