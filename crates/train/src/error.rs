//! Errors of a training run.

use std::{io, path::PathBuf};

use tricorn_grad::GradError;
use tricorn_model::ModelError;
use tricorn_text::TextError;

/// Why a drafter could not be trained. Each message is one line and ends with the mend where there
/// is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting makes no sense.
    #[error("{setting} {problem}")]
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it, with the value found and the mend.
        problem: String,
    },
    /// It was told to stop before there was anything to tell.
    #[error(
        "stopped before the drafter was measured; let it end, or ask for less with --eval-prompts \
         and --eval-tokens"
    )]
    Stopped,
    /// The operating system refused a file.
    #[error(
        "cannot {action} {}: {source}; see that the path is right and that this user may \
         {action} it",
        path.display()
    )]
    Io {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line of a JSONL file is not an example.
    #[error(
        "{}, line {line}: {problem}; every line must be a JSON object with the texts `prompt` \
         and `response`",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A file holds no example, or none that can be used.
    #[error("{} has no usable example: {problem}", path.display())]
    NoExamples {
        /// The file.
        path: PathBuf,
        /// Why, with the mend.
        problem: String,
    },
    /// There is nothing to resume from.
    #[error(
        "{} has no checkpoint to resume from; run without --resume to start anew",
        .0.display()
    )]
    NoCheckpoint(PathBuf),
    /// A new run would destroy an old one.
    #[error(
        "{} is the checkpoint of another run; go on with it by --resume, delete it, or choose \
         another --out",
        .0.display()
    )]
    WouldOverwrite(PathBuf),
    /// The checkpoint cannot be read.
    #[error("the checkpoint {} is broken: {problem}; delete it and start anew", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint belongs to another run.
    #[error(
        "the checkpoint {} was made with {what} {found}, not {expected}; resume with the same \
         settings or choose another --out",
        path.display()
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The setting that differs.
        what: &'static str,
        /// Its value in the checkpoint.
        found: String,
        /// Its value now.
        expected: String,
    },
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} at step {step}; use a lower learning rate than {learning_rate} \
         (the last checkpoint is intact)"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
        /// The configured peak.
        learning_rate: f64,
    },
    /// The model cannot be loaded or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The optimiser refuses the drafter's tensors.
    #[error(transparent)]
    Grad(#[from] GradError),
    /// The tokenizer or the chat template refuses a text.
    #[error(transparent)]
    Tokens(#[from] TextError),
    /// The thread that runs the teacher ended without saying why.
    #[error("the teacher's thread ended unexpectedly; please report this")]
    TeacherLost,
}

impl TrainError {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action: "read", path, source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action: "write", path, source }
    }
}
