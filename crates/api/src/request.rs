//! Requests, read strictly: a field is served, has no effect and is said so, or is refused by its
//! name.

mod body;
pub(crate) mod chat;
mod common;
pub(crate) mod completion;
mod content;
mod fields;
mod format;
mod message;
mod sampling;
mod tools;

pub(crate) use body::{RequestBody, read};
pub(crate) use common::Common;
#[cfg(test)]
pub(crate) use fields::FieldTable;
pub(crate) use format::Schema;
pub(crate) use sampling::checked;
pub(crate) use tools::ToolChoice;
