//! The bytes of a model's tokens, as llguidance reads them.

use super::ConstraintError;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use std::sync::Arc;

/// A trie over the bytes of all tokens, with one more behind them that stands for the end of the text: a model may have several stop tokens or
/// none.
pub(super) fn environment(mut words: Vec<Vec<u8>>) -> Result<(TokEnv, u32), ConstraintError> {
    let end = u32::try_from(words.len()).map_err(|_| ConstraintError::Vocabulary { problem: "it has too many tokens".to_owned() })?;
    if words.iter().all(Vec::is_empty) {
        return Err(ConstraintError::Vocabulary { problem: "its tokenizer does not tell the bytes of tokens".to_owned() });
    }
    let mut name = b"<|end of text|>".to_vec();
    name.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
    words.push(name);
    let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &words);
    Ok((Arc::new(ApproximateTokEnv::new(trie)), end))
}
