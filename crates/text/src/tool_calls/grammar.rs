//! Grammars of tool calls: what a text must follow that has to be one.

use std::fmt::Write;

use serde_json::{Value, json};

use super::ToolStyle;

/// What an answer must call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// Any of the tools.
    Required,
    /// The one of this name.
    Named(&'a str),
}

/// Reason why no grammar can be made of tools.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolError {
    /// The model's template shows no way to call tools that is known here.
    #[error(
        "the model's chat template has no tool calls known here; use a model with tools, or \
         tool_choice \"none\""
    )]
    NoStyle,
    /// There is nothing to call.
    #[error("a tool must be called but there are no tools; give some in `tools`")]
    NoTools,
    /// No tool of the name that must be called.
    #[error("tool_choice names the function `{0}`, which is not among the tools; name one that is")]
    UnknownTool(String),
    /// A tool is not described as it should be.
    #[error("tools[{0}] is not what it should be: {1}")]
    Malformed(usize, &'static str),
}

struct Tool<'a> {
    name: &'a str,
    parameters: Value,
}

impl<'a> Tool<'a> {
    fn read(index: usize, tool: &'a Value) -> Result<Self, ToolError> {
        let malformed = |problem| ToolError::Malformed(index, problem);
        let function = tool.get("function").ok_or_else(|| malformed("it has no `function`"))?;
        let name = function
            .get("name")
            .and_then(Value::as_str)
            .ok_or_else(|| malformed("its function has no `name`, a string"))?;
        let mut parameters = match function.get("parameters") {
            None | Some(Value::Null) => {
                json!({ "type": "object", "properties": {}, "additionalProperties": false })
            }
            Some(schema @ Value::Object(_)) => schema.clone(),
            Some(_) => return Err(malformed("its function's `parameters` are no JSON schema")),
        };
        if let Value::Object(schema) = &mut parameters {
            // Arguments are an object, whatever else the schema leaves open.
            schema.entry("type").or_insert_with(|| "object".into());
            // As the templates write it; and free blanks are room for a model to go round in.
            let guidance = json!({
                "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "
            });
            schema.insert("x-guidance".to_owned(), guidance);
        }
        Ok(Self { name, parameters })
    }
}

impl ToolStyle {
    /// A grammar in Lark, as llguidance reads it, of answers that are nothing but calls: one where
    /// `several` is false or the style has but one. `tools` are described as in OpenAI's API.
    /// `special` gives the id of a marker that is a special token of the vocabulary.
    ///
    /// # Errors
    /// When the tools are not what they should be, or the one that must be called is not among
    /// them.
    pub fn grammar(
        self,
        tools: &[Value],
        choice: ToolChoice<'_>,
        several: bool,
        special: impl Fn(&str) -> Option<u32>,
    ) -> Result<String, ToolError> {
        let mut allowed = tools
            .iter()
            .enumerate()
            .map(|(index, tool)| Tool::read(index, tool))
            .collect::<Result<Vec<_>, _>>()?;
        if let ToolChoice::Named(name) = choice {
            allowed.retain(|tool| tool.name == name);
            allowed.truncate(1);
        }
        match (choice, allowed.is_empty()) {
            (ToolChoice::Named(name), true) => return Err(ToolError::UnknownTool(name.to_owned())),
            (ToolChoice::Required, true) => return Err(ToolError::NoTools),
            (_, false) => {}
        }
        let several = several && choice == ToolChoice::Required;
        let mark =
            |marker: &str| special(marker).map_or_else(|| quoted(marker), |id| format!("<[{id}]>"));
        let (start, arguments) = match (self, several) {
            (Self::Llama, _) => ("object".to_owned(), "parameters"),
            (Self::Hermes, _) => {
                (if several { r#"call ("\n" call)*"# } else { "call" }.to_owned(), "arguments")
            }
            (Self::Mistral, several) => {
                let more = if several { r#" (", " object)*"# } else { "" };
                (format!(r#"{} " "? "[" object{more} "]""#, mark("[TOOL_CALLS]")), "arguments")
            }
        };
        let mut grammar = format!("start: {start}\n");
        if self == Self::Hermes {
            let _ = writeln!(
                grammar,
                r#"call: {} "\n" object "\n" {}"#,
                mark("<tool_call>"),
                mark("</tool_call>")
            );
        }
        let objects: Vec<String> =
            (0..allowed.len()).map(|index| format!("object_{index}")).collect();
        let _ = writeln!(grammar, "object: {}", objects.join(" | "));
        for (index, tool) in allowed.iter().enumerate() {
            let begin = format!(r#"{{"name": {}, "{arguments}": "#, quoted(tool.name));
            let _ =
                writeln!(grammar, r#"object_{index}: {} arguments_{index} "}}""#, quoted(&begin));
            // A rule of its own, so that the schema's references count from its own root.
            let _ = writeln!(grammar, "arguments_{index}: %json {}", tool.parameters);
        }
        Ok(grammar)
    }
}

/// A literal of the grammar; its strings are written as JSON's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
