//! Errors of a pull from a hub.

use crate::ModelName;
use std::{path::PathBuf, time::Duration};

/// A pull that failed. What was downloaded stays, and the next pull goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub does not know the model, or not for this user.
    #[error(
        "{url} has no {name}, or it is not open to everybody; mend the name, or set HF_TOKEN to a \
         token that may read it"
    )]
    NotFound {
        /// What was asked for.
        name: ModelName,
        /// The hub.
        url: String,
    },
    /// The hub cannot be reached, or answers with an error.
    #[error(
        "{url} cannot be asked for {name} ({reason}); run the same command again to go on, or set \
         HF_ENDPOINT to another hub"
    )]
    Unreachable {
        /// What was asked for.
        name: ModelName,
        /// The hub.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Nothing came for too long.
    #[error(
        "nothing of {file} has come for {waited:?}; run the same command again to go on from there"
    )]
    Stalled {
        /// The file under way.
        file: String,
        /// How long.
        waited: Duration,
    },
    /// The repository holds nothing Tricorn can read.
    #[error(
        "{name} has neither model.safetensors nor a .gguf file; choose a repository in the \
         safetensors or GGUF format"
    )]
    NoModel {
        /// What was asked for.
        name: ModelName,
    },
    /// The file asked for is not there.
    #[error("{name} has no such file; it has {}", .files.join(", "))]
    NoFile {
        /// What was asked for.
        name: ModelName,
        /// The GGUF files that are there.
        files: Vec<String>,
    },
    /// A part of the model's file is not there.
    #[error(
        "{name} has no {file}, which is a part of the model; choose another file or repository"
    )]
    NoPart {
        /// What was asked for.
        name: ModelName,
        /// The part that is missing.
        file: String,
    },
    /// There are several GGUF files.
    #[error(
        "{name} has several models; add one of them, as in {name}:{first} ({})",
        .files.join(", "),
        first = .files.first().map_or("FILE.gguf", String::as_str)
    )]
    Several {
        /// What was asked for.
        name: ModelName,
        /// The GGUF files that are there.
        files: Vec<String>,
    },
    /// What the hub says of a file could write outside the cache, or is no checksum.
    #[error(
        "the hub describes {file} in a way that cannot be trusted ({problem}); check HF_ENDPOINT"
    )]
    Untrusted {
        /// The file.
        file: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The repository was changed while it was read.
    #[error("{name} was changed while it was pulled; run the same command again")]
    Changed {
        /// What was asked for.
        name: ModelName,
    },
    /// A file is not what the hub says it is.
    #[error("{file} does not have the hub's checksum and was removed; run the same command again")]
    Checksum {
        /// The file.
        file: String,
    },
    /// It is not in the cache, and the network is not to be used.
    #[error(
        "{name} is not in {}, and HF_HUB_OFFLINE forbids to fetch it; unset that and run \
         `tricorn pull {name}`",
        .cache.display()
    )]
    Offline {
        /// What was asked for.
        name: ModelName,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// It is not in the cache.
    #[error("{name} is not in {}; fetch it with `tricorn pull {name}`", .cache.display())]
    NotCached {
        /// What was asked for.
        name: ModelName,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// Another program writes the same file.
    #[error("another program is downloading {file}; wait for it and run the same command again")]
    Locked {
        /// The file.
        file: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: {error}; make room there or set HF_HOME to another folder", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}
