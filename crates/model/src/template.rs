//! Conversations to prompts, as the model's own Jinja template writes them.

mod compat;

use minijinja::{Environment, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::error::{ModelError, one_line};

const TEMPLATE: &str = "chat template";
/// Instructions a template may run: thousands of messages, and well under a second when it loops for ever.
const FUEL: u64 = 5_000_000;
/// The tokens of `tokenizer_config.json` that templates refer to by these names.
const SPECIAL_TOKENS: [&str; 6] = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token"];

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A message of this role.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's chat template.
///
/// Rendered as transformers' `apply_chat_template` does, with two differences: there is no `strftime_now`, since a prompt should not depend
/// on the clock (templates that ask whether it is defined fall back to a date of their own), and a template that does not end is stopped.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TokenText {
    Plain(String),
    Added { content: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl ChatTemplate {
    /// Reads the contents of `tokenizer_config.json` and `chat_template.jinja`; the second wins. `None` when neither has a template.
    ///
    /// # Errors
    /// When a file or the template cannot be parsed.
    pub fn from_files(tokenizer_config: Option<&[u8]>, chat_template: Option<&[u8]>) -> Result<Option<Self>, ModelError> {
        let broken = |problem: String| ModelError::Json { file: "tokenizer_config.json".to_owned(), problem };
        let config: Map<String, serde_json::Value> = match tokenizer_config {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?,
            None => Map::new(),
        };
        let source = match chat_template {
            Some(bytes) => String::from_utf8(bytes.to_vec()).map_err(|e| failed(format!("chat_template.jinja is not UTF-8: {e}")))?,
            None => match config.get("chat_template") {
                None | Some(serde_json::Value::Null) => return Ok(None),
                Some(value) => match Templates::deserialize(value).map_err(|e| broken(format!("chat_template: {e}")))? {
                    Templates::One(source) => source,
                    Templates::Named(all) => match all.into_iter().find(|template| template.name == "default") {
                        Some(default) => default.template,
                        None => return Ok(None),
                    },
                },
            },
        };
        let tokens = SPECIAL_TOKENS.into_iter().filter_map(|name| match TokenText::deserialize(config.get(name)?).ok()? {
            TokenText::Plain(text) | TokenText::Added { content: text } => Some((name, text)),
        });
        Self::new(&source, tokens).map(Some)
    }

    /// A template from its source and the texts of special tokens by name, such as `("eos_token", "</s>")`.
    ///
    /// # Errors
    /// When the source is not a template.
    pub fn new(source: &str, tokens: impl IntoIterator<Item = (&'static str, String)>) -> Result<Self, ModelError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|e| failed(e.to_string()))?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        compat::install(&mut environment);
        for (name, text) in tokens {
            environment.add_global(name, text);
        }
        environment.add_template_owned(TEMPLATE, compat::without_generation_tags(source)).map_err(|e| failed(e.to_string()))?;
        Ok(Self { environment })
    }

    /// The prompt for a conversation. `add_generation_prompt` lets it end where the assistant's answer begins.
    ///
    /// # Errors
    /// When the template refuses the conversation (many want user and assistant to take turns), fails, or does not end.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ModelError> {
        // transformers passes absent tools and documents as none, and templates tell that from undefined.
        let context =
            context! { messages => Serde(messages), add_generation_prompt, tools => Value::from(()), documents => Value::from(()) };
        let template = self.environment.get_template(TEMPLATE).map_err(|e| failed(e.to_string()))?;
        template.render(context).map_err(|error| match error.kind() {
            minijinja::ErrorKind::OutOfFuel => failed("it does not end".to_owned()),
            _ => failed(error.to_string()),
        })
    }
}

fn failed(problem: String) -> ModelError {
    ModelError::Template { problem: one_line(&problem) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source, [("bos_token", "<s>".to_owned())]).unwrap()
    }

    fn hello() -> Vec<Message> {
        vec![Message::new("user", " hello ")]
    }

    #[test]
    fn python_methods_and_block_trimming() {
        let source = "{% for m in messages %}\n    {% if m.role == 'user' %}\n{{ bos_token }}{{ m['content'].strip().upper() }}\n    {% endif %}\n{% endfor %}";
        assert_eq!(template(source).render(&hello(), false).unwrap(), "<s>HELLO\n");
    }

    #[test]
    fn generation_prompt_and_absent_tools() {
        let source = "{% if tools is none and tools is defined %}a{% endif %}{% if add_generation_prompt %}b{% endif %}{{ eos_token }}";
        assert_eq!(template(source).render(&[], true).unwrap(), "ab");
        assert_eq!(template(source).render(&[], false).unwrap(), "a");
    }

    #[test]
    fn refusal_names_the_reason() {
        let error = template("{{ raise_exception('roles must alternate') }}").render(&hello(), true).unwrap_err();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        let error = template(source).render(&hello(), true).unwrap_err();
        assert!(error.to_string().contains("does not end"), "{error}");
    }

    #[test]
    fn the_clock_is_not_read() {
        let guarded = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}";
        assert_eq!(template(guarded).render(&[], false).unwrap(), "26 Jul 2024");
        let error = template("{{ strftime_now('%Y') }}").render(&[], false).unwrap_err();
        assert!(error.to_string().contains("strftime_now"), "{error}");
    }

    #[test]
    fn special_tokens_in_both_spellings_and_the_default_of_several_templates() {
        let config = br#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
            "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}"}]}"#;
        let chosen = ChatTemplate::from_files(Some(config), None).unwrap().unwrap();
        assert_eq!(chosen.render(&[], false).unwrap(), "<s>|</s>|");
        let chosen = ChatTemplate::from_files(Some(config), Some(b"file {{ eos_token }}")).unwrap().unwrap();
        assert_eq!(chosen.render(&[], false).unwrap(), "file </s>");
        assert!(ChatTemplate::from_files(Some(b"{}"), None).unwrap().is_none());
        assert!(ChatTemplate::from_files(None, None).unwrap().is_none());
    }
}
