//! Vocabularies of SentencePiece: pieces with scores, spaces written as `▁`, other bytes as
//! `<0xAB>`.

use serde_json::{Value, json};
use std::{cmp::Reverse, collections::HashSet};

use super::{Kind, Metadata, Vocabulary, special};
use crate::error::ModelError;

const SPACE: &str = "\u{2581}";

pub(super) fn parts(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Value, ModelError> {
    let key = "tokenizer.ggml.scores";
    let scores = match metadata.numbers(key)? {
        None => vec![0.0; vocabulary.tokens.len()],
        Some(scores) if scores.len() < vocabulary.tokens.len() => {
            return Err(metadata.bad(format!(
                "{key} has {} of {} tokens",
                scores.len(),
                vocabulary.tokens.len()
            )));
        }
        Some(scores) => scores,
    };
    let prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
    let normalizers = if prefix {
        vec![json!({ "type": "Prepend", "prepend": SPACE }), spaces]
    } else {
        vec![spaces]
    };
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let unknown = special(metadata, "unknown")?.map(|id| &vocabulary.tokens[id as usize]);
    Ok(json!({
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "vocab": vocabulary.json(), "merges": merges(vocabulary, &scores),
            "unk_token": unknown, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false
        }
    }))
}

/// SentencePiece joins the neighbours whose union has the highest score. The same as ranks: every
/// way to cut a piece into two, the highest scores first (`generate_merges` in transformers).
fn merges(vocabulary: &Vocabulary<'_>, scores: &[f64]) -> Vec<[String; 2]> {
    let pieces: HashSet<&str> = vocabulary
        .iter()
        .filter(|(_, kind)| matches!(kind, Kind::Text | Kind::UserDefined))
        .map(|(token, _)| token)
        .collect();
    let mut merges = Vec::new();
    for ((token, kind), score) in vocabulary.iter().zip(scores) {
        if matches!(kind, Kind::Text | Kind::UserDefined) {
            let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
            merges.extend(
                cuts.filter(|(left, right)| pieces.contains(left) && pieces.contains(right))
                    .map(|pair| (score, pair)),
            );
        }
    }
    // Where scores are equal, the longer left part first, so that the order does not depend on the
    // vocabulary's.
    merges.sort_by(|(a, left), (b, right)| {
        b.total_cmp(a).then_with(|| Reverse(left.0.len()).cmp(&Reverse(right.0.len())))
    });
    merges.into_iter().map(|(_, (left, right))| [left.to_owned(), right.to_owned()]).collect()
}
