//! Text offsets: the place in an answer's text at which each token begins.

/// The places of a choice's tokens in its text, in characters.
///
/// A character may be cut between tokens, and some tokens have no text: places are found by going
/// through the text itself.
#[derive(Clone, Debug, Default)]
pub(super) struct TextOffsets {
    text: Vec<u8>,
    /// Bytes of it that tokens so far stand for.
    at: usize,
    /// Characters that begin there.
    begun: usize,
}

impl TextOffsets {
    /// More of the text, which is there no later than its tokens.
    pub(super) fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Characters before the next token, which stands for these bytes. One that goes on within a
    /// character begins where that does.
    pub(super) fn next(&mut self, bytes: &[u8]) -> usize {
        let rest = &self.text[self.at..];
        let offset = self.begun - usize::from(rest.first().is_some_and(|&byte| goes_on(byte)));
        let replaced = char::REPLACEMENT_CHARACTER.len_utf8();
        let len = if rest.starts_with(bytes) {
            bytes.len()
        } else if rest.starts_with("\u{FFFD}".as_bytes()) && std::str::from_utf8(bytes).is_err() {
            // What never became a character.
            replaced
        } else {
            0
        };
        self.begun += rest[..len].iter().filter(|&&byte| !goes_on(byte)).count();
        self.at += len;
        offset
    }
}

/// Whether a byte of UTF-8 is within a character.
fn goes_on(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(text: &str, tokens: &[&[u8]]) -> Vec<usize> {
        let mut offsets = TextOffsets::default();
        offsets.push(text);
        tokens.iter().map(|token| offsets.next(token)).collect()
    }

    #[test]
    fn a_character_in_several_tokens_counts_once() {
        assert_eq!(offsets("a🦀b", &[b"a", b"\xF0\x9F", b"\xA6", b"\x80", b"b"]), [0, 1, 1, 1, 2]);
        assert_eq!(offsets("é 東.", &["é".as_bytes(), b" \xE6", b"\x9D\xB1.", b""]), [0, 1, 2, 4]);
    }

    #[test]
    fn tokens_without_text_take_no_place() {
        assert_eq!(offsets("ab", &[b"a", b"<|special|>", b"b", b"</s>"]), [0, 1, 1, 2]);
        // Bytes that never became a character are one replacement character.
        assert_eq!(offsets("\u{FFFD}ab", &[b"\xF0\x9F", b"a", b"b"]), [0, 1, 2]);
    }

    #[test]
    fn text_may_be_out_before_its_tokens() {
        let mut offsets = TextOffsets::default();
        offsets.push("one tw");
        assert_eq!(offsets.next(b"one"), 0);
        offsets.push("o!");
        assert_eq!([offsets.next(b" two"), offsets.next(b"!")], [3, 7]);
    }
}
