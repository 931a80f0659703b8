//! Conversations to prompts, as the model's own Jinja template writes them.

mod compat;
mod input;
mod openai;
mod output;
mod to_json;

use minijinja::{Environment, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};
use serde_json::Map;

pub use input::{ChatInput, Ending};

use crate::{
    error::{TextError, one_line},
    tool_calls::ToolStyle,
};
use input::Continued;
use output::Limited;

/// The names under which transformers looks for templates when there are several.
const PLAIN: &str = "default";
const WITH_TOOLS: &str = "tool_use";
/// Instructions a template may run: thousands of messages, and well under a second when it loops
/// for ever.
const FUEL: u64 = 5_000_000;
/// Bytes that a template may write, some ten times the text that the longest contexts hold.
const MAX_RENDERED: usize = 32 << 20;
/// The tokens of `tokenizer_config.json` that templates refer to by these names.
const SPECIAL_TOKENS: [&str; 6] =
    ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token"];

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
/// Rendered as transformers' `apply_chat_template` does, with two differences: there is no
/// `strftime_now`, since a prompt should not depend on the clock (templates that ask whether it is
/// defined fall back to a date of their own, or take `date_string` from [`ChatInput::variables`]),
/// and a template that does not end, or writes without end, is stopped.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    tool_style: Option<ToolStyle>,
    knows_developers: bool,
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
    /// Reads the contents of `tokenizer_config.json` and `chat_template.jinja`; the second wins.
    /// `None` when neither has a template.
    ///
    /// # Errors
    /// When a file or the template cannot be parsed.
    pub fn from_files(
        tokenizer_config: Option<&[u8]>,
        chat_template: Option<&[u8]>,
    ) -> Result<Option<Self>, TextError> {
        let broken =
            |problem: String| TextError::Json { file: "tokenizer_config.json".to_owned(), problem };
        let config: Map<String, serde_json::Value> = match tokenizer_config {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| broken(e.to_string()))?,
            None => Map::new(),
        };
        let sources = match chat_template {
            Some(bytes) => Templates::One(
                String::from_utf8(bytes.to_vec())
                    .map_err(|e| failed(format!("chat_template.jinja is not UTF-8: {e}")))?,
            ),
            None => match config.get("chat_template") {
                None | Some(serde_json::Value::Null) => return Ok(None),
                Some(value) => Templates::deserialize(value)
                    .map_err(|e| broken(format!("chat_template: {e}")))?,
            },
        };
        let (plain, with_tools) = match sources {
            Templates::One(source) => (source, None),
            Templates::Named(all) => {
                let named = |name: &str| {
                    all.iter()
                        .find(|template| template.name == name)
                        .map(|template| template.template.clone())
                };
                match named(PLAIN) {
                    Some(plain) => (plain, named(WITH_TOOLS)),
                    None => return Ok(None),
                }
            }
        };
        let tokens = SPECIAL_TOKENS.into_iter().filter_map(|name| {
            match TokenText::deserialize(config.get(name)?).ok()? {
                TokenText::Plain(text) | TokenText::Added { content: text } => Some((name, text)),
            }
        });
        let mut template = Self::new(&plain, tokens)?;
        if let Some(source) = with_tools {
            template.add(WITH_TOOLS, &source)?;
        }
        Ok(Some(template))
    }

    /// A template from its source and the texts of special tokens by name, such as `("eos_token",
    /// "</s>")`.
    ///
    /// # Errors
    /// When the source is not a template.
    pub fn new(
        source: &str,
        tokens: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, TextError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        compat::install(&mut environment);
        for (name, text) in tokens {
            environment.add_global(name, text);
        }
        let mut template = Self { environment, tool_style: None, knows_developers: false };
        template.add(PLAIN, source)?;
        Ok(template)
    }

    fn add(&mut self, name: &'static str, source: &str) -> Result<(), TextError> {
        self.tool_style = ToolStyle::of(source).or(self.tool_style);
        self.knows_developers |= source.contains("developer");
        self.environment
            .add_template_owned(name, compat::without_generation_tags(source))
            .map_err(|e| failed(e.to_string()))
    }

    /// How the model writes tool calls; `None` for a template that knows none, or writes them in a
    /// way that is not known here.
    #[must_use]
    pub fn tool_style(&self) -> Option<ToolStyle> {
        self.tool_style
    }

    /// The prompt for a conversation without tools. `add_generation_prompt` lets it end where the
    /// assistant's answer begins.
    ///
    /// # Errors
    /// When the template refuses the conversation (many want user and assistant to take turns),
    /// fails, or does not end.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        let messages = messages.iter().map(
            |Message { role, content }| serde_json::json!({ "role": role, "content": content }),
        );
        let ending = if add_generation_prompt { Ending::Answer } else { Ending::Closed };
        self.render_chat(&ChatInput {
            messages: messages.collect(),
            ending,
            ..ChatInput::default()
        })
    }

    /// The prompt for a conversation with whatever its messages hold, as transformers renders it.
    ///
    /// # Errors
    /// As [`Self::render`]; also when there is no message to continue, or the template changes it
    /// so that its end cannot be found.
    pub fn render_chat(&self, input: &ChatInput) -> Result<String, TextError> {
        let continued = match input.ending {
            Ending::Continue => Some(Continued::mark(&input.messages)?),
            Ending::Answer | Ending::Closed => None,
        };
        let messages = continued.as_ref().map_or(&input.messages, |continued| &continued.messages);
        let messages: Vec<serde_json::Value> = messages.iter().map(without_nulls).collect();
        // Absent tools and documents are none, and templates tell that from undefined.
        let listed = |list: &[serde_json::Value]| {
            if list.is_empty() { Value::from(()) } else { Value::from(Serde(list)) }
        };
        let context = context! {
            messages => Value::from(Serde(&messages)),
            tools => listed(&input.tools),
            documents => listed(&input.documents),
            add_generation_prompt => input.ending == Ending::Answer,
            ..Value::from(Serde(&input.variables))
        };
        let with_tools = if input.tools.is_empty() {
            None
        } else {
            self.environment.get_template(WITH_TOOLS).ok()
        };
        let template = match with_tools {
            Some(template) => template,
            None => self.environment.get_template(PLAIN).map_err(|e| failed(e.to_string()))?,
        };
        let mut output = Limited::new(MAX_RENDERED);
        template.render_captured_to(context, &mut output).map_err(|error| match error.kind() {
            ErrorKind::OutOfFuel => failed("it does not end".to_owned()),
            ErrorKind::WriteFailure => {
                failed(format!("it writes more than {} MiB", MAX_RENDERED >> 20))
            }
            _ => failed(error.to_string()),
        })?;
        let rendered = output.into_text()?;
        match continued {
            Some(continued) => continued.cut(rendered),
            None => Ok(rendered),
        }
    }

    /// The messages of a request to OpenAI's API, as templates want them: parts of text are joined,
    /// arguments of calls are dictionaries, roles and ids are those that the template knows.
    #[must_use]
    pub fn openai_messages(&self, messages: &[serde_json::Value]) -> Vec<serde_json::Value> {
        messages.iter().map(|message| openai::message(message, self)).collect()
    }
}

/// As transformers: clients send `null` for what is not there, and templates tell that from what is
/// absent.
fn without_nulls(message: &serde_json::Value) -> serde_json::Value {
    match message {
        serde_json::Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        other => other.clone(),
    }
}

fn failed(problem: String) -> TextError {
    TextError::Template { problem: one_line(&problem) }
}

#[cfg(test)]
mod tests;
