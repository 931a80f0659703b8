//! Answers: the objects that clients read, in OpenAI's form.

pub(crate) mod chat;
mod chunks;
pub(crate) mod completion;
mod logprobs;
mod offsets;
mod speech;
#[cfg(test)]
mod testing;
mod trace;
mod usage;

pub(crate) use chunks::{ChunkStream, Chunks};
pub(crate) use speech::Tools;

use crate::{Service, identity};
use tricorn_device::engine::{Finish, Finished};

/// What all objects of one answer have in common.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Head {
    /// A new answer, whose id begins with `prefix`.
    pub(crate) fn new(service: &Service, prefix: &str) -> Self {
        Self {
            id: identity::id(prefix),
            created: identity::now(),
            model: service.config.model.clone(),
            fingerprint: service.fingerprint.clone(),
        }
    }
}

/// Why a choice ended, in OpenAI's words.
fn reason(finished: &Finished) -> &'static str {
    match finished.finish {
        Finish::Stop | Finish::StopText(_) => "stop",
        Finish::Length => "length",
    }
}
