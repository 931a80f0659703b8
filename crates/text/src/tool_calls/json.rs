//! Calls as JSON, and where a JSON value that is still being written ends.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ToolCall;

/// Finds the end of an object or an array, however it comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// The length of the value at the beginning of `text`, once it is whole. `text` grows from call
    /// to call.
    pub(super) fn end(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate().skip(self.at) {
            self.at = at + 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[derive(Deserialize)]
struct Written<'a> {
    id: Option<String>,
    name: String,
    #[serde(borrow, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

impl Written<'_> {
    fn call(self) -> Option<ToolCall> {
        let arguments = self.arguments.map_or("{}", RawValue::get);
        let whole = !self.name.is_empty() && arguments.starts_with('{');
        whole.then(|| ToolCall { id: self.id, name: self.name, arguments: arguments.to_owned() })
    }
}

/// The call or the calls that a JSON value stands for.
pub(super) fn calls(value: &str) -> Option<Vec<ToolCall>> {
    let written: Vec<Written<'_>> = if value.starts_with('[') {
        serde_json::from_str(value).ok()?
    } else {
        vec![serde_json::from_str(value).ok()?]
    };
    let calls: Vec<ToolCall> = written.into_iter().map(Written::call).collect::<Option<_>>()?;
    (!calls.is_empty()).then_some(calls)
}
