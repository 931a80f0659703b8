//! GGUF files (version 2 and 3): one file that holds a model's weights, configuration, tokenizer
//! and chat template (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
//!
//! A GGUF file is read as if it were a directory in the Hugging Face layout: its tensors get their
//! names there, and its metadata becomes the small JSON files ([`Gguf::file`]), so that everything
//! behind is the same for both. The parser is our own because a header is hostile input: the
//! libraries at hand allocate by the lengths it announces, or bring a tensor framework along.

mod config;
mod header;
mod metadata;
mod names;
mod shards;
mod tokenizer;

use std::{io, io::Read, path::Path};

use crate::{
    error::ModelError,
    weights::{Weights, storage::Storage},
};
use header::Header;
use metadata::Metadata;
use names::Architecture;

/// The first bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// The files of the Hugging Face layout that the metadata becomes.
pub(crate) const FILES: [&str; 4] =
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];

/// What errors call the origin of values in [`Gguf::file`].
pub(crate) const METADATA: &str = "GGUF metadata";

/// Whether a file begins as GGUF files do, whatever its name.
pub(crate) fn is_gguf(path: &Path) -> io::Result<bool> {
    let mut start = Vec::with_capacity(MAGIC.len());
    std::fs::File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// What a GGUF file says of its model.
#[derive(Debug)]
pub(crate) struct Gguf {
    metadata: Metadata,
    architecture: Architecture,
}

impl Gguf {
    /// Opens a file, and those with the rest of its tensors: its metadata and its tensors under the
    /// names of Hugging Face transformers.
    pub(crate) fn open(path: &Path) -> Result<(Self, Weights), ModelError> {
        let storage = Storage::open(path)?;
        let Header { metadata, tensors } = header::read(&storage)?;
        let architecture = Architecture::of(&metadata)?;
        let mut weights = Weights::empty();
        weights.add(storage, names::translate(architecture, &metadata, tensors)?)?;
        for shard in shards::others(path, &metadata)? {
            let storage = Storage::open(&shard)?;
            let tensors = header::read(&storage)?.tensors;
            weights.add(storage, names::translate(architecture, &metadata, tensors)?)?;
        }
        Ok((Self { metadata, architecture }, weights))
    }

    /// The content of a file of the Hugging Face layout; `None` for names that are not among
    /// [`FILES`].
    pub(crate) fn file(
        &self,
        name: &str,
        weights: &Weights,
    ) -> Result<Option<Vec<u8>>, ModelError> {
        let json = match name {
            "config.json" => config::config(&self.metadata, self.architecture, weights)?,
            "generation_config.json" => config::generation(&self.metadata)?,
            "tokenizer.json" => tokenizer::tokenizer(&self.metadata)?,
            "tokenizer_config.json" => tokenizer::config(&self.metadata)?,
            _ => return Ok(None),
        };
        Ok(Some(json.to_string().into_bytes()))
    }
}
