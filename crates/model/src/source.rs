//! The source of a model's files: a directory in the Hugging Face layout, a GGUF file, a bundle, or
//! bytes built into the program.

mod fingerprint;
mod linear;
mod quantised;
mod resident;
mod tensors;

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tricorn_core::{Fingerprint, Split};
use tricorn_text::{ChatTemplate, TextTokenizer};

pub(crate) use linear::packed_name;
pub(crate) use resident::resident;
pub use tensors::TensorSize;

use crate::{
    bundle_part::BundlePart,
    compute_device::{ComputeDevice, accelerator::Accelerator},
    config::{CONFIG, ModelConfig},
    error::ModelError,
    formats::{
        bundle::{
            Bundle, MANIFEST_FILE, Manifest,
            manifest::Packed,
            panels::{PANELS_FILE, Panels},
        },
        gguf,
        gguf::Gguf,
        hf,
        hf::SINGLE_FILE,
    },
    quant::Quant,
    weights::Weights,
};

const MEND_DIRECTORY: &str = "download the whole model (`hf download OWNER/MODEL --local-dir DIR`)";

/// A model's files, with its configuration and the headers of its weights read.
#[derive(Debug)]
pub struct ModelSource {
    files: Files,
    config: ModelConfig,
    weights: Weights,
    bundle: Option<Bundle>,
    fingerprint: OnceLock<Fingerprint>,
    panels: Option<Panels>,
    /// What packed weights are said to be.
    packed_as: Option<String>,
    quant: Option<Quant>,
    accelerator: Option<Accelerator>,
}

#[derive(Debug)]
enum Files {
    Directory(PathBuf),
    Gguf(PathBuf),
    Static(&'static [(&'static str, &'static [u8])]),
}

impl ModelSource {
    /// Opens a model directory, a bundle made by `tricorn pack`, or a GGUF file. Reads the small
    /// files; of the weights only the headers.
    ///
    /// # Errors
    /// When a file is missing or broken, or the model is of a kind that is not supported.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let io = |source| ModelError::Io { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(io)?;
        if metadata.is_dir() {
            return Self::load(Files::Directory(path.to_owned()), |_| hf::open_dir(path));
        }
        let named_gguf =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        // Not even opened when it is no file: a pipe would wait.
        if !metadata.is_file() || !named_gguf && !gguf::is_gguf(path).map_err(io)? {
            return Err(ModelError::NotAModel(path.to_owned()));
        }
        let (gguf, weights) = Gguf::open(path)?;
        let config = gguf.file("config.json", &weights)?.unwrap_or_default();
        let generation = gguf.file("generation_config.json", &weights)?;
        let config = ModelConfig::parse(gguf::METADATA, &config, generation.as_deref())?;
        Self::new(Files::Gguf(path.to_owned()), config, |_| Ok(weights))
    }

    /// A model that is built into the program, as pairs of file name and content.
    ///
    /// # Errors
    /// As [`ModelSource::open`].
    pub fn from_static(
        files: &'static [(&'static str, &'static [u8])],
    ) -> Result<Self, ModelError> {
        Self::load(Files::Static(files), |files| match files.lookup_static(SINGLE_FILE) {
            Some(bytes) => hf::open_static(SINGLE_FILE, bytes),
            None => Err(files.missing(SINGLE_FILE)),
        })
    }

    fn load(
        files: Files,
        weights: impl FnOnce(&Files) -> Result<Weights, ModelError>,
    ) -> Result<Self, ModelError> {
        let config = files.read(CONFIG)?.ok_or_else(|| files.missing(CONFIG))?;
        let config =
            ModelConfig::parse(CONFIG, &config, files.read("generation_config.json")?.as_deref())?;
        let manifest =
            files.read(MANIFEST_FILE)?.map(|manifest| Manifest::parse(&manifest)).transpose()?;
        if let Some(Bundle { split, .. }) = manifest.as_ref().and_then(|manifest| manifest.bundle) {
            split.ranges(config.layers)?;
        }
        let mut source = Self::new(files, config, weights)?;
        if let Some(Manifest { bundle, fingerprint, packed }) = manifest {
            source.bundle = bundle;
            source.fingerprint = OnceLock::from(fingerprint);
            source.panels = packed.as_ref().map(|packed| source.open_panels(packed)).transpose()?;
            source.packed_as = packed.and_then(|packed| packed.weights);
        }
        Ok(source)
    }

    fn new(
        files: Files,
        config: ModelConfig,
        weights: impl FnOnce(&Files) -> Result<Weights, ModelError>,
    ) -> Result<Self, ModelError> {
        let weights = weights(&files)?;
        Ok(Self {
            files,
            config,
            weights,
            bundle: None,
            fingerprint: OnceLock::new(),
            panels: None,
            packed_as: None,
            quant: None,
            accelerator: None,
        })
    }

    /// What a manifest says is packed.
    fn open_panels(&mut self, packed: &Packed) -> Result<Panels, ModelError> {
        for (name, matrix) in &packed.rows {
            self.weights.take_as(name, matrix.dtype, [matrix.outputs, matrix.inputs])?;
        }
        match &self.files {
            Files::Directory(dir) => Panels::open(dir, packed),
            Files::Gguf(_) | Files::Static(_) => Err(self.files.missing(PANELS_FILE)),
        }
    }

    /// The same model, its layers and head computed on `device`: parts that are loaded from here
    /// hold their weights there.
    ///
    /// # Errors
    /// When the program was built without what the device needs, the machine has none, or the
    /// weights were packed for the processor.
    pub fn on(self, device: ComputeDevice) -> Result<Self, ModelError> {
        if device != ComputeDevice::Cpu && self.is_packed() {
            return Err(ModelError::Unsupported {
                what: format!("computing packed weights on {device}"),
                mend: "give the model that they were packed from, or use --device cpu",
            });
        }
        Ok(Self { accelerator: Accelerator::open(device)?, ..self })
    }

    /// What computes the layers and the head.
    #[must_use]
    pub fn device(&self) -> ComputeDevice {
        self.accelerator.as_ref().map_or(ComputeDevice::Cpu, Accelerator::device)
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What identifies the model: a digest of the architecture and of a sample of every tensor, so
    /// that computing it reads little.
    ///
    /// A bundle states the fingerprint of the model it was cut from. Drafter, tokenizer and
    /// template have no influence.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint, ModelError> {
        match self.fingerprint.get() {
            Some(fingerprint) => Ok(*fingerprint),
            None => {
                let computed = fingerprint::compute(&self.config, &self.weights)?;
                Ok(*self.fingerprint.get_or_init(|| computed))
            }
        }
    }

    /// The tensors.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    pub(crate) fn accelerator(&self) -> Option<&Accelerator> {
        self.accelerator.as_ref()
    }

    /// Present when this is one part of a model, made by `tricorn pack`.
    #[must_use]
    pub fn bundle(&self) -> Option<&Bundle> {
        self.bundle.as_ref()
    }

    /// Checks that `part` of the model cut at `split` can be loaded from here: whole models serve
    /// every part, bundles one.
    ///
    /// # Errors
    /// When this is a bundle of the other part or for another split.
    pub fn expect_part(&self, part: BundlePart, split: Split) -> Result<(), ModelError> {
        match &self.bundle {
            Some(bundle) if bundle.part != part || bundle.split != split => {
                Err(ModelError::WrongBundle {
                    part: bundle.part,
                    split: bundle.split,
                    wanted: part,
                    wanted_split: split,
                })
            }
            _ => Ok(()),
        }
    }

    /// The tokenizer of `tokenizer.json` or of the GGUF file, checked against the model's
    /// vocabulary.
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

    /// The chat template of `chat_template.jinja`, `tokenizer_config.json` or the GGUF file; `None`
    /// for models that have none.
    ///
    /// # Errors
    /// When a file cannot be read or the template cannot be parsed.
    pub fn template(&self) -> Result<Option<ChatTemplate>, ModelError> {
        Ok(ChatTemplate::from_files(
            self.files.read("tokenizer_config.json")?.as_deref(),
            self.files.read("chat_template.jinja")?.as_deref(),
        )?)
    }

    /// The content of any other file of the model, by plain name; `None` when there is none. A GGUF
    /// file's metadata is given as the files of the Hugging Face layout.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn file(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        self.files.read(name)
    }

    /// The tensors of another safetensors file beside the model, such as a drafter; `None` when
    /// there is none.
    ///
    /// # Errors
    /// When the file exists and is truncated or corrupt.
    pub fn side_weights(&self, name: &str) -> Result<Option<Weights>, ModelError> {
        match &self.files {
            Files::Directory(_) | Files::Gguf(_) => {
                self.files.beside(name).map(|path| hf::open_file(&path)).transpose()
            }
            Files::Static(_) => {
                self.files.lookup_static(name).map(|bytes| hf::open_static(name, bytes)).transpose()
            }
        }
    }
}

impl Files {
    fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        if let Self::Static(_) = self {
            return Ok(self.lookup_static(name).map(Cow::Borrowed));
        }
        if let Self::Gguf(path) = self
            && gguf::FILES.contains(&name)
        {
            // Read again rather than kept: a vocabulary takes tens of megabytes, and few need it.
            let (gguf, weights) = Gguf::open(path)?;
            return Ok(gguf.file(name, &weights)?.map(Cow::Owned));
        }
        match self.beside(name) {
            Some(path) => fs::read(&path)
                .map(|bytes| Some(Cow::Owned(bytes)))
                .map_err(|source| ModelError::Io { path, source }),
            None => Ok(None),
        }
    }

    /// The path of a file in the model's directory. Beside a GGUF file only drafters are looked
    /// for: `model.drafter-hat.json` belongs to `model.gguf`, and `drafter-hat.json` to whichever
    /// it was trained for.
    fn beside(&self, name: &str) -> Option<PathBuf> {
        let path = match self {
            Self::Directory(dir) => dir.join(name),
            Self::Gguf(_) if !name.starts_with("drafter-") => return None,
            Self::Gguf(file) => match file.with_extension(name) {
                own if own.exists() => own,
                _ => file.with_file_name(name),
            },
            Self::Static(_) => return None,
        };
        path.exists().then_some(path)
    }

    fn lookup_static(&self, name: &str) -> Option<&'static [u8]> {
        match self {
            Self::Static(files) => {
                files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes)
            }
            Self::Directory(_) | Self::Gguf(_) => None,
        }
    }

    fn missing(&self, file: &str) -> ModelError {
        let place = match self {
            Self::Directory(path) | Self::Gguf(path) => path.display().to_string(),
            Self::Static(_) => "the built-in model".to_owned(),
        };
        ModelError::MissingFile { file: file.to_owned(), place, mend: MEND_DIRECTORY }
    }
}
