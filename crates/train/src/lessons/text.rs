//! Examples to token sequences, as a conversation with the model would write them.

use tricorn_model::{ModelError, ModelSource};
use tricorn_text::{ChatTemplate, TextError, TextTokenizer, template::Message};

use crate::lessons::data::Example;

/// A sequence to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    /// Length of the prompt: the tokens from here on are the response's.
    pub(crate) prompt: usize,
}

impl Sequence {
    /// The sequence after other tokens, which become part of its prompt.
    pub(crate) fn after(self, mut earlier: Vec<u32>) -> Self {
        let prompt = earlier.len() + self.prompt;
        earlier.extend(self.tokens);
        Self { tokens: earlier, prompt }
    }
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
    pub(crate) fn prompt(&self, prompt: &str) -> Result<Vec<u32>, TextError> {
        match &self.template {
            Some(template) => self
                .tokenizer
                .encode(&template.render(&[Message::new("user", prompt)], true)?, false),
            None => self.tokenizer.encode(prompt, true),
        }
    }

    /// Prompt and response as one sequence, cut after `context` tokens; `None` when nothing of the
    /// response is left then.
    pub(crate) fn sequence(
        &self,
        example: &Example,
        context: usize,
    ) -> Result<Option<Sequence>, ModelError> {
        let prompt = self.prompt(&example.prompt)?;
        let mut tokens = match &self.template {
            Some(template) => {
                let messages = [
                    Message::new("user", example.prompt.as_str()),
                    Message::new("assistant", example.response.as_str()),
                ];
                self.tokenizer.encode(&template.render(&messages, false)?, false)?
            }
            None => {
                self.tokenizer.encode(&format!("{}{}", example.prompt, example.response), true)?
            }
        };
        tokens.truncate(context);
        // The tokenizer may join the prompt's end with the response's beginning, so the prompt ends
        // where the two agree no more.
        let prompt = prompt.iter().zip(&tokens).take_while(|(a, b)| a == b).count().max(1);
        Ok((prompt < tokens.len()).then_some(Sequence { tokens, prompt }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::testing::{TempDir, tiny_model};

    fn example() -> Example {
        Example { prompt: "w5 w6".to_owned(), response: " w7 w8 w9".to_owned() }
    }

    #[test]
    fn plain_models_read_prompt_and_response_in_one() {
        let dir = TempDir::new();
        let renderer = Renderer::new(&tiny_model(&dir, &json!({}))).unwrap();
        assert_eq!(renderer.prompt("w5 w6").unwrap(), [5, 6]);
        let sequence = |context| renderer.sequence(&example(), context).unwrap();
        assert_eq!(sequence(10), Some(Sequence { tokens: vec![5, 6, 7, 8, 9], prompt: 2 }));
        assert_eq!(sequence(4), Some(Sequence { tokens: vec![5, 6, 7, 8], prompt: 2 }));
        assert_eq!(sequence(2), None);
    }

    #[test]
    fn chat_models_read_a_conversation() {
        let dir = TempDir::new();
        let template = "{% for m in messages %}{% if m.role == 'user' %}<s> {{ m.content }} w3 {% \
                        else %}{{ m.content }} </s>{% endif %}{% endfor %}";
        fs::write(dir.file("chat_template.jinja"), template).unwrap();
        let renderer = Renderer::new(&tiny_model(&dir, &json!({}))).unwrap();
        assert_eq!(renderer.prompt("w5 w6").unwrap(), [0, 5, 6, 3]);
        let sequence = renderer.sequence(&example(), 10).unwrap().unwrap();
        assert_eq!(sequence, Sequence { tokens: vec![0, 5, 6, 3, 7, 8, 9, 1], prompt: 4 });
    }
}
