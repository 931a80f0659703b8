//! Where a model's files come from: a directory in the Hugging Face layout, a bundle, or bytes built into the program.

mod bundle;
mod fingerprint;
mod linear;

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tricorn_core::{Fingerprint, Split};

pub use bundle::{Bundle, BundlePart, MANIFEST_FILE};

use crate::{
    config::ModelConfig,
    error::ModelError,
    template::ChatTemplate,
    tokenizer::TextTokenizer,
    weights::{SINGLE_FILE, Weights},
};

const MEND_DIRECTORY: &str = "download the whole model (`hf download OWNER/MODEL --local-dir DIR`)";

/// A model's files, with its configuration read and its weights mapped.
#[derive(Debug)]
pub struct ModelSource {
    files: Files,
    config: ModelConfig,
    weights: Weights,
    bundle: Option<Bundle>,
    fingerprint: OnceLock<Fingerprint>,
}

#[derive(Debug)]
enum Files {
    Directory(PathBuf),
    Static(&'static [(&'static str, &'static [u8])]),
}

impl ModelSource {
    /// Opens a model directory or a bundle made by `tricorn pack`. Reads the small files; of the weights only the headers.
    ///
    /// # Errors
    /// When a file is missing or broken, or the model is of a kind that is not supported.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        match fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(ModelError::NotADirectory(dir.to_owned())),
            Err(source) => return Err(ModelError::Io { path: dir.to_owned(), source }),
        }
        Self::load(Files::Directory(dir.to_owned()), |_| Weights::open(dir))
    }

    /// A model that is built into the program, as pairs of file name and content.
    ///
    /// # Errors
    /// As [`ModelSource::open`].
    pub fn from_static(files: &'static [(&'static str, &'static [u8])]) -> Result<Self, ModelError> {
        Self::load(Files::Static(files), |files| match files.lookup_static(SINGLE_FILE) {
            Some(bytes) => Weights::from_static(SINGLE_FILE, bytes),
            None => Err(files.missing(SINGLE_FILE)),
        })
    }

    fn load(files: Files, weights: impl FnOnce(&Files) -> Result<Weights, ModelError>) -> Result<Self, ModelError> {
        let config = files.read("config.json")?.ok_or_else(|| files.missing("config.json"))?;
        let config = ModelConfig::parse(&config, files.read("generation_config.json")?.as_deref())?;
        let (bundle, fingerprint) = match files.read(MANIFEST_FILE)? {
            Some(manifest) => {
                let (bundle, fingerprint) = Bundle::parse(&manifest)?;
                bundle.split.ranges(config.layers)?;
                (Some(bundle), OnceLock::from(fingerprint))
            }
            None => (None, OnceLock::new()),
        };
        let weights = weights(&files)?;
        Ok(Self { files, config, weights, bundle, fingerprint })
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What identifies the model: a digest of the architecture and of a sample of every tensor, so that computing it reads little.
    ///
    /// A bundle states the fingerprint of the model it was cut from. Drafter, tokenizer and template have no influence.
    pub fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.get_or_init(|| fingerprint::compute(&self.config, &self.weights))
    }

    /// The tensors.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Present when this is one part of a model, made by `tricorn pack`.
    #[must_use]
    pub fn bundle(&self) -> Option<&Bundle> {
        self.bundle.as_ref()
    }

    /// Checks that `part` of the model cut at `split` can be loaded from here: whole models serve every part, bundles one.
    ///
    /// # Errors
    /// When this is a bundle of the other part or for another split.
    pub fn expect_part(&self, part: BundlePart, split: Split) -> Result<(), ModelError> {
        match &self.bundle {
            Some(bundle) if bundle.part != part || bundle.split != split => {
                Err(ModelError::WrongBundle { part: bundle.part, split: bundle.split, wanted: part, wanted_split: split })
            }
            _ => Ok(()),
        }
    }

    /// The tokenizer of `tokenizer.json`, checked against the model's vocabulary.
    ///
    /// # Errors
    /// When the file is missing or broken, or belongs to a model with a larger vocabulary.
    pub fn tokenizer(&self) -> Result<TextTokenizer, ModelError> {
        let name = "tokenizer.json";
        let bytes = self.files.read(name)?.ok_or_else(|| self.files.missing(name))?;
        let tokenizer = TextTokenizer::from_bytes(&bytes)?;
        tokenizer.check(self.config.vocab)?;
        Ok(tokenizer)
    }

    /// The chat template of `chat_template.jinja` or `tokenizer_config.json`; `None` for models that have none.
    ///
    /// # Errors
    /// When a file cannot be read or the template cannot be parsed.
    pub fn template(&self) -> Result<Option<ChatTemplate>, ModelError> {
        ChatTemplate::from_files(self.files.read("tokenizer_config.json")?.as_deref(), self.files.read("chat_template.jinja")?.as_deref())
    }

    /// The content of any other file of the model, by plain name; `None` when there is none.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn file(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        self.files.read(name)
    }

    /// The tensors of another safetensors file beside the model, such as a drafter; `None` when there is none.
    ///
    /// # Errors
    /// When the file exists and is truncated or corrupt.
    pub fn side_weights(&self, name: &str) -> Result<Option<Weights>, ModelError> {
        match &self.files {
            Files::Directory(dir) if dir.join(name).exists() => Weights::open_file(&dir.join(name)).map(Some),
            Files::Directory(_) => Ok(None),
            Files::Static(_) => self.files.lookup_static(name).map(|bytes| Weights::from_static(name, bytes)).transpose(),
        }
    }
}

impl Files {
    fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        match self {
            Self::Directory(dir) => match fs::read(dir.join(name)) {
                Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(ModelError::Io { path: dir.join(name), source }),
            },
            Self::Static(_) => Ok(self.lookup_static(name).map(Cow::Borrowed)),
        }
    }

    fn lookup_static(&self, name: &str) -> Option<&'static [u8]> {
        match self {
            Self::Directory(_) => None,
            Self::Static(files) => files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes),
        }
    }

    fn missing(&self, file: &str) -> ModelError {
        let place = match self {
            Self::Directory(dir) => dir.display().to_string(),
            Self::Static(_) => "the built-in model".to_owned(),
        };
        ModelError::MissingFile { file: file.to_owned(), place, mend: MEND_DIRECTORY }
    }
}
