//! Models in several files, as `llama-gguf-split` cuts them: `NAME-00001-of-00003.gguf` has the
//! metadata, all have tensors.

use std::path::{Path, PathBuf};

use super::metadata::Metadata;
use crate::error::ModelError;

/// More files than any model is cut into.
const MAX_SHARDS: u64 = 10_000;

/// The files that go on where the first one ends.
pub(super) fn others(first: &Path, metadata: &Metadata) -> Result<Vec<PathBuf>, ModelError> {
    let count = metadata.count("split.count")?.unwrap_or(1);
    if count <= 1 {
        return Ok(Vec::new());
    }
    let number = metadata.count("split.no")?.unwrap_or(0);
    if number != 0 || count > MAX_SHARDS {
        return Err(ModelError::Unsupported {
            what: format!(
                "beginning with part {} of {count} of a GGUF file",
                number.saturating_add(1)
            ),
            mend: "give the first part, whose name ends in -00001-of-...",
        });
    }
    let suffix = |number: u64| format!("-{number:05}-of-{count:05}.gguf");
    let name = first
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(suffix(1).as_str()));
    let name = name.ok_or_else(|| {
        metadata.bad(format!(
            "it is the first of {count} parts, but its name does not end in {}",
            suffix(1)
        ))
    })?;
    let paths: Vec<PathBuf> = (2..=count)
        .map(|number| first.with_file_name(format!("{name}{}", suffix(number))))
        .collect();
    match paths.iter().find(|path| !path.exists()) {
        None => Ok(paths),
        Some(missing) => Err(ModelError::MissingFile {
            file: missing.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            place: first.parent().unwrap_or(first).display().to_string(),
            mend: "download all parts of the model into one folder",
        }),
    }
}
