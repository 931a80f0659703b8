//! Errors that end a command, with their exit codes.

use crate::config::Refusal;
use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode};
use tricorn_bench::BenchError;
use tricorn_cloud::CloudError;
use tricorn_core::{SamplingError, SplitError};
use tricorn_device::{DeviceError, TransportError, constraint::ConstraintError};
use tricorn_hub::{HubError, NameError};
use tricorn_kernels::threads::ThreadsError;
use tricorn_model::{KvError, ModelError};
use tricorn_train::TrainError;
use tricorn_wire::WireError;

/// One line for a person; the exit code for a program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Emulation(#[from] tricorn_netem::LinkError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    #[error("{} is no JSON schema: {problem}; correct it", path.display())]
    SchemaFile { path: PathBuf, problem: String },
    #[error("cannot read {}: {error}; mend --json-schema", path.display())]
    SchemaRead { path: PathBuf, error: io::Error },
    #[error(
        "there is no model in {}; give the folder that holds config.json and model.safetensors, a \
         .gguf file, hf:ORG/NAME, or `demo`",
        .0.display()
    )]
    NoModel(PathBuf),
    #[error("nothing is known of {0}; write HOST:PORT, for example 127.0.0.1:7070")]
    NoAddress(String),
    #[error(
        "the link is not what was asked for: a rate is off by more than 3 % or the round trip by \
         more than 1 ms; see above, and ask for less or stop other programs"
    )]
    LinkOff,
    #[error("a text is not the whole model's: {0}; this is a bug, report it with the command")]
    OtherText(String),
    #[error(
        "{0} texts were not compared with the whole model's; this is a bug, report it with the \
         command"
    )]
    NotCompared(usize),
    #[error("{0} requests failed; the report says why")]
    RequestsFailed(usize),
    #[error("stopped by Ctrl-C; a report holds what was measured")]
    Interrupted,
    #[error("--window is {window}, the model's context is {context}; ask for less")]
    Window { window: usize, context: usize },
    #[error("the prompt is not UTF-8 text; convert it first, for example with iconv")]
    NotUtf8,
    #[error(
        "the chat has {tokens} tokens, the context holds {context} and one must be left to \
         generate; /clear begins a new chat"
    )]
    ChatFull { tokens: usize, context: usize },
    #[error("there is no drafter beside the model; train one with `tricorn distill`")]
    NoDrafter,
    #[error(
        "--offline-fallback draft needs a drafter, and none is in use; leave --no-draft out, or \
         train one with `tricorn distill`"
    )]
    NoFallback,
    #[error("{0} is in use by another program; stop that program or listen on another port")]
    InUse(SocketAddr),
    #[error(
        "cannot listen on {0}: {1}; choose an address of this machine and a port that this user \
         may open"
    )]
    Listen(SocketAddr, io::Error),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    HubName(#[from] NameError),
    #[error(transparent)]
    Config(#[from] Refusal),
    #[error("{}: {}; choose another --out", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("standard input or output failed: {0}")]
    Terminal(#[from] io::Error),
    #[error("Ctrl-C cannot be watched for: {0}")]
    Signal(#[from] ctrlc::Error),
    #[error("{} exists already and is not empty; choose another --out", .0.display())]
    NotEmpty(PathBuf),
    #[error(
        "a device bundle has no middle layers; use --cloud URL, or --local with the whole model"
    )]
    BundleWithoutMiddle,
    #[error("{0} with --threads")]
    Threads(#[from] ThreadsError),
    #[error("the trainer's threads cannot be started: {0}; ask for fewer with --threads")]
    TrainerThreads(#[from] rayon::ThreadPoolBuildError),
}

impl CliError {
    /// Why nothing can listen at an address.
    pub(crate) fn listen(address: SocketAddr, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            Self::InUse(address)
        } else {
            Self::Listen(address, error)
        }
    }

    /// Whether the reader of standard output has gone, as `head` does: nothing to complain about.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Terminal(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 130 after Ctrl-C, as shells have it; 1 for what went wrong, 2 for what was asked wrongly, 3
    /// when there is no cloud to be reached or it refuses.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Device(DeviceError::Transport(
                TransportError::Unreachable { .. }
                | TransportError::Refused(_)
                | TransportError::KeepsFailing { .. }
                | TransportError::NoRoom(_),
            ))
            | Self::Cloud(CloudError::NextUnreachable { .. } | CloudError::NextRefused { .. }) => {
                ExitCode::from(3)
            }
            Self::Interrupted | Self::Train(TrainError::Stopped) => ExitCode::from(130),
            _ if self.is_asked_wrongly() => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    fn is_asked_wrongly(&self) -> bool {
        match self {
            Self::Model(error) => wrong_model(error),
            Self::Device(error) => wrong_request(error),
            Self::Cloud(error) => wrong_cloud(error),
            Self::Bench(error) => wrong_bench(error),
            Self::Emulation(error) => {
                matches!(
                    error,
                    tricorn_netem::LinkError::Config(_)
                        | tricorn_netem::LinkError::InUse(_)
                        | tricorn_netem::LinkError::Listen { .. }
                )
            }
            Self::Train(error) => wrong_training(error),
            Self::Folder(_, error) => wrong_path(error),
            Self::Split(_)
            | Self::Sampling(_)
            | Self::Constraint(_)
            | Self::SchemaFile { .. }
            | Self::SchemaRead { .. }
            | Self::NoModel(_)
            | Self::NoDrafter
            | Self::NoFallback
            | Self::Window { .. }
            | Self::NotUtf8
            | Self::ChatFull { .. }
            | Self::NoAddress(_)
            | Self::InUse(_)
            | Self::Listen(..)
            | Self::HubName(_)
            | Self::Config(_)
            | Self::Hub(
                HubError::NotCached { .. } | HubError::Several { .. } | HubError::NoFile { .. },
            )
            | Self::NotEmpty(_)
            | Self::BundleWithoutMiddle => true,
            _ => false,
        }
    }
}

/// Whether a path is not what its flag wants, rather than a disk or a network at fault.
fn wrong_path(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        ReadOnlyFilesystem,
    };
    matches!(
        error.kind(),
        NotFound
            | PermissionDenied
            | IsADirectory
            | NotADirectory
            | AlreadyExists
            | ReadOnlyFilesystem
            | InvalidData
    )
}

fn wrong_model(error: &ModelError) -> bool {
    match error {
        ModelError::Io { source, .. } | ModelError::Write { source, .. } => wrong_path(source),
        ModelError::Split(_)
        | ModelError::WrongBundle { .. }
        | ModelError::NotWhole { .. }
        | ModelError::AlreadyQuantised { .. }
        | ModelError::WithoutDevice { .. }
        | ModelError::WrongDrafter { .. }
        | ModelError::NoDrafter { .. }
        | ModelError::Kv(KvError::DeviceFormat { .. }) => true,
        _ => false,
    }
}

fn wrong_request(error: &DeviceError) -> bool {
    match error {
        DeviceError::EmptyPrompt
        | DeviceError::NoTemplate
        | DeviceError::Turn(_)
        | DeviceError::Transport(TransportError::Wire(WireError::Address { .. })) => true,
        DeviceError::Model(error) => wrong_model(error),
        _ => false,
    }
}

fn wrong_cloud(error: &CloudError) -> bool {
    matches!(
        error,
        CloudError::Config { .. }
            | CloudError::InUse(_)
            | CloudError::Listen { .. }
            | CloudError::Split(_)
            | CloudError::NoNext { .. }
            | CloudError::NothingLeft { .. }
            | CloudError::NextIsSelf { .. }
            | CloudError::Address(_)
    )
}

fn wrong_bench(error: &BenchError) -> bool {
    match error {
        BenchError::Model(error) => wrong_model(error),
        BenchError::Read { source, .. } | BenchError::Write { source, .. } => wrong_path(source),
        BenchError::Unknown { .. }
        | BenchError::Setting { .. }
        | BenchError::MaxNew { .. }
        | BenchError::Prompt { .. }
        | BenchError::Text { .. }
        | BenchError::NoText { .. }
        | BenchError::NoDrafter { .. }
        | BenchError::Bundle
        | BenchError::NoPeer { .. }
        | BenchError::PeerFormat { .. } => true,
        _ => false,
    }
}

fn wrong_training(error: &TrainError) -> bool {
    match error {
        TrainError::Model(error) => wrong_model(error),
        TrainError::Io { source, .. } => wrong_path(source),
        TrainError::Config { .. }
        | TrainError::Line { .. }
        | TrainError::NoExamples { .. }
        | TrainError::NoCheckpoint(_)
        | TrainError::WouldOverwrite(_)
        | TrainError::OtherRun { .. } => true,
        _ => false,
    }
}
