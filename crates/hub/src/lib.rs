//! Models from a hub that speaks Hugging Face's protocol.
//!
//! [`Hub::pull`] fetches what Tricorn reads of a repository (`files`) into the cache that Python's
//! `huggingface_hub` and other tools share, goes on where an earlier download ended, and compares
//! every file with the hub's checksum (`checksum`), also those that are there already.
//! [`Hub::cached`] finds a model that is there, without a network: it has nothing to compare files
//! with.
//!
//! The `hf-hub` crate speaks the protocol and keeps the cache; its version 0.5, whose blocking
//! client brings some twenty crates where that of 1.0 brings a hundred and thirty.

#![forbid(unsafe_code)]

mod checksum;
mod error;
mod files;
mod name;
mod pull;

pub use error::HubError;
pub use name::{ModelName, NameError};
pub use pull::{Event, Hub, Pulled};
