//! Answers: the objects that clients read, in OpenAI's form.

mod chat;
mod chunks;
mod completion;
mod envelope;
mod finish;
mod logprobs;
mod offsets;
mod speech;
#[cfg(test)]
mod testing;
mod trace;
mod usage;

pub(crate) use chat::ChatAnswer;
pub(crate) use chunks::{Answer, ChunkStream, Chunks};
pub(crate) use completion::CompletionAnswer;
pub(crate) use envelope::Envelope;
pub(crate) use speech::Tools;
