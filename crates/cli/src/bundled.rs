//! The model that is built into the program.

use crate::error::CliError;
use std::{path::Path, sync::Arc};
use tricorn_hub::{Hub, ModelName};
use tricorn_model::{ModelError, ModelSource, quant::Quant};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/", $name)),
        )),*]
    };
}

static FILES: &[(&str, &[u8])] = files![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "drafter-hat.json",
    "drafter-hat.safetensors",
    "drafter-fused.json",
    "drafter-fused.safetensors"
];

/// What `--model` calls it. A directory of this name is meant when the path says so: `./demo`.
pub(crate) const NAME: &str = "demo";

/// Opens a model directory, or the built-in model.
pub(crate) fn open(model: &Path) -> Result<Arc<ModelSource>, CliError> {
    open_quantised(model, None)
}

/// As [`open`], the weights to be held as `quant` says.
pub(crate) fn open_quantised(
    model: &Path,
    quant: Option<Quant>,
) -> Result<Arc<ModelSource>, CliError> {
    Ok(Arc::new(load(model)?.quantised(quant)?))
}

/// As [`open`], to be changed before it is shared.
pub(crate) fn load(model: &Path) -> Result<ModelSource, CliError> {
    if model == Path::new(NAME) {
        return Ok(ModelSource::from_static(FILES)?);
    }
    if let Some(name) = model.to_str().filter(|name| name.starts_with(ModelName::SCHEME)) {
        return Ok(ModelSource::open(&Hub::from_env().cached(&name.parse()?)?.path)?);
    }
    if !model.try_exists().unwrap_or(true) {
        return Err(CliError::NoModel(model.to_owned()));
    }
    ModelSource::open(model).map_err(|error| match error {
        // Without this file there is no model at all; without another the model is damaged.
        ModelError::MissingFile { file, .. } if file == "config.json" => {
            CliError::NoModel(model.to_owned())
        }
        ModelError::NotAModel(_) => CliError::NoModel(model.to_owned()),
        error => error.into(),
    })
}
