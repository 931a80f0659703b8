//! Many clients on one device: each request ends once, chats keep what they computed, and who goes
//! away holds nothing.
#![cfg(unix)]

mod conversations;
mod endings;
mod offline;

use std::{
    path::Path,
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};

use crate::support::{Cloud, TempDir, fair_drafter, fixture, runtime, split, until};
use tricorn_core::{ChunkPolicy, DraftPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{
    DeviceError, DeviceParts, Drafting, Engine, EngineConfig, LocalTransport, Prompter,
    RemoteConfig, RemoteTransport, RoundTrace, TransportError,
    engine::{Finished, Generation, GenerationRequest, TextToken, Update},
    transport::Backoff,
};
use tricorn_model::{MiddlePart, ModelSource};

const CUT: &str = "1:0";

fn model() -> TempDir {
    fair_drafter(&fixture("llama"), CUT)
}

/// An engine, and what is left of its parts once it is gone.
struct Served {
    engine: Engine,
    parts: Weak<DeviceParts>,
}

/// An engine with the middle in this process.
fn local(model: &Path, config: EngineConfig) -> Served {
    let source = Arc::new(ModelSource::open(model).unwrap());
    let middle = Arc::new(MiddlePart::load(&source, split(CUT)).unwrap());
    start(&source, config, move |parts| {
        LocalTransport::new(Arc::clone(&middle), parts.context, parts.codec)
    })
}

/// An engine with a cloud that is tried twice, and waited for for as long as no test takes.
fn remote(model: &Path, url: &str, config: EngineConfig) -> Served {
    let backoff =
        Backoff { first: Duration::from_millis(5), most: Duration::from_millis(5), retries: 1 };
    let remote =
        RemoteConfig { deadline: Duration::from_secs(3600), backoff, ..RemoteConfig::new(url) };
    let source = Arc::new(ModelSource::open(model).unwrap());
    start(&source, config, move |parts| {
        RemoteTransport::new(remote.clone(), parts, runtime().handle().clone())
    })
}

fn start<L, F>(source: &Arc<ModelSource>, config: EngineConfig, transport: F) -> Served
where
    L: tricorn_device::Transport + 'static,
    F: Fn(&DeviceParts) -> L + Send + Sync + 'static,
{
    let parts =
        Arc::new(DeviceParts::load(source, split(CUT), HiddenCodec::F16z, Drafting::Best).unwrap());
    let prompter = Arc::new(Prompter::load(source).unwrap());
    let left = Arc::downgrade(&parts);
    let transport = {
        let parts = Weak::clone(&left);
        move || transport(&parts.upgrade().unwrap())
    };
    Served { engine: Engine::start(parts, prompter, transport, config).unwrap(), parts: left }
}

impl Served {
    fn submit(&self, request: GenerationRequest) -> Generation {
        self.engine.submit(request).unwrap()
    }

    fn ask(&self, request: GenerationRequest) -> Answer {
        runtime().block_on(read(self.submit(request)))
    }

    /// Waits until nothing runs, and checks that every request has ended once.
    fn settled(&self, submitted: u64) {
        until("every request has ended", || {
            let figures = self.engine.figures();
            (figures.running == 0 && figures.waiting == 0).then_some(())
        });
        let figures = self.engine.figures();
        assert_eq!(figures.done + figures.failed + figures.cancelled, submitted, "{figures:?}");
    }

    /// Drops the engine, and waits until its threads have ended and given back what they held.
    fn end(self) {
        let Self { engine, parts } = self;
        drop(engine);
        until("the slots' threads have ended", || (parts.strong_count() == 0).then_some(()));
    }
}

/// All that a client read.
#[derive(Debug, Default)]
struct Answer {
    text: String,
    tokens: Vec<TextToken>,
    queued: bool,
    offline: bool,
    rounds: usize,
    last_round: Option<RoundTrace>,
    end: Option<Result<Box<Finished>, DeviceError>>,
}

impl Answer {
    fn done(&self) -> &Finished {
        self.end.as_ref().unwrap().as_ref().unwrap()
    }

    fn failed(&self) -> &DeviceError {
        self.end.as_ref().unwrap().as_ref().unwrap_err()
    }

    fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

async fn read(mut generation: Generation) -> Answer {
    let mut answer = Answer::default();
    while let Some(update) = generation.next().await {
        assert!(answer.end.is_none(), "{update:?} after the end");
        match update {
            Update::Queued => answer.queued = true,
            Update::Prefilled { .. } => assert!(answer.tokens.is_empty()),
            Update::Delta { text, tokens } => {
                answer.text.push_str(&text);
                answer.tokens.extend(tokens);
            }
            Update::Round(round) => {
                answer.rounds += 1;
                answer.last_round = Some(round);
            }
            Update::Reconnecting => {}
            Update::Offline => answer.offline = true,
            Update::Done(finished) => answer.end = Some(Ok(finished)),
            Update::Failed(error) => answer.end = Some(Err(error)),
        }
    }
    answer
}

fn request(prompt: Vec<u32>, max_new_tokens: usize) -> GenerationRequest {
    GenerationRequest {
        prompt,
        max_new_tokens,
        sampling: SamplingParams::greedy(),
        grammar: None,
        logprobs: None,
        stop: Vec::new(),
        draft: DraftPolicy::up_to(4, 0.0),
        chunk: ChunkPolicy::Fixed(16),
        trace: false,
        deadline: None,
        group: None,
    }
}

fn user(text: &str) -> String {
    format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")
}

/// The tokens of a text as a chat template writes it.
fn tokens(text: &str) -> Vec<u32> {
    static PROMPTER: LazyLock<Prompter> =
        LazyLock::new(|| Prompter::load(&ModelSource::open(&fixture("llama")).unwrap()).unwrap());
    PROMPTER.special(text).unwrap()
}

fn rendered(text: &str, max_new_tokens: usize) -> GenerationRequest {
    request(tokens(text), max_new_tokens)
}

/// A cloud that has stopped answering, with a request that waits for it.
fn frozen(model: &Path, config: EngineConfig) -> (Cloud, Served, Generation) {
    let cloud = Cloud::start(model, CUT);
    let served = remote(model, &cloud.url(), config);
    // The session is open by now; with the cloud stopped, nothing but the engine ends what follows.
    served.ask(rendered(&user("hi"), 2)).done();
    cloud.freeze();
    let stuck = served.submit(rendered(&user("hi"), 8));
    until("it runs", || (served.engine.figures().running == 1).then_some(()));
    (cloud, served, stuck)
}
