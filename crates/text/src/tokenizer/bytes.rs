//! Bytes that each token of a vocabulary stands for.
//!
//! A token's bytes do not depend on its neighbours, which its decoded text does: characters are cut
//! between tokens, and a decoder takes the space off the first word of a text. Constrained decoding
//! and log-probabilities want the bytes.

use std::collections::HashMap;

use tokenizers::{DecoderWrapper, Tokenizer};

/// How a vocabulary spells bytes, as the tokenizer's decoder says.
#[derive(Debug)]
pub(super) enum Spelling {
    /// Each character stands for one byte, as GPT-2 began it.
    ByteLevel(HashMap<char, u8>),
    /// Text in which other texts stand for spaces, with tokens such as `<0x0A>` for bytes where
    /// `bytes` is set, as SentencePiece does it.
    Text { replaced: Vec<(String, String)>, bytes: bool },
}

impl Spelling {
    /// `None` where a token's text depends on its neighbours, as WordPiece's does.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let mut spelling = Self::Text { replaced: Vec::new(), bytes: false };
        spelling.read(tokenizer.get_decoder()?).then_some(spelling)
    }

    /// Takes over what a decoder does to a token that stands inside a text; whether that can be
    /// told for a token alone.
    fn read(&mut self, decoder: &DecoderWrapper) -> bool {
        match (decoder, self) {
            (DecoderWrapper::Sequence(sequence), this) => {
                sequence.get_decoders().iter().all(|decoder| this.read(decoder))
            }
            (DecoderWrapper::ByteLevel(_), this) => {
                *this = Self::ByteLevel(byte_of_char());
                true
            }
            (DecoderWrapper::Metaspace(metaspace), Self::Text { replaced, .. }) => {
                replaced.push((metaspace.get_replacement().to_string(), " ".to_owned()));
                true
            }
            (DecoderWrapper::Replace(replace), Self::Text { replaced, .. }) => {
                // The pattern is private; it is there in what is written to files.
                let Ok(written) = serde_json::to_value(replace) else { return false };
                let Some(pattern) =
                    written.pointer("/pattern/String").and_then(|pattern| pattern.as_str())
                else {
                    return false;
                };
                replaced.push((pattern.to_owned(), replace.content.clone()));
                true
            }
            (DecoderWrapper::ByteFallback(_), Self::Text { bytes, .. }) => {
                *bytes = true;
                true
            }
            // Both concern the joined text.
            (DecoderWrapper::Fuse(_) | DecoderWrapper::Strip(_), _) => true,
            _ => false,
        }
    }

    /// The bytes of a token as the vocabulary spells it.
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            // Added tokens may have other characters than the alphabet's; the decoder leaves those
            // tokens as they are.
            Self::ByteLevel(byte_of) => token
                .chars()
                .map(|char| byte_of.get(&char).copied())
                .collect::<Option<_>>()
                .unwrap_or_else(|| token.as_bytes().to_vec()),
            Self::Text { replaced, bytes } => match bytes.then(|| fallback(token)).flatten() {
                Some(byte) => vec![byte],
                None => replaced
                    .iter()
                    .fold(token.to_owned(), |text, (from, to)| text.replace(from, to))
                    .into_bytes(),
            },
        }
    }
}

/// The byte of a token such as `<0x0A>`.
fn fallback(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// GPT-2's alphabet (`bytes_to_unicode` in its `encoder.py`): printable bytes are themselves, the
/// others follow from U+0100.
pub(super) fn byte_of_char() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let (own, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(printable);
    let moved = ('\u{100}'..).zip(others);
    own.into_iter().map(|byte| (char::from(byte), byte)).chain(moved).collect()
}

#[cfg(test)]
#[path = "bytes_tests.rs"]
mod tests;
