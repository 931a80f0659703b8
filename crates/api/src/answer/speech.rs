//! What a chat answer says: content, and calls of tools.

use crate::identity;
use serde::Serialize;
use serde_json::Value;
use tricorn_model::template::tool_calls::{Parsed, ToolCallParser, ToolStyle};

/// A growing answer as content and calls.
#[derive(Debug)]
pub(super) struct Speech {
    /// None where the request has no tools, or the answer must be in words: then all is content.
    parser: Option<ToolCallParser>,
    calls: usize,
}

/// How calls are told from content.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// How the model writes calls.
    pub(crate) style: ToolStyle,
    /// The tools, as OpenAI's API describes them.
    pub(crate) tools: Vec<Value>,
}

/// What a piece of text released.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) content: String,
    pub(super) calls: Vec<Call>,
}

/// A call, whole.
#[derive(Debug, Serialize)]
pub(super) struct Call {
    /// Its place among the answer's calls; part of streamed calls alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function,
}

#[derive(Debug, Serialize)]
struct Function {
    name: String,
    arguments: String,
}

impl Speech {
    pub(super) fn new(tools: Option<&Tools>) -> Self {
        Self { parser: tools.map(|tools| ToolCallParser::new(tools.style, &tools.tools)), calls: 0 }
    }

    /// The next piece of the answer's text.
    pub(super) fn push(&mut self, piece: &str) -> Said {
        match &mut self.parser {
            None => Said { content: piece.to_owned(), calls: Vec::new() },
            Some(parser) => {
                let parsed = parser.push(piece);
                self.said(parsed)
            }
        }
    }

    /// What was held back: no text follows.
    pub(super) fn finish(&mut self) -> Said {
        match self.parser.take() {
            None => Said::default(),
            Some(parser) => self.said(parser.finish()),
        }
    }

    /// Whether there was a call.
    pub(super) fn called(&self) -> bool {
        self.calls > 0
    }

    fn said(&mut self, parsed: Parsed) -> Said {
        let first = self.calls;
        self.calls += parsed.calls.len();
        let call = |(index, call): (usize, tricorn_model::template::tool_calls::ToolCall)| Call {
            index: Some(index),
            id: call.id.unwrap_or_else(|| identity::id("call_")),
            kind: "function",
            function: Function { name: call.name, arguments: call.arguments },
        };
        Said { content: parsed.content, calls: (first..).zip(parsed.calls).map(call).collect() }
    }
}
