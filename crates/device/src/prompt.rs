//! Prompts: text to tokens and back, with a model's tokenizer and chat template.

mod chat;
mod prompter;
mod reply;

pub use chat::Chat;
pub use prompter::Prompter;
pub use reply::Reply;

#[cfg(test)]
mod tests;
