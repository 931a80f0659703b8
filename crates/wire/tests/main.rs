//! Tests of messages and codecs, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod codec;
mod messages;
mod stages;
