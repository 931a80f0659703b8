//! Overhead of HTTP, templating and JSON: over the bare engine, per request and per token.
//!
//! `cargo run -p tricorn-api --example overhead [MODEL]`: the same texts are asked for in turns
//! from an engine and over HTTP, both with the middle in this process; medians of the differences.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpStream};
use tricorn_api::{Service, ServiceConfig, serve};
use tricorn_core::{ChunkPolicy, DraftPolicy, HiddenCodec, SamplingParams, Split};
use tricorn_device::{
    DeviceParts, Drafting, Engine, EngineConfig, LocalTransport, Prompter,
    engine::{GenerationRequest, Update},
};
use tricorn_model::{MiddlePart, ModelSource};
use tricorn_text::template::ChatInput;

type Failure = Box<dyn Error + Send + Sync>;

/// Turns measured of each kind.
const TURNS: usize = 40;
/// Tokens of a short and a long text.
const LENGTHS: [usize; 2] = [1, 129];

struct Parts {
    parts: Arc<DeviceParts>,
    prompter: Arc<Prompter>,
    middle: Arc<MiddlePart>,
}

impl Parts {
    fn load(model: &std::path::Path) -> Result<Self, Failure> {
        let source = Arc::new(ModelSource::open(model)?);
        let split: Split = "2:0".parse()?;
        Ok(Self {
            parts: Arc::new(DeviceParts::load(&source, split, HiddenCodec::F16, Drafting::Best)?),
            prompter: Arc::new(Prompter::load(&source)?),
            middle: Arc::new(MiddlePart::load(&source, split)?),
        })
    }

    fn engine(&self) -> std::io::Result<Engine> {
        let (middle, context, codec) =
            (Arc::clone(&self.middle), self.parts.context, self.parts.codec);
        let config = EngineConfig { slots: 1, ..EngineConfig::default() };
        Engine::start(
            Arc::clone(&self.parts),
            Arc::clone(&self.prompter),
            move || LocalTransport::new(Arc::clone(&middle), context, codec),
            config,
        )
    }
}

fn messages() -> Value {
    let story =
        "There was a letter that nobody had opened. It lay under the stairs for a year. ".repeat(4);
    json!([
        { "role": "user", "content": "A story about a lost letter." },
        { "role": "assistant", "content": story },
        { "role": "user", "content": "And who found it?" },
        { "role": "assistant", "content": story },
        { "role": "user", "content": "Tell me more." },
    ])
}

async fn bare(engine: &Engine, prompt: &[u32], tokens: usize) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut generation = engine.submit(GenerationRequest {
        prompt: prompt.to_vec(),
        max_new_tokens: tokens,
        sampling: SamplingParams::greedy(),
        grammar: None,
        logprobs: None,
        stop: Vec::new(),
        draft: DraftPolicy::default(),
        chunk: ChunkPolicy::Dynamic,
        trace: false,
        deadline: None,
        group: None,
    })?;
    while let Some(update) = generation.next().await {
        match update {
            Update::Done(_) => return Ok(begun.elapsed()),
            Update::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the engine ended".into())
}

async fn http(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    tokens: usize,
) -> Result<Duration, Failure> {
    let body = json!({
        "model": "demo",
        "messages": messages(),
        "max_tokens": tokens,
        "temperature": 0,
        "stream": true,
    });
    let body = body.to_string();
    let begun = Instant::now();
    let request = Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("content-type", "application/json");
    sender.ready().await?;
    let mut body = sender.send_request(request.body(Full::new(body.into()))?).await?.into_body();
    let mut done = false;
    while let Some(frame) = body.frame().await {
        done |=
            frame?.data_ref().is_some_and(|data| data.windows(6).any(|bytes| bytes == b"[DONE]"));
    }
    if done { Ok(begun.elapsed()) } else { Err("the stream was cut off".into()) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo"));
    let parts = Parts::load(&std::env::args_os().nth(1).map_or_else(default, PathBuf::from))?;
    let input = ChatInput {
        messages: messages().as_array().cloned().unwrap_or_default(),
        ..ChatInput::default()
    };
    let prompt = parts.prompter.tokenizer().encode(&parts.prompter.render(&input)?, false)?;
    let engine = parts.engine()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    stream.set_nodelay(true)?;
    tokio::spawn(serve(
        listener,
        Service::new(parts.engine()?, ServiceConfig::new("demo", DraftPolicy::default())),
        std::future::pending(),
    ));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);

    let mut differences = [Vec::new(), Vec::new()];
    for turn in 0..TURNS + 3 {
        for (tokens, differences) in LENGTHS.into_iter().zip(&mut differences) {
            let (bare, http) = if turn % 2 == 0 {
                let bare = bare(&engine, &prompt, tokens).await?;
                (bare, http(&mut sender, tokens).await?)
            } else {
                let http = http(&mut sender, tokens).await?;
                (bare(&engine, &prompt, tokens).await?, http)
            };
            // The first turns fill caches.
            if turn >= 3 {
                differences.push(http.as_secs_f64() - bare.as_secs_f64());
            }
        }
    }
    let [short, long] = differences.map(median);
    let tokens = (LENGTHS[1] - LENGTHS[0]) as f64;
    println!("prompt of {} tokens, {TURNS} turns", prompt.len());
    println!("a request: {:.3} ms over the bare engine (wanted: at most 1)", short * 1e3);
    println!(
        "a token:   {:.1} us over the bare engine (wanted: at most 50)",
        (long - short) / tokens * 1e6
    );
    Ok(())
}
