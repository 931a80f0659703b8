//! Metadata to `tokenizer.json` and `tokenizer_config.json`.

mod bpe;
mod sentencepiece;

use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::HashMap};

use super::metadata::Metadata;
use crate::error::{ModelError, one_line};

/// Longer tokens than any vocabulary's; bounds the work of finding merges.
const MAX_TOKEN: usize = 1 << 12;

/// Texts of tokens that end a turn, which files often do not mark otherwise; those of llama.cpp
/// (`llama_vocab::impl::load`) that occur in the families this engine runs.
const ENDS: [&str; 9] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<EOT>",
    "</s>",
];

/// The kinds of tokenizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    /// Byte-pair encoding by scores, as SentencePiece writes it.
    SentencePiece,
    /// Byte-pair encoding by ranks over bytes, as GPT-2 has it.
    ByteLevel,
}

/// The values of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Unknown,
    Control,
    UserDefined,
    Byte,
}

/// The tokens of a file.
struct Vocabulary<'a> {
    tokens: Vec<Cow<'a, str>>,
    kinds: Vec<Kind>,
}

pub(super) fn tokenizer(metadata: &Metadata) -> Result<Value, ModelError> {
    let vocabulary = Vocabulary::read(metadata)?;
    let mut tokenizer = match Model::of(metadata)? {
        Model::SentencePiece => sentencepiece::parts(metadata, &vocabulary)?,
        Model::ByteLevel => bpe::parts(metadata, &vocabulary)?,
    };
    tokenizer["version"] = "1.0".into();
    tokenizer["added_tokens"] = vocabulary.added();
    tokenizer["post_processor"] = around(metadata, &vocabulary)?;
    Ok(tokenizer)
}

/// The chat template and the texts of the special tokens that templates refer to.
pub(super) fn config(metadata: &Metadata) -> Result<Value, ModelError> {
    let vocabulary = Vocabulary::read(metadata)?;
    let mut config = Map::new();
    for (name, which) in [
        ("bos_token", "bos"),
        ("eos_token", "eos"),
        ("unk_token", "unknown"),
        ("pad_token", "padding"),
    ] {
        if let Some(token) =
            special(metadata, which)?.and_then(|id| vocabulary.tokens.get(id as usize))
        {
            config.insert(name.to_owned(), json!(token));
        }
    }
    if let Some(template) = metadata.text("tokenizer.chat_template")? {
        config.insert("chat_template".to_owned(), template.into());
    }
    Ok(config.into())
}

/// The id of a special token, below the number of tokens: `bos`, `eos`, `eot`, `eom`, `unknown` or
/// `padding`.
pub(super) fn special(metadata: &Metadata, which: &str) -> Result<Option<u32>, ModelError> {
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default().len();
    let key = format!("tokenizer.ggml.{which}_token_id");
    // What SentencePiece's ids are where the file does not say.
    let by_default = || match which {
        "unknown" => Some(0),
        "bos" => Some(1),
        "eos" => Some(2),
        _ => None,
    };
    match metadata.count(&key)? {
        Some(id) => match u32::try_from(id) {
            Ok(id) if (id as usize) < tokens => Ok(Some(id)),
            _ => Err(metadata.bad(format!("{key} is {id}, but there are {tokens} tokens"))),
        },
        None if Model::of(metadata)? == Model::SentencePiece => {
            Ok(by_default().filter(|&id| (id as usize) < tokens))
        }
        None => Ok(None),
    }
}

/// All tokens that end a text or a turn: those the file names, and control tokens with well-known
/// texts.
pub(super) fn ends(metadata: &Metadata) -> Result<Vec<u32>, ModelError> {
    let mut ends = Vec::new();
    for which in ["eos", "eot", "eom"] {
        ends.extend(special(metadata, which)?);
    }
    let vocabulary = Vocabulary::read(metadata)?;
    for (id, (token, kind)) in (0..).zip(vocabulary.iter()) {
        if matches!(kind, Kind::Control | Kind::UserDefined) && ENDS.contains(&token) {
            ends.push(id);
        }
    }
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}

/// What is put around a text that stands alone.
fn around(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, ModelError> {
    let bos_by_default = match Model::of(metadata)? {
        Model::SentencePiece => true,
        Model::ByteLevel => bpe::begins_with_bos(metadata)?,
    };
    let mut single = Vec::new();
    let mut special_tokens = Map::new();
    let mut add = |which: &str| -> Result<Option<Value>, ModelError> {
        let Some(id) = special(metadata, which)? else { return Ok(None) };
        let token = &vocabulary.tokens[id as usize];
        special_tokens.insert(
            token.clone().into_owned(),
            json!({ "id": token, "ids": [id], "tokens": [token] }),
        );
        Ok(Some(json!({ "SpecialToken": { "id": token, "type_id": 0 } })))
    };
    if metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(bos_by_default) {
        single.extend(add("bos")?);
    }
    single.push(json!({ "Sequence": { "id": "A", "type_id": 0 } }));
    if metadata.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false) {
        single.extend(add("eos")?);
    }
    let pair = [single.as_slice(), &[json!({ "Sequence": { "id": "B", "type_id": 0 } })]].concat();
    Ok(json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": special_tokens,
    }))
}

impl Model {
    fn of(metadata: &Metadata) -> Result<Self, ModelError> {
        let key = "tokenizer.ggml.model";
        match metadata.required(key, metadata.text(key)?)? {
            "llama" => Ok(Self::SentencePiece),
            "gpt2" => Ok(Self::ByteLevel),
            other => Err(ModelError::Unsupported {
                what: format!("the tokenizer `{}` of the GGUF file", one_line(other)),
                mend: "use a file with a `llama` or `gpt2` tokenizer, or the model's Hugging Face \
                       directory",
            }),
        }
    }
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, ModelError> {
        let key = "tokenizer.ggml.tokens";
        let texts = metadata.required(key, metadata.texts(key)?)?;
        // Ids fit 32 bits: the header is shorter than that.
        let tokens: Vec<Cow<'_, str>> = texts
            .iter()
            .enumerate()
            .map(
                |(id, text)| {
                    if text.is_empty() { format!("[EMPTY_{id}]").into() } else { text.into() }
                },
            )
            .collect();
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            if token.len() > MAX_TOKEN {
                return Err(metadata.bad(format!("token {id} is {} bytes long", token.len())));
            }
            if let Some(first) = ids.insert(token.as_ref(), id) {
                return Err(metadata.bad(format!("token {id} has the text of token {first}")));
            }
        }
        let kinds = match metadata.numbers("tokenizer.ggml.token_type")? {
            None => vec![Kind::Text; tokens.len()],
            Some(kinds) if kinds.len() < tokens.len() => {
                return Err(metadata.bad(format!(
                    "tokenizer.ggml.token_type has {} of {} tokens",
                    kinds.len(),
                    tokens.len()
                )));
            }
            Some(kinds) => {
                kinds[..tokens.len()].iter().map(|kind| Kind::from_number(*kind as i64)).collect()
            }
        };
        Ok(Self { tokens, kinds })
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.tokens.iter().map(AsRef::as_ref).zip(self.kinds.iter().copied())
    }

    /// Text to id.
    fn json(&self) -> Map<String, Value> {
        self.tokens
            .iter()
            .zip(0_u32..)
            .map(|(token, id)| (token.clone().into_owned(), id.into()))
            .collect()
    }

    /// The tokens that are found in a text before anything else.
    fn added(&self) -> Value {
        let added = (0_u32..).zip(self.iter()).filter_map(|(id, (token, kind))| {
            let special = match kind {
                Kind::Control | Kind::Unknown => true,
                Kind::UserDefined => false,
                Kind::Text | Kind::Byte => return None,
            };
            Some(json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": special,
            }))
        });
        added.collect()
    }
}

impl Kind {
    /// Tokens marked unused are texts too: nothing in a text leads to them.
    fn from_number(number: i64) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
#[path = "tokenizer/tests.rs"]
mod tests;
