//! Envelope of an answer: the fields that its objects share, whole or in chunks.

use super::{
    trace::{Progress, Summary, Told},
    usage::Usage,
};
use crate::{Service, choices::Choice, identity, request::Common};
use serde::Serialize;
use std::sync::Arc;
use tricorn_device::{Prompter, RoundTrace, engine::TextToken};

/// The parts that all objects of one answer share.
#[derive(Debug)]
pub(crate) struct Envelope {
    service: Arc<Service>,
    id: String,
    created: u64,
    /// Choices for each prompt.
    pub(super) n: usize,
    /// Whether log-probabilities are told.
    pub(super) logprobs: bool,
    /// Whether what goes over the wire is told.
    pub(super) trace: bool,
    /// Whether a stream's last chunk tells the usage; those before it have null then.
    pub(super) include_usage: bool,
}

/// An object as clients read it.
#[derive(Debug, Serialize)]
struct Object<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: &'a [C],
    /// In a stream, null but in the last chunk, and absent where it is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tricorn: Option<Told<'a>>,
}

impl Envelope {
    /// The envelope of a new answer, whose id begins with `prefix`.
    pub(crate) fn new(
        service: &Arc<Service>,
        prefix: &str,
        common: &Common,
        logprobs: bool,
    ) -> Self {
        Self {
            service: Arc::clone(service),
            id: identity::id(prefix),
            created: identity::now(),
            n: common.n,
            logprobs,
            trace: common.trace,
            include_usage: common.include_usage,
        }
    }

    pub(super) fn prompter(&self) -> &Prompter {
        self.service.engine.prompter()
    }

    /// The figures that go with a chunk's tokens, where they are asked for.
    pub(super) fn progress<'a>(
        &self,
        tokens: &'a [TextToken],
        round: Option<&RoundTrace>,
    ) -> Option<Told<'a>> {
        self.trace.then(|| Told::Progress(Progress::of(tokens, round)))
    }

    /// The whole answer as JSON. `written` are the `choices` as clients read them.
    pub(super) fn whole<C: Serialize>(
        &self,
        object: &'static str,
        choices: &[Choice],
        written: &[C],
    ) -> String {
        let mut usage = Usage::default();
        for (index, choice) in choices.iter().enumerate() {
            usage.add(index, self.n, &choice.finished);
        }
        let summary = Summary::of_all(choices, self.trace);
        self.object(object, written, Some(Some(usage)), summary.map(Told::Summary))
    }

    /// A chunk of one choice as JSON.
    pub(super) fn chunk<C: Serialize>(
        &self,
        object: &'static str,
        choice: C,
        tricorn: Option<Told<'_>>,
    ) -> String {
        self.object(object, &[choice], self.include_usage.then_some(None), tricorn)
    }

    /// The last chunk as JSON, which has no choices and tells the usage.
    pub(super) fn usage_chunk(
        &self,
        object: &'static str,
        usage: Usage,
        summary: Option<Summary>,
    ) -> String {
        self.object::<()>(object, &[], Some(Some(usage)), summary.map(Told::Summary))
    }

    fn object<C: Serialize>(
        &self,
        object: &'static str,
        choices: &[C],
        usage: Option<Option<Usage>>,
        tricorn: Option<Told<'_>>,
    ) -> String {
        let object = Object {
            id: &self.id,
            object,
            created: self.created,
            model: &self.service.config.model,
            system_fingerprint: &self.service.fingerprint,
            choices,
            usage,
            tricorn,
        };
        // Only a key that is no text can fail, and none of our objects has one.
        serde_json::to_string(&object).unwrap_or_default()
    }
}
