//! The demo model in this process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tricorn_core::{HiddenCodec, Split};
use tricorn_device::{
    DeviceParts, Drafting, Engine, EngineConfig, LocalTransport, Prompter, Transport,
};
use tricorn_model::{MiddlePart, ModelSource};

/// Device parts and middle of a model.
pub(crate) struct Model {
    parts: Arc<DeviceParts>,
    prompter: Arc<Prompter>,
    middle: Arc<MiddlePart>,
}

impl Model {
    fn load(folder: &Path) -> Self {
        let source = Arc::new(ModelSource::open(folder).unwrap());
        let split: Split = "2:0".parse().unwrap();
        Self {
            parts: Arc::new(
                DeviceParts::load(&source, split, HiddenCodec::F16, Drafting::Best).unwrap(),
            ),
            prompter: Arc::new(Prompter::load(&source).unwrap()),
            middle: Arc::new(MiddlePart::load(&source, split).unwrap()),
        }
    }

    pub(crate) fn parts(&self) -> &DeviceParts {
        &self.parts
    }

    /// The token of a text that is one token.
    pub(crate) fn token(&self, text: &str) -> u32 {
        match self.prompter.tokenizer().encode(text, false).unwrap()[..] {
            [token] => token,
            ref several => panic!("{text} is the tokens {several:?}"),
        }
    }

    pub(super) fn start(&self, config: EngineConfig) -> Engine {
        self.start_over(config, |transport| transport)
    }

    /// With a test's own link around the middle.
    pub(crate) fn start_over<L: Transport + 'static>(
        &self,
        config: EngineConfig,
        wrap: impl Fn(LocalTransport) -> L + Send + Sync + 'static,
    ) -> Engine {
        let (middle, context, codec) =
            (Arc::clone(&self.middle), self.parts.context, self.parts.codec);
        let transport = move || wrap(LocalTransport::new(Arc::clone(&middle), context, codec));
        Engine::start(Arc::clone(&self.parts), Arc::clone(&self.prompter), transport, config)
            .unwrap()
    }
}

/// The demo as it is: its template knows no tools.
pub(crate) fn demo() -> &'static Model {
    static DEMO: OnceLock<Model> = OnceLock::new();
    DEMO.get_or_init(|| Model::load(&folder()))
}

/// The demo with a template that has tools in the way of Hermes and Qwen.
pub(crate) fn with_tools() -> &'static Model {
    static TOOLS: OnceLock<Model> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let temp = tempfile::tempdir().unwrap();
        let copy = temp.path();
        for file in fs::read_dir(folder()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        fs::copy(clients().join("tools_template.jinja"), copy.join("chat_template.jinja")).unwrap();
        Model::load(copy)
    })
}

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo")
}

/// The tests with other people's clients, which share the template.
fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}
