//! Cost of a chat template and a tokenizer for each request: `cargo run --release -p
//! tricorn-model --example prompt_cost`.
//!
//! Conversations of some lengths, through the templates in tests/fixtures and the demo model's
//! tokenizer; the median of many runs.

use std::{error::Error, fs, path::Path, time::Instant};

use serde_json::{Map, Value, json};
use tricorn_text::{ChatTemplate, TextTokenizer, template::ChatInput, tool_calls::ToolCallParser};

const RUNS: usize = 201;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fixtures: Value =
        serde_json::from_slice(&fs::read(root.join("tests/fixtures/templates.json"))?)?;
    let tokenizer = TextTokenizer::from_bytes(&fs::read(root.join("models/demo/tokenizer.json"))?)?;
    let tools = &fixtures["conversations"][6]["tools"];
    println!("template    messages tools  tokens   render   encode  (microseconds)");
    for (style, messages, with_tools) in [
        ("demo", 1, false),
        ("demo", 9, false),
        ("demo", 99, false),
        ("llama3.1", 9, true),
        ("qwen2.5", 9, true),
        ("qwen2.5", 99, true),
    ] {
        let fixture = &fixtures["styles"][style];
        let mut config: Map<String, Value> =
            fixture["tokens"].as_object().cloned().unwrap_or_default();
        config.insert("chat_template".to_owned(), fixture["template"].clone());
        let template = ChatTemplate::from_files(Some(&serde_json::to_vec(&config)?), None)?
            .ok_or("no template")?;
        let sent: Vec<Value> = (0..messages).map(message).collect();
        let tools =
            if with_tools { tools.as_array().cloned().unwrap_or_default() } else { Vec::new() };
        let render = || {
            let messages = template.openai_messages(&sent);
            template.render_chat(&ChatInput {
                messages,
                tools: tools.clone(),
                ..ChatInput::default()
            })
        };
        let rendered = render()?;
        let tokens = tokenizer.encode(&rendered, false)?.len();
        let render = median(|| Ok(render().map(|_| ())?))?;
        let encode = median(|| Ok(tokenizer.encode(&rendered, false).map(|_| ())?))?;
        println!("{style:11} {messages:8} {:5} {tokens:7} {render:8.1} {encode:8.1}", tools.len());
        if let Some(style) = template.tool_style() {
            let words: Vec<&str> = rendered.split_inclusive(' ').collect();
            let parse = median(|| {
                let mut parser = ToolCallParser::new(style, &tools);
                words.iter().for_each(|word| drop(parser.push(word)));
                Ok(())
            })?;
            println!(
                "{:11} {:.3} microseconds for each of {} pieces that are looked through for tool \
                 calls",
                "",
                parse / words.len() as f64,
                words.len()
            );
        }
    }
    Ok(())
}

fn message(index: usize) -> Value {
    let role = if index.is_multiple_of(2) { "user" } else { "assistant" };
    let content =
        "The hat told the cloud a story: three corners of the wall, and nobody listened. ";
    json!({ "role": role, "content": content.repeat(4) })
}

/// Microseconds.
fn median(
    mut run: impl FnMut() -> Result<(), tricorn_model::ModelError>,
) -> Result<f64, tricorn_model::ModelError> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
