//! Tricorn's protocol core: sessions, policies and sampling, without I/O, clock or tensors.
//!
//! A language model runs in three parts: its first layers on a device, its middle in a cloud, its
//! last layers and head on the device again ([`Split`]). These are the types to
//! know:
//!
//! - [`DeviceSession`], one conversation on the device. Its driver obeys [`DeviceSession::poll`]
//!   (draft a token, upload rows, wait) and reports what happened; it rolls back refused drafts and
//!   replays everything after a lost connection.
//! - [`Scheduler`], the cloud. It takes the devices' appends, one [`CloudSession`] each, chooses
//!   the rows that run together by [`choose_batch`], and says what is answered. [`StageScheduler`]
//!   does this for a later stage.
//! - [`driver`], the policy of whoever drives a session: the order of its steps, and recovery.
//!
//! Both sides decide by measurements. A [`DeviceMonitor`] gives a device its [`Conditions`].
//! [`DelayModel`] is the delay of a batch by its rows; a cloud reports it in [`CloudThroughput`].
//!
//! They speak in [`AppendHeader`]s and [`DeepHeader`]s; the hidden states themselves stay with the
//! drivers. Everything is addressed by *position*, the index of a token in the sequence: the
//! shallow row at a position belongs to the token there, the deep row computed from it gives the
//! logits of the token after it, and an append at a position truncates what came after. So a
//! rollback needs no message, and a replay is appends from 0.
//!
//! A [`Sampler`] turns logits into tokens so that the text depends on prompt, parameters, seed and
//! [`Constraint`] alone: not on drafts, chunks, the network or other sessions.

#![forbid(unsafe_code)]

mod append;
mod cloud;
mod codec;
mod device;
mod fingerprint;
mod formats;
mod limits;
mod monitor;
mod sampling;
mod split;
mod stats;

pub use append::{AppendHeader, AppendKind, DeepHeader, Want};
pub use cloud::{
    Admission, Admitted, Answer, AnswerPart, AppendError, Arrival, BatchLimits, Candidate,
    CloudSession, EntryError, Figures, FormedBatch, FormedMember, HandOver, Head, InFlightBatch,
    InFlightJob, Member, MonitorReport, OpenRefused, Piece, Run, Schedule, Scheduler,
    SchedulerConfig, Share, StageEntry, StageJob, StageScheduler, StartedJob, Took, choose_batch,
};
pub use codec::{HiddenCodec, UnknownCodec, to_f16};
pub use device::{
    Action, Branch, BranchAt, ChunkPolicy, DeepUse, DeviceSession, Draft, DraftPolicy, DraftStop,
    FinishReason, Guess, Judgement, ProtocolError, SessionConfig, Streaming, TurnError,
    TurnOptions, driver, overlap, pipeline,
};
pub use fingerprint::Fingerprint;
pub use formats::{FormatName, Formats};
pub use limits::SessionLimits;
pub use monitor::{
    AnswerTiming, Answered, Average, CloudThroughput, Conditions, Cost, DelayModel, DelayPoint,
    DeviceMonitor, Received,
};
pub use sampling::{
    Choice, Constraint, ConstraintFailed, Logprobs, Sampler, SamplingError, SamplingOptions,
    SamplingParams, TokenLogprob, TokenMask, argmax, choose, confidence, guesses,
};
pub use split::{LayerRanges, Split, SplitError};
pub use stats::TurnStats;
