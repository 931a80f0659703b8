//! Speech: the content and the tool calls of a chat answer.

use super::finish::reason;
use crate::identity;
use serde::Serialize;
use serde_json::Value;
use tricorn_device::engine::{Finish, Finished};
use tricorn_text::tool_calls::{Parsed, ToolCallParser, ToolStyle};

/// A growing answer as content and calls.
#[derive(Debug)]
pub(super) struct Speech {
    /// None where the request has no tools, or the answer must be in words: then all is content.
    parser: Option<ToolCallParser>,
    /// Whether it may have more than one call; one that may not is over with its first.
    several: bool,
    calls: usize,
}

/// How calls are told from content.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// How the model writes calls.
    pub(crate) style: ToolStyle,
    /// The tools, as OpenAI's API describes them.
    pub(crate) tools: Vec<Value>,
    /// Whether an answer may have more than one call.
    pub(crate) several: bool,
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
        let parser = tools.map(|tools| ToolCallParser::new(tools.style, &tools.tools));
        Self { parser, several: tools.is_none_or(|tools| tools.several), calls: 0 }
    }

    /// The next piece of the answer's text.
    pub(super) fn push(&mut self, piece: &str) -> Said {
        if self.over() {
            return Said::default();
        }
        let parsed = match &mut self.parser {
            None => return Said { content: piece.to_owned(), calls: Vec::new() },
            Some(parser) if self.several => parser.push(piece),
            Some(parser) => first_call(parser, piece),
        };
        self.said(parsed)
    }

    /// What was held back: no text follows.
    pub(super) fn finish(&mut self) -> Said {
        match self.parser.take() {
            Some(parser) if !self.over() => self.said(parser.finish()),
            _ => Said::default(),
        }
    }

    /// Why the choice ended, in OpenAI's words.
    pub(super) fn reason(&self, finished: &Finished) -> &'static str {
        // What is cut behind the only call is no part of the answer.
        let whole = self.over() || finished.finish != Finish::Length;
        if self.calls > 0 && whole { "tool_calls" } else { reason(finished) }
    }

    /// Whether the only call was made.
    fn over(&self) -> bool {
        self.calls > 0 && !self.several
    }

    fn said(&mut self, mut parsed: Parsed) -> Said {
        if !self.several {
            // Some styles write calls as one list.
            parsed.calls.truncate(1);
        }
        let first = self.calls;
        self.calls += parsed.calls.len();
        let call = |(index, call): (usize, tricorn_text::tool_calls::ToolCall)| Call {
            index: Some(index),
            id: call.id.unwrap_or_else(|| identity::id("call_")),
            kind: "function",
            function: Function { name: call.name, arguments: call.arguments },
        };
        Said { content: parsed.content, calls: (first..).zip(parsed.calls).map(call).collect() }
    }
}

/// What `piece` releases up to the first call: the same wherever the text is cut into pieces.
fn first_call(parser: &mut ToolCallParser, piece: &str) -> Parsed {
    let mut released = Parsed::default();
    for (at, char) in piece.char_indices() {
        let parsed = parser.push(&piece[at..at + char.len_utf8()]);
        released.content.push_str(&parsed.content);
        if !parsed.calls.is_empty() {
            released.calls = parsed.calls;
            break;
        }
    }
    released
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::testing::finished;
    use serde_json::json;

    const TWO: &str = "Well. <tool_call>{\"name\": \"time\"}</tool_call>\n<tool_call>{\"name\": \
                       \"date\"}</tool_call> So be it.";

    fn tools(style: ToolStyle, several: bool) -> Tools {
        let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
        Tools { style, tools: vec![tool("time"), tool("date")], several }
    }

    /// The answer's content and the names of its calls, written in pieces of so many bytes.
    fn said(tools: &Tools, text: &str, piece: usize) -> (String, Vec<String>) {
        let mut speech = Speech::new(Some(tools));
        let mut pieces: Vec<Said> = text
            .as_bytes()
            .chunks(piece)
            .map(|piece| speech.push(&String::from_utf8_lossy(piece)))
            .collect();
        pieces.push(speech.finish());
        let calls = pieces
            .iter()
            .flat_map(|said| &said.calls)
            .map(|call| call.function.name.clone())
            .collect();
        (pieces.iter().map(|said| said.content.as_str()).collect(), calls)
    }

    #[test]
    fn an_answer_that_may_have_one_call_ends_with_it() {
        let list = "Well.[TOOL_CALLS][{\"name\": \"time\"}, {\"name\": \"date\"}]";
        for piece in [1, 7, 1000] {
            for (style, text) in [(ToolStyle::Hermes, TWO), (ToolStyle::Mistral, list)] {
                let (content, calls) = said(&tools(style, false), text, piece);
                assert_eq!(
                    (content.trim(), calls),
                    ("Well.", vec!["time".to_owned()]),
                    "{style:?} {piece}"
                );
                assert_eq!(said(&tools(style, true), text, piece).1, ["time", "date"]);
            }
            // Without a call nothing is lost.
            assert_eq!(
                said(&tools(ToolStyle::Hermes, false), "Words, <tool", piece),
                ("Words, <tool".to_owned(), Vec::new())
            );
        }
    }

    #[test]
    fn an_answer_that_was_cut_behind_a_call_says_so() {
        let reason = |several, text: &str, finish| {
            let mut speech = Speech::new(Some(&tools(ToolStyle::Hermes, several)));
            speech.push(text);
            speech.finish();
            speech.reason(&finished(finish, false))
        };
        let cut = &TWO[..60];
        assert_eq!(reason(true, TWO, Finish::Stop), "tool_calls");
        assert_eq!(reason(true, cut, Finish::Length), "length");
        assert_eq!(reason(true, "Words", Finish::Length), "length");
        assert_eq!(reason(true, "Words", Finish::Stop), "stop");
        // What was cut is no part of the answer.
        assert_eq!(reason(false, cut, Finish::Length), "tool_calls");
    }
}
