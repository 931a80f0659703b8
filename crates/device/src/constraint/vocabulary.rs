//! Vocabulary: the bytes of a model's tokens, as llguidance reads them.

use super::error::ConstraintError;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use std::sync::Arc;
use tricorn_text::TextTokenizer;

/// A trie over the bytes of all tokens, with one more behind them that stands for the end of the
/// text: a model may have several stop tokens or none.
pub(super) fn environment(tokenizer: &TextTokenizer) -> Result<(TokEnv, u32), ConstraintError> {
    let end = u32::try_from(tokenizer.vocab_size()).map_err(|_| ConstraintError::Vocabulary {
        problem: "it has too many tokens".to_owned(),
    })?;
    let special = tokenizer.special_ids();
    let bytes = |id: u32| {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default();
        // What is marked as special is never taken for text that looks the same.
        if special.binary_search(&id).is_ok() {
            [&[TokTrie::SPECIAL_TOKEN_MARKER], &bytes[..]].concat()
        } else {
            bytes
        }
    };
    let mut words: Vec<Vec<u8>> = (0..end).map(bytes).collect();
    if words
        .iter()
        .all(|word| word.first().is_none_or(|&first| first == TokTrie::SPECIAL_TOKEN_MARKER))
    {
        return Err(ConstraintError::Vocabulary {
            problem: "its tokenizer does not tell the bytes of tokens".to_owned(),
        });
    }
    words.push([&[TokTrie::SPECIAL_TOKEN_MARKER], &b"<|end of text|>"[..]].concat());
    let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &words);
    Ok((Arc::new(ApproximateTokEnv::new(trie)), end))
}
