//! Test parts: a service with the demo model, and generations that are over.

use super::envelope::Envelope;
use crate::{Service, ServiceConfig, request::Common};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tricorn_core::{DraftPolicy, FinishReason, HiddenCodec, SamplingOptions, Split, TurnStats};
use tricorn_device::{
    Drafting, Ends, Engine, EngineConfig, LocalLink, Prompter, TurnReport,
    engine::{Finish, Finished},
};
use tricorn_model::{MiddlePart, ModelSource};

/// The envelope of an answer of two choices, streamed or whole.
pub(super) fn envelope(prefix: &str, include_usage: bool) -> Envelope {
    let common = Common {
        n: 2,
        max_tokens: None,
        stop: Vec::new(),
        sampling: SamplingOptions::default(),
        stream: include_usage,
        include_usage,
        trace: false,
    };
    Envelope::new(&service(), prefix, &common, false)
}

/// A service that is asked for nothing.
fn service() -> Arc<Service> {
    static SERVICE: OnceLock<Arc<Service>> = OnceLock::new();
    let make = || {
        let source = Arc::new(
            ModelSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo"))
                .unwrap(),
        );
        let split: Split = "2:0".parse().unwrap();
        let ends = Arc::new(Ends::load(&source, split, HiddenCodec::F16, Drafting::Best).unwrap());
        let prompter = Arc::new(Prompter::load(&source).unwrap());
        let middle = Arc::new(MiddlePart::load(&source, split).unwrap());
        let (context, codec) = (ends.context, ends.codec);
        let link = move || LocalLink::new(Arc::clone(&middle), context, codec);
        let engine = Engine::start(
            ends,
            prompter,
            link,
            EngineConfig { slots: 1, ..EngineConfig::default() },
        )
        .unwrap();
        Arc::new(Service::new(engine, ServiceConfig::new("demo", DraftPolicy::default())))
    };
    Arc::clone(SERVICE.get_or_init(make))
}

/// A generation that ended so; `offline`: the device's drafter wrote of it alone.
pub(super) fn finished(finish: Finish, offline: bool) -> Finished {
    let report = TurnReport {
        token_ids: Vec::new(),
        finish: FinishReason::Stop,
        stats: TurnStats::default(),
        ttft: Duration::ZERO,
        gaps: Vec::new(),
        bytes_up: 0,
        bytes_down: 0,
        trace: Vec::new(),
        wire: Vec::new(),
        overruns: 0,
    };
    Finished { finish, report, prompt_tokens: 3, cached_tokens: 0, completion_tokens: 2, offline }
}
