//! Checkpoint of a run: one safetensors file, replaced as a whole.

use std::{collections::HashMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tricorn_grad::AdamW;
use tricorn_model::{DrafterKind, ModelConfig};

use crate::{
    error::TrainError,
    history::History,
    student::{
        export::{safetensors, view, write_atomically},
        tensors::Tensors,
    },
};

/// The name of the checkpoint in the output directory.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

const HEADER: &str = "tricorn_distill";

/// Settings and inputs of a run; a checkpoint only continues the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunIdentity {
    pub(crate) kind: DrafterKind,
    pub(crate) unroll: usize,
    pub(crate) fingerprint: String,
    pub(crate) split: String,
    pub(crate) data_bytes: u64,
    pub(crate) examples: usize,
    pub(crate) seed: u64,
    pub(crate) batch_tokens: usize,
    pub(crate) context: usize,
    #[serde(default)]
    pub(crate) earlier_tokens: usize,
    pub(crate) own_text: f64,
    pub(crate) own_text_tokens: usize,
}

impl RunIdentity {
    /// The first property in which `found` differs, with its two values.
    fn difference(&self, found: &Self) -> Option<(&'static str, String, String)> {
        let pairs = [
            ("kind", found.kind.to_string(), self.kind.to_string()),
            ("unrolled steps", found.unroll.to_string(), self.unroll.to_string()),
            ("model", found.fingerprint.clone(), self.fingerprint.clone()),
            ("split", found.split.clone(), self.split.clone()),
            ("data of bytes", found.data_bytes.to_string(), self.data_bytes.to_string()),
            ("examples", found.examples.to_string(), self.examples.to_string()),
            ("seed", found.seed.to_string(), self.seed.to_string()),
            ("batch tokens", found.batch_tokens.to_string(), self.batch_tokens.to_string()),
            ("context", found.context.to_string(), self.context.to_string()),
            ("earlier tokens", found.earlier_tokens.to_string(), self.earlier_tokens.to_string()),
            ("own text", found.own_text.to_string(), self.own_text.to_string()),
            (
                "own-text tokens",
                found.own_text_tokens.to_string(),
                self.own_text_tokens.to_string(),
            ),
        ];
        pairs.into_iter().find(|(_, found, expected)| found != expected)
    }
}

/// Progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) step: u64,
    pub(crate) tokens: u64,
    /// Examples taken from the order, over all epochs.
    pub(crate) position: u64,
    pub(crate) skipped: u64,
    /// Seconds of training.
    pub(crate) seconds: f64,
    /// Trained tokens at which the next measurement is due.
    pub(crate) next_eval: u64,
    /// Sum and number of the losses since the last measurement.
    pub(crate) loss_sum: f64,
    pub(crate) loss_count: u64,
    pub(crate) history: History,
}

#[derive(Serialize, Deserialize)]
struct Header {
    identity: RunIdentity,
    progress: Progress,
}

/// Weights, first and second moments.
const PREFIXES: [&str; 3] = ["weights.", "first_moment.", "second_moment."];

/// Writes a checkpoint.
pub(crate) fn write(
    path: &Path,
    identity: &RunIdentity,
    progress: &Progress,
    config: &ModelConfig,
    weights: &Tensors,
    optimizer: &AdamW,
) -> Result<(), TrainError> {
    let mut stored: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let named = identity.kind.tensors(config).into_iter().zip(weights.all());
    for (((name, shape), weights), (_, first, second)) in named.zip(optimizer.moments()) {
        for (prefix, values) in PREFIXES.into_iter().zip([weights.as_slice(), first, second]) {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            stored.push((format!("{prefix}{name}"), shape.clone(), bytes));
        }
    }
    let tensors = stored
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((name.clone(), view(path, Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<_, TrainError>>()?;
    let header = Header { identity: identity.clone(), progress: progress.clone() };
    let header =
        serde_json::to_string(&header).map_err(|error| TrainError::write(path)(error.into()))?;
    write_atomically(
        path,
        &safetensors(path, tensors, Some(HashMap::from([(HEADER.to_owned(), header)])))?,
    )
}

/// A checkpoint as it was read.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) weights: Tensors,
    pub(crate) first: Tensors,
    pub(crate) second: Tensors,
}

/// Reads a checkpoint of the same run.
pub(crate) fn read(
    path: &Path,
    identity: &RunIdentity,
    config: &ModelConfig,
) -> Result<Checkpoint, TrainError> {
    let broken = |problem: String| TrainError::Checkpoint { path: path.to_owned(), problem };
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(TrainError::NoCheckpoint(path.to_owned()));
        }
        Err(error) => return Err(TrainError::read(path)(error)),
    };
    let (_, metadata) = SafeTensors::read_metadata(&content).map_err(|e| broken(e.to_string()))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|m| m.get(HEADER))
        .ok_or_else(|| broken("it has no state".to_owned()))?;
    let Header { identity: found, progress } =
        serde_json::from_str(header).map_err(|e| broken(e.to_string()))?;
    if let Some((what, found, expected)) = identity.difference(&found) {
        return Err(TrainError::OtherRun { path: path.to_owned(), what, found, expected });
    }
    let stored = SafeTensors::deserialize(&content).map_err(|e| broken(e.to_string()))?;
    let read = |prefix: &str| {
        let mut tensors = Tensors::zero(identity.kind, config);
        for ((name, shape), values) in
            identity.kind.tensors(config).into_iter().zip(tensors.all_mut())
        {
            let name = format!("{prefix}{name}");
            let tensor = stored.tensor(&name).map_err(|e| broken(e.to_string()))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                return Err(broken(format!("tensor {name} has the wrong shape or format")));
            }
            *values = tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        }
        Ok(tensors)
    };
    let [weights, first, second] = PREFIXES;
    Ok(Checkpoint { progress, weights: read(weights)?, first: read(first)?, second: read(second)? })
}
