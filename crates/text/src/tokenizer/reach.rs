//! Reach of a token: how much of a text one can stand for, which bounds from below the tokens that
//! a text of some length has.

use tokenizers::{
    ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
    models::bpe::BPE,
};

use super::bytes::byte_of_char;

/// No normal form of Unicode, and no lower case, makes one character of more than 4 of at most 4
/// bytes.
const NORMAL_FORM: usize = 16;
/// Bytes of the longest character.
const CHARACTER: usize = 4;

/// The most bytes of a text that one token can stand for; `None` where parts of any length may be
/// dropped, collapsed or unknown.
pub(super) fn longest(tokenizer: &Tokenizer) -> Option<usize> {
    let shrinks = tokenizer.get_normalizer().map_or(Some(1), shrinks)?;
    let added = tokenizer.get_added_tokens_decoder();
    // Some added tokens take any white space beside them along.
    if !tokenizer.get_pre_tokenizer().is_none_or(keeps)
        || added.values().any(|token| token.lstrip || token.rstrip)
    {
        return None;
    }
    let ModelWrapper::BPE(model) = tokenizer.get_model() else { return None };
    let byte_level = tokenizer.get_pre_tokenizer().is_some_and(spells_bytes)
        || tokenizer.get_normalizer().is_some_and(normalizes_to_bytes);
    if !knows_all(tokenizer, model, byte_level) {
        return None;
    }
    let vocabulary = tokenizer.get_vocab(false);
    let spelled =
        vocabulary.keys().map(|token| if byte_level { token.chars().count() } else { token.len() });
    let added = added.values().map(|token| token.content.len());
    Some(spelled.chain(added).max()?.max(CHARACTER) * shrinks)
}

/// Whether every text is made of tokens, each unknown character at least of one.
fn knows_all(tokenizer: &Tokenizer, model: &BPE, byte_level: bool) -> bool {
    let known = |token: String| tokenizer.token_to_id(&token).is_some();
    if byte_level {
        byte_of_char().into_keys().all(|letter| known(letter.to_string()))
    } else {
        let fallback =
            model.byte_fallback && (0..=u8::MAX).all(|byte| known(format!("<0x{byte:02X}>")));
        fallback || (model.unk_token.is_some() && !model.fuse_unk)
    }
}

/// How many bytes of a text may become one; `None` for any number.
fn shrinks(normalizer: &NormalizerWrapper) -> Option<usize> {
    match normalizer {
        NormalizerWrapper::Prepend(_) | NormalizerWrapper::ByteLevel(_) => Some(1),
        NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_)
        | NormalizerWrapper::Lowercase(_) => Some(NORMAL_FORM),
        NormalizerWrapper::Replace(replace) => {
            // The pattern is private; it is there in what is written to files.
            let written = serde_json::to_value(replace).ok()?;
            let pattern = written.pointer("/pattern/String")?.as_str()?.len();
            (!replace.content.is_empty()).then(|| pattern.div_ceil(replace.content.len()).max(1))
        }
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().map(shrinks).product(),
        _ => None,
    }
}

/// Whether all of a text is left.
fn keeps(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(_)
        | PreTokenizerWrapper::Metaspace(_)
        | PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::Split(split) => split.behavior != SplitDelimiterBehavior::Removed,
        PreTokenizerWrapper::Punctuation(punctuation) => {
            punctuation.behavior != SplitDelimiterBehavior::Removed
        }
        PreTokenizerWrapper::Sequence(sequence) => sequence.as_ref().iter().all(keeps),
        _ => false,
    }
}

fn spells_bytes(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(_) => true,
        PreTokenizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(spells_bytes),
        _ => false,
    }
}

fn normalizes_to_bytes(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::ByteLevel(_) => true,
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(normalizes_to_bytes),
        _ => false,
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
