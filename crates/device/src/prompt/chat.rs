//! Chat history, kept so that a new turn leaves the tokens of earlier ones as they were.

use super::prompter::Prompter;
use crate::error::DeviceError;
use tricorn_text::template::Message;

/// Messages so far, with the tokens and the text they became.
#[derive(Debug, Default)]
pub struct Chat {
    messages: Vec<Message>,
    tokens: Vec<u32>,
    text: String,
}

impl Chat {
    /// A chat without messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the user says and gives the tokens of the whole conversation, ready for the
    /// model's answer.
    ///
    /// Where the rendered conversation goes on from the text that there was, its tokens do too: a
    /// reply's own tokens are kept, even where the tokenizer would cut its text in another way, so
    /// that the cloud can keep their rows.
    ///
    /// # Errors
    /// When the message is empty, or the model has no chat template or one that refuses the
    /// conversation; the history is then unchanged.
    pub fn ask(&mut self, prompter: &Prompter, text: &str) -> Result<Vec<u32>, DeviceError> {
        if text.trim().is_empty() {
            return Err(DeviceError::EmptyPrompt);
        }
        let message = Message::new("user", text);
        let messages = [&self.messages[..], std::slice::from_ref(&message)].concat();
        let rendered = prompter.written(&messages)?;
        let tokens = match rendered.strip_prefix(&self.text) {
            Some(new) => [&self.tokens[..], &prompter.special(new)?].concat(),
            None => prompter.special(&rendered)?,
        };
        self.messages.push(message);
        (self.text, self.tokens) = (rendered, tokens.clone());
        Ok(tokens)
    }

    /// Adds the model's answer: its tokens, without a stop token, and their text.
    pub fn answered(&mut self, tokens: &[u32], text: &str) {
        self.messages.push(Message::new("assistant", text.trim()));
        self.tokens.extend_from_slice(tokens);
        self.text.push_str(text);
    }

    /// Takes back a question that was not answered.
    pub fn take_back(&mut self) {
        self.messages.pop();
        (self.text, self.tokens) = (String::new(), Vec::new());
    }
}
