//! Errors of tokenizers and chat templates.

/// Reason why a tokenizer or a chat template cannot be read or used. Each message is one line, and
/// ends with how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A JSON file cannot be parsed.
    #[error("{file} is not what it should be: {problem}; download the model again")]
    Json {
        /// The file's name.
        file: String,
        /// What the parser said.
        problem: String,
    },
    /// The tokenizer cannot be read, or failed on a text.
    #[error("tokenizer: {problem}; download the model again")]
    Tokenizer {
        /// What is wrong.
        problem: String,
    },
    /// The tokenizer can produce token ids that the model has no embedding for.
    #[error(
        "the tokenizer has token ids up to {highest} but the model's vocabulary is {vocab}; the \
         tokenizer belongs to another model"
    )]
    Vocabulary {
        /// The highest id of the tokenizer.
        highest: u32,
        /// The model's vocabulary size.
        vocab: usize,
    },
    /// The chat template cannot be parsed, or refused the conversation.
    #[error(
        "chat template: {problem}; change the conversation, or give the whole prompt, as `tricorn \
         run --raw` and /v1/completions take it"
    )]
    Template {
        /// What is wrong.
        problem: String,
    },
}

/// Makes a text from a file fit for a message: no line breaks, nor anything else that would move a
/// terminal's cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, letter| {
        if letter.is_control() {
            line.extend(letter.escape_default())
        } else {
            line.push(letter)
        }
        line
    })
}
