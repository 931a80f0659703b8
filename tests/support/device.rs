//! A device in the test's own process, over the library that the binary uses.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::runtime::Runtime;
use tricorn_core::{ChunkPolicy, DraftPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{
    Conversation, DeviceParts, Drafting, Event, LocalTransport, Options, Prompter, RemoteConfig,
    RemoteTransport, Transport, Turn, TurnReport, transport::Backoff,
};
use tricorn_model::{MiddlePart, ModelSource};
use tricorn_text::template::Message;

use super::split;

pub(crate) type Local<'e> = Conversation<'e, LocalTransport>;
pub(crate) type Remote<'e> = Conversation<'e, RemoteTransport>;

/// Carries the connections of all tests of a binary.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    })
}

/// A model's device parts, and its middle for the reference.
pub(crate) struct Device {
    pub(crate) source: Arc<ModelSource>,
    pub(crate) parts: DeviceParts,
    pub(crate) prompter: Prompter,
    pub(crate) middle: Arc<MiddlePart>,
}

impl Device {
    /// With the drafter beside the model, where there is one.
    pub(crate) fn load(model: &Path, cut: &str, codec: HiddenCodec) -> Self {
        let source = Arc::new(ModelSource::open(model).unwrap());
        Self {
            parts: DeviceParts::load(&source, split(cut), codec, Drafting::Best).unwrap(),
            prompter: Prompter::load(&source).unwrap(),
            middle: Arc::new(MiddlePart::load(&source, split(cut)).unwrap()),
            source,
        }
    }

    /// A new conversation with the middle in this process.
    pub(crate) fn local(&self) -> Local<'_> {
        Conversation::open(&self.parts, self.local_transport()).unwrap()
    }

    pub(crate) fn local_transport(&self) -> LocalTransport {
        LocalTransport::new(Arc::clone(&self.middle), self.parts.context, self.parts.codec)
    }

    /// A new conversation with a cloud. The deadline is long: no test but the one about it may
    /// depend on it.
    pub(crate) fn remote(&self, url: &str) -> Remote<'_> {
        self.remote_with(url, Duration::from_secs(30))
    }

    pub(crate) fn remote_with(&self, url: &str, deadline: Duration) -> Remote<'_> {
        self.remote_after(url, deadline, 4)
    }

    /// One that tries again so many times, within 20 ms each.
    pub(crate) fn remote_after(&self, url: &str, deadline: Duration, retries: usize) -> Remote<'_> {
        Conversation::open(&self.parts, self.transport(url, deadline, retries)).unwrap()
    }

    pub(crate) fn remote_opened(&self, url: &str, options: Options) -> Remote<'_> {
        Conversation::open_with(
            &self.parts,
            self.transport(url, Duration::from_secs(30), 4),
            options,
        )
        .unwrap()
    }

    fn transport(&self, url: &str, deadline: Duration, retries: usize) -> RemoteTransport {
        let backoff =
            Backoff { first: Duration::from_millis(5), most: Duration::from_millis(20), retries };
        let config = RemoteConfig { deadline, backoff, ..RemoteConfig::new(url) };
        RemoteTransport::new(config, &self.parts, runtime().handle().clone())
    }

    /// The tokens of a chat of one message.
    pub(crate) fn prompt(&self, text: &str) -> Vec<u32> {
        self.prompter.chat(&[Message::new("user", text)]).unwrap()
    }

    /// The text of a reply, as the binary prints it.
    pub(crate) fn text(&self, prompt: &[u32], reply: &[u32]) -> String {
        let mut text = self.prompter.reply(prompt, &self.parts.stop_tokens).unwrap();
        reply.iter().for_each(|&token| drop(text.push(token).unwrap()));
        text.finish().unwrap().1
    }

    /// What the model writes, by the plainest way there is: here, without drafts, the prompt as a
    /// whole.
    pub(crate) fn reference(&self, turn: &Turn) -> TurnReport {
        ask(
            &mut self.local(),
            Turn { draft: DraftPolicy::OFF, chunk: ChunkPolicy::Whole, ..turn.clone() },
        )
    }
}

/// A greedy turn without drafts.
pub(crate) fn greedy(tokens: Vec<u32>, max_new_tokens: usize) -> Turn {
    Turn {
        tokens,
        max_new_tokens,
        sampling: SamplingParams::greedy(),
        constraint: None,
        logprobs: None,
        draft: DraftPolicy::OFF,
        chunk: ChunkPolicy::Whole,
    }
}

/// A turn that nobody watches.
pub(crate) fn ask<L: Transport>(conversation: &mut Conversation<'_, L>, turn: Turn) -> TurnReport {
    conversation.turn(turn, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Does something at the `count`th token of a turn, once.
pub(crate) fn on_token(
    count: usize,
    mut act: impl FnMut(),
) -> impl FnMut(Event) -> ControlFlow<()> {
    let mut seen = 0;
    move |event| {
        if matches!(event, Event::Token { .. }) {
            seen += 1;
            if seen == count {
                act();
            }
        }
        ControlFlow::Continue(())
    }
}
