//! Byte-level vocabularies: a token's text is in GPT-2's alphabet of printable bytes, and merges
//! have ranks.

use serde_json::{Value, json};

use super::{Metadata, Vocabulary};
use crate::error::{ModelError, one_line};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// How a text is cut into words before merging.
struct Cuts {
    /// One after the other, each on the pieces of the one before.
    patterns: &'static [&'static str],
    /// Whether a word that is a token is taken whole, whatever the merges.
    whole_words: bool,
    /// Whether texts begin with the token that begins a text where the file does not say.
    bos: bool,
    /// Whether characters are composed first.
    nfc: bool,
}

/// By the names in `tokenizer.ggml.pre`. The expressions are those of the models' own
/// `tokenizer.json`.
fn cuts(metadata: &Metadata) -> Result<Cuts, ModelError> {
    let plain = |patterns| Cuts { patterns, whole_words: false, bos: false, nfc: false };
    Ok(match metadata.text("tokenizer.ggml.pre")?.unwrap_or("default") {
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "pixtral" => {
            Cuts { whole_words: true, bos: true, ..plain(&[LLAMA3]) }
        }
        "smaug-bpe" | "dbrx" => plain(&[LLAMA3]),
        "qwen2" | "deepseek-r1-qwen" | "megrez" => Cuts { nfc: true, ..plain(&[QWEN2]) },
        "tekken" => Cuts { whole_words: true, bos: true, ..plain(&[TEKKEN]) },
        "gpt-2" => plain(&[GPT2]),
        "smollm" | "starcoder" | "refact" | "codeshell" => plain(&[r"\p{N}", GPT2]),
        // What llama.cpp does with files that do not say, which are old or made without care.
        "default" => plain(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]),
        other => {
            return Err(ModelError::Unsupported {
                what: format!("the pre-tokenizer `{}` of the GGUF file", one_line(other)),
                mend: "use the model's Hugging Face directory",
            });
        }
    })
}

pub(super) fn begins_with_bos(metadata: &Metadata) -> Result<bool, ModelError> {
    Ok(cuts(metadata)?.bos)
}

pub(super) fn parts(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, ModelError> {
    let key = "tokenizer.ggml.merges";
    let merges = metadata.required(key, metadata.texts(key)?)?;
    let merges: Vec<[&str; 2]> =
        merges.iter().map(|merge| pair(merge)).collect::<Option<_>>().ok_or_else(|| {
            metadata.bad(format!("{key} has an entry that is not two parts with a space between"))
        })?;
    let Cuts { patterns, whole_words, nfc, .. } = cuts(metadata)?;
    let bytes = |use_regex| {
        json!({
            "type": "ByteLevel",
            "add_prefix_space": false,
            "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let split = |pattern: &&str| {
        json!({
            "type": "Split",
            "pattern": { "Regex": pattern },
            "behavior": "Isolated",
            "invert": false,
        })
    };
    let mut steps: Vec<Value> = patterns.iter().map(split).collect();
    steps.push(bytes(false));
    Ok(json!({
        "normalizer": nfc.then(|| json!({ "type": "NFC" })),
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": steps },
        "decoder": bytes(true),
        "model": {
            "type": "BPE",
            "vocab": vocabulary.json(),
            "merges": merges,
            "ignore_merges": whole_words,
        },
    }))
}

/// The two parts of a merge; the first may begin with a space.
fn pair(merge: &str) -> Option<[&str; 2]> {
    let first = merge.chars().next()?.len_utf8();
    let at = first + merge.get(first..)?.find(' ')?;
    Some([&merge[..at], &merge[at + 1..]])
}
