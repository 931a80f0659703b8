//! A growing text as content and calls.

use super::{ToolCall, ToolStyle, json};

/// Bytes of a call's JSON; what is longer is content.
const MAX_CALL: usize = 256 << 10;
/// Blanks before a call that do not count as content.
const MAX_BLANKS: usize = 64;

/// What a piece of text released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Text that belongs to no call.
    pub content: String,
    /// Calls that are whole now.
    pub calls: Vec<ToolCall>,
}

/// Tells calls from content in a text that comes in pieces, as soon as it is certain: joined, what
/// is released is the same for all pieces.
///
/// What only looks like a call is content, as it was written. Text is held back while it may become
/// a call, at most 256 KiB of it.
#[derive(Debug)]
pub struct ToolCallParser {
    style: ToolStyle,
    /// Functions that may be called.
    names: Vec<String>,
    held: String,
    place: Place,
    /// Whether nothing but blanks followed the last call.
    fresh: bool,
}

#[derive(Debug)]
enum Place {
    /// Where an answer may begin with a call.
    Start,
    /// In content that may hold a marker.
    Content,
    /// Behind a marker: the call's JSON begins at this offset, when it is no blank.
    Call { json: usize, scanner: json::Scanner },
    /// Behind a call's JSON.
    Behind,
    /// In content that can hold no more calls.
    Rest,
}

impl ToolCallParser {
    /// For an answer in this style. `tools` are those of the request, as OpenAI's API describes
    /// them.
    #[must_use]
    pub fn new(style: ToolStyle, tools: &[serde_json::Value]) -> Self {
        let name =
            |tool: &serde_json::Value| tool.pointer("/function/name")?.as_str().map(str::to_owned);
        let place = if style == ToolStyle::Llama { Place::Start } else { Place::Content };
        Self {
            style,
            names: tools.iter().filter_map(name).collect(),
            held: String::new(),
            place,
            fresh: false,
        }
    }

    /// Takes the next piece of the answer's text.
    pub fn push(&mut self, piece: &str) -> Parsed {
        self.held.push_str(piece);
        let mut parsed = Parsed::default();
        while self.step(&mut parsed) {}
        parsed
    }

    /// What was held back: no text follows.
    #[must_use]
    pub fn finish(mut self) -> Parsed {
        let mut parsed = Parsed::default();
        let blank = self.fresh && self.held.trim().is_empty();
        if !blank && !matches!(self.place, Place::Behind) {
            self.release(self.held.len(), &mut parsed);
        }
        parsed
    }

    /// One step into the held text; false when more text is needed.
    fn step(&mut self, parsed: &mut Parsed) -> bool {
        match &mut self.place {
            Place::Start => self.start(),
            Place::Content => self.content(parsed),
            Place::Call { json, scanner } => {
                *json += blanks(&self.held[*json..]);
                let (json, value) = (*json, &self.held[*json..]);
                if value.is_empty() {
                    return false;
                }
                let end = if begins_call(self.style, value) { scanner.end(value) } else { Some(0) };
                self.call(json, end, parsed)
            }
            Place::Behind => self.behind(),
            Place::Rest => {
                self.release(self.held.len(), parsed);
                false
            }
        }
    }

    fn start(&mut self) -> bool {
        let blanks = blanks(&self.held);
        let text = &self.held[blanks..];
        let marker = self.style.markers()[0];
        self.place = if let Some(rest) = text.strip_prefix(marker) {
            self.behind_marker(self.held.len() - rest.len())
        } else if text.starts_with('{') {
            self.behind_marker(blanks)
        } else if marker.starts_with(text) && blanks <= MAX_BLANKS {
            return false;
        } else {
            Place::Rest
        };
        true
    }

    fn content(&mut self, parsed: &mut Parsed) -> bool {
        let marker = self.style.markers()[0];
        let found = self.held.find(marker);
        let begins = found.unwrap_or_else(|| self.held.len() - partial(&self.held, marker));
        let blanks = self.held[..begins]
            .char_indices()
            .rev()
            .take(MAX_BLANKS)
            .take_while(|(_, char)| char.is_whitespace());
        let content = blanks.last().map_or(begins, |(at, _)| at);
        self.release(content, parsed);
        if let Some(found) = found {
            self.place = self.behind_marker(found - content + marker.len());
        }
        found.is_some()
    }

    /// `end` is the length of the call's JSON, 0 where there is none, and none where it is not
    /// whole yet.
    fn call(&mut self, json: usize, end: Option<usize>, parsed: &mut Parsed) -> bool {
        let limit = (json + MAX_CALL..self.held.len()).find(|&at| self.held.is_char_boundary(at));
        let (end, calls) = match (end.map(|end| json + end), limit) {
            (Some(end), limit) if limit.is_none_or(|limit| end <= limit) => {
                (end, self.calls(&self.held[json..end]))
            }
            (_, Some(limit)) => (limit, None),
            _ => return false,
        };
        let otherwise = if self.style == ToolStyle::Llama { Place::Rest } else { Place::Content };
        self.place = match calls {
            Some(mut calls) => {
                parsed.calls.append(&mut calls);
                self.held.drain(..end);
                self.fresh = true;
                Place::Behind
            }
            None => {
                self.release(end, parsed);
                otherwise
            }
        };
        true
    }

    fn calls(&self, value: &str) -> Option<Vec<ToolCall>> {
        // Without a marker, any object with a name might be taken for a call.
        let known =
            |calls: &Vec<ToolCall>| calls.iter().all(|call| self.names.contains(&call.name));
        json::calls(value).filter(|calls| self.style != ToolStyle::Llama || known(calls))
    }

    fn behind(&mut self) -> bool {
        let skipped = match self.style {
            ToolStyle::Llama => {
                self.held.len()
                    - self
                        .held
                        .trim_start_matches(|char: char| char.is_whitespace() || char == ';')
                        .len()
            }
            ToolStyle::Hermes | ToolStyle::Mistral => blanks(&self.held),
        };
        self.held.drain(..skipped);
        let (marker, next) = match self.style {
            ToolStyle::Mistral => ("", Place::Content),
            ToolStyle::Hermes => ("</tool_call>", Place::Content),
            ToolStyle::Llama => {
                ("", if self.held.starts_with(['{', '<']) { Place::Start } else { Place::Rest })
            }
        };
        if self.held.starts_with(marker) && !self.held.is_empty() {
            self.held.drain(..marker.len());
        } else if marker.starts_with(&self.held) {
            return false;
        }
        self.place = next;
        true
    }

    fn behind_marker(&self, json: usize) -> Place {
        Place::Call { json, scanner: json::Scanner::default() }
    }

    fn release(&mut self, len: usize, parsed: &mut Parsed) {
        self.fresh &= len == 0;
        parsed.content.extend(self.held.drain(..len));
    }
}

fn begins_call(style: ToolStyle, value: &str) -> bool {
    value.starts_with('{') || (style == ToolStyle::Mistral && value.starts_with('['))
}

/// Bytes of blanks at the beginning.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Bytes at the end of `text` that may become `marker`.
fn partial(text: &str, marker: &str) -> usize {
    (1..marker.len()).rev().find(|&len| text.ends_with(&marker[..len])).unwrap_or(0)
}
