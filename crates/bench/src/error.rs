//! Errors of the bench.

use std::{io, path::PathBuf};

use tricorn_device::DeviceError;
use tricorn_model::ModelError;
use tricorn_text::TextError;

use tricorn_netem::LinkError;

/// What ends a whole run; a single request that fails is counted instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// Files or computing.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer or the chat template refuses a text.
    #[error(transparent)]
    Tokens(#[from] TextError),
    /// The device's side.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An emulated link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The reference needs the whole model.
    #[error("a bundle holds a part of the model only; give the whole model's folder, or `demo`")]
    Bundle,
    /// A name that nothing has.
    #[error("there is no {what} `{name}`; known are {known}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// What it was called.
        name: String,
        /// Names that would do.
        known: String,
    },
    /// A drafter that a mode needs is not there.
    #[error(
        "mode {mode} needs the drafter `{drafter}`, which is not beside the model; leave the mode \
         out or train it with `tricorn distill`"
    )]
    NoDrafter {
        /// The mode.
        mode: String,
        /// The drafter's kind.
        drafter: String,
    },
    /// A number that makes no sense.
    #[error("{what} is {value}; use {instead}")]
    Setting {
        /// What is set.
        what: &'static str,
        /// What it was set to.
        value: String,
        /// What would do.
        instead: String,
    },
    /// No room for the text.
    #[error("--max-new is {asked}, the model's context leaves room for 1 to {most}")]
    MaxNew {
        /// What was asked for.
        asked: usize,
        /// What would leave room for a prompt of one token.
        most: usize,
    },
    /// A user's prompt that cannot be used.
    #[error("the prompt in line {line} cannot be used ({reason}); mend or shorten it")]
    Prompt {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A line of a text that cannot be used.
    #[error(
        "line {line} cannot be used ({reason}); write one JSON object with `prompt` and \
         `response` a line, or plain text in a .txt file"
    )]
    Text {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Nothing to predict.
    #[error("{} has no two tokens in a row; give a longer text", file.display())]
    NoText {
        /// Which.
        file: PathBuf,
    },
    /// A file cannot be read.
    #[error(
        "cannot read {}: {source}; see that the path is right and that this user may read it",
        file.display()
    )]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; choose another --out", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A cloud's process does not start.
    #[error("the cloud did not start ({reason}); run `{command}` to see why")]
    Cloud {
        /// What is known.
        reason: String,
        /// The command line.
        command: String,
    },
    /// llama.cpp is not there.
    #[error(
        "`{python}` has no llama-cpp-python ({reason}); `pip install llama-cpp-python`, or name a \
         Python that has it with --python"
    )]
    NoPeer {
        /// The program.
        python: String,
        /// What is missing.
        reason: String,
    },
    /// llama.cpp reads GGUF files alone.
    #[error(
        "llama.cpp reads GGUF files, and {} is none; give a .gguf file, or leave --peer out",
        model.display()
    )]
    PeerFormat {
        /// What was to be read.
        model: PathBuf,
    },
    /// llama.cpp fails.
    #[error("llama.cpp failed ({0}); measure without --peer")]
    Peer(String),
    /// Threads or sockets.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}
