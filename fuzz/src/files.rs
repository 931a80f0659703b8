//! Files of models: written by a target, read as a program reads them.

use crate::assert_one_line;
use std::{
    fs,
    path::{Path, PathBuf},
    process,
};
use tricorn_model::{ModelError, ModelSource};

/// An empty folder of this process, in memory where the system has such a place.
pub fn folder(name: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("tricorn-fuzz-{name}-{}", process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// Everything that reads a model's files without computing.
pub fn read(path: &Path) {
    if let Err(error) = read_all(path) {
        assert_one_line(&error);
    }
}

fn read_all(path: &Path) -> Result<(), ModelError> {
    let source = ModelSource::open(path)?;
    source.fingerprint()?;
    source.template()?;
    for (name, info) in source.weights().iter() {
        source.weights().f32(name, &info.shape)?;
    }
    source.tokenizer()?.encode("Once upon a time", true)?;
    Ok(())
}
