//! The model that is built into the program.

use std::{path::Path, sync::Arc};
use tricorn_model::{ModelError, ModelSource};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/", $name)))),*]
    };
}

static FILES: &[(&str, &[u8])] =
    files!["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",];

/// What `--model` calls it. A directory of this name is meant when the path says so: `./demo`.
pub(crate) const NAME: &str = "demo";

/// Opens a model directory, or the built-in model.
pub(crate) fn open(model: &Path) -> Result<Arc<ModelSource>, ModelError> {
    let source = if model == Path::new(NAME) { ModelSource::from_static(FILES)? } else { ModelSource::open(model)? };
    Ok(Arc::new(source))
}
