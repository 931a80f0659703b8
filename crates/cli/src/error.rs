//! What ends a command, and the exit code it ends with.

use crate::config::ConfigError;
use std::{path::PathBuf, process::ExitCode};
use tricorn_bench::{BenchError, link};
use tricorn_cloud::CloudError;
use tricorn_core::{SamplingError, SplitError};
use tricorn_device::{DeviceError, LinkError, constraint::ConstraintError};
use tricorn_hub::{HubError, NameError};
use tricorn_model::{KvError, ModelError, threads::ThreadsError};
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
    Emulation(#[from] link::LinkError),
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
    #[error("there is no model in {}; give the folder that holds config.json and model.safetensors, a .gguf file, or `demo`", .0.display())]
    NoModel(PathBuf),
    #[error("nothing is known of {0}; write HOST:PORT, for example 127.0.0.1:7070")]
    NoAddress(String),
    #[error(
        "the link is not what was asked for: a rate is off by more than 3 % or the round trip by more than 1 ms; see above, and ask for less or stop other programs"
    )]
    LinkOff,
    #[error("a text is not the whole model's: {0}; this is a bug, report it with the command")]
    OtherText(String),
    #[error("{0} texts were not compared with the whole model's; this is a bug, report it with the command")]
    NotCompared(usize),
    #[error("{0} requests failed; the report says why")]
    RequestsFailed(usize),
    #[error("stopped by Ctrl-C; a report holds what was measured")]
    Interrupted,
    #[error("--window is {window}, the model's context is {context}; ask for less")]
    Window { window: usize, context: usize },
    #[error("the prompt is not UTF-8 text; convert it first, for example with iconv")]
    NotUtf8,
    #[error("there is no drafter beside the model; train one with `tricorn distill`")]
    NoDrafter,
    #[error("cannot listen on {0} ({1}); choose another --listen")]
    Listen(std::net::SocketAddr, std::io::Error),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    HubName(#[from] NameError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: {}; choose another --out", .0.display(), .1)]
    Folder(PathBuf, std::io::Error),
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    #[error("standard input or output failed: {0}")]
    Terminal(#[from] std::io::Error),
    #[error("Ctrl-C cannot be watched for: {0}")]
    Signal(#[from] ctrlc::Error),
    #[error("{} exists already and is not empty; choose another --out", .0.display())]
    NotEmpty(PathBuf),
    #[error("a device bundle has no middle layers; use --cloud URL, or --local with the whole model")]
    BundleWithoutMiddle,
    #[error("{0} with --threads")]
    Threads(#[from] ThreadsError),
    #[error("the trainer's threads cannot be started: {0}; ask for fewer with --threads")]
    TrainerThreads(#[from] rayon::ThreadPoolBuildError),
}

impl CliError {
    /// Whether the reader of standard output has gone, as `head` does: nothing to complain about.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Terminal(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// 130 after Ctrl-C, as shells have it; 1 for what went wrong, 2 for what was asked wrongly, 3 when there is no cloud to be reached or it refuses.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Device(DeviceError::Link(
                LinkError::Unreachable { .. } | LinkError::Refused(_) | LinkError::KeepsFailing { .. } | LinkError::NoRoom(_),
            ))
            | Self::Cloud(CloudError::NextUnreachable { .. } | CloudError::NextRefused { .. }) => ExitCode::from(3),
            Self::Interrupted => ExitCode::from(130),
            Self::Split(_)
            | Self::Sampling(_)
            | Self::Constraint(_)
            | Self::SchemaFile { .. }
            | Self::Bench(
                BenchError::Unknown { .. }
                | BenchError::Setting { .. }
                | BenchError::MaxNew { .. }
                | BenchError::Prompt { .. }
                | BenchError::Text { .. }
                | BenchError::NoText { .. }
                | BenchError::NoDrafter { .. }
                | BenchError::Bundle
                | BenchError::NoPeer { .. }
                | BenchError::PeerFormat { .. },
            )
            | Self::NoModel(_)
            | Self::Window { .. }
            | Self::NotUtf8
            | Self::NoAddress(_)
            | Self::Listen(..)
            | Self::HubName(_)
            | Self::Config(_)
            | Self::Folder(..)
            | Self::Hub(HubError::NotCached { .. } | HubError::Several { .. } | HubError::NoFile { .. })
            | Self::Emulation(link::LinkError::Config(_))
            | Self::NotEmpty(_)
            | Self::BundleWithoutMiddle
            | Self::Cloud(
                CloudError::Config { .. }
                | CloudError::Split(_)
                | CloudError::NoNext { .. }
                | CloudError::NothingLeft { .. }
                | CloudError::Address(_),
            )
            | Self::Model(
                ModelError::Split(_)
                | ModelError::WrongBundle { .. }
                | ModelError::AlreadyQuantised { .. }
                | ModelError::WithoutDevice { .. }
                | ModelError::Kv(KvError::DeviceFormat { .. }),
            )
            | Self::Device(
                DeviceError::EmptyPrompt
                | DeviceError::NoTemplate
                | DeviceError::Turn(_)
                | DeviceError::Link(LinkError::Wire(WireError::Address { .. })),
            ) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
