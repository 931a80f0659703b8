//! Text side of a model: the tokenizer, chat templates and tool calls.
//!
//! - [`TextTokenizer`] reads a `tokenizer.json`; [`TextStream`] decodes token by token.
//! - [`ChatTemplate`] renders a conversation with the model's own Jinja template, as transformers'
//!   `apply_chat_template` does.
//! - [`tool_calls`] reads the calls that a model writes, and has grammars for them.
//!
//! Nothing here knows a model's weights.
#![forbid(unsafe_code)]

mod error;
pub mod template;
pub mod tokenizer;
pub mod tool_calls;

pub use error::{TextError, one_line};
pub use template::{ChatTemplate, Message};
pub use tokenizer::{TextStream, TextTokenizer};
