//! Examples to token sequences, as a conversation with the model would write them.

use tricorn_model::{ChatTemplate, ModelError, ModelSource, TextTokenizer, template::Message};

use crate::data::Example;

/// A sequence to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    /// Length of the prompt: the tokens from here on are the response's.
    pub(crate) prompt: usize,
}

/// Tokenizer and chat template of a model.
#[derive(Debug)]
pub(crate) struct Renderer {
    tokenizer: TextTokenizer,
    template: Option<ChatTemplate>,
}

impl Renderer {
    pub(crate) fn new(source: &ModelSource) -> Result<Self, ModelError> {
        Ok(Self { tokenizer: source.tokenizer()?, template: source.template()? })
    }

    /// The tokens that a conversation starts with before the model answers.
    pub(crate) fn prompt(&self, prompt: &str) -> Result<Vec<u32>, ModelError> {
        match &self.template {
            Some(template) => self.tokenizer.encode(&template.render(&[Message::new("user", prompt)], true)?, false),
            None => self.tokenizer.encode(prompt, true),
        }
    }

    /// Prompt and response as one sequence, cut after `context` tokens; `None` when nothing of the response is left then.
    pub(crate) fn sequence(&self, example: &Example, context: usize) -> Result<Option<Sequence>, ModelError> {
        let prompt = self.prompt(&example.prompt)?;
        let mut tokens = match &self.template {
            Some(template) => {
                let messages = [Message::new("user", example.prompt.as_str()), Message::new("assistant", example.response.as_str())];
                self.tokenizer.encode(&template.render(&messages, false)?, false)?
            }
            None => self.tokenizer.encode(&format!("{}{}", example.prompt, example.response), true)?,
        };
        tokens.truncate(context);
        // The tokenizer may join the prompt's end with the response's beginning, so the prompt ends where the two agree no more.
        let prompt = prompt.iter().zip(&tokens).take_while(|(a, b)| a == b).count().max(1);
        Ok((prompt < tokens.len()).then_some(Sequence { tokens, prompt }))
    }
}
