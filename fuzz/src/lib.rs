//! Parts that the fuzz targets share.

use std::{fs, path::PathBuf, process};

use tricorn_model::{ModelError, ModelSource};

/// An empty folder of this process, in memory where the system has such a place.
pub fn folder(name: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("tricorn-fuzz-{name}-{}", process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// Everything that reads a model's files without computing; whatever is wrong must be one line.
pub fn read(path: &std::path::Path) {
    if let Err(error) = read_all(path) {
        let message = error.to_string();
        assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
    }
}

fn read_all(path: &std::path::Path) -> Result<(), ModelError> {
    let source = ModelSource::open(path)?;
    source.fingerprint()?;
    source.template()?;
    for (name, info) in source.weights().iter() {
        source.weights().f32(name, &info.shape)?;
    }
    source.tokenizer()?.encode("Once upon a time", true)?;
    Ok(())
}
