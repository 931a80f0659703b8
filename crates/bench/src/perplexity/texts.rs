//! Texts that a model is measured on, as token sequences.

use crate::error::BenchError;
use serde::Deserialize;
use std::path::Path;
use tricorn_model::ModelSource;
use tricorn_text::{ChatTemplate, TextError, TextTokenizer, template::Message};

/// Texts cut in windows. A window begins anew: no token sees those of the window before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    windows: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct Example {
    prompt: String,
    #[serde(default)]
    response: String,
}

impl Texts {
    /// Reads a file: one JSON object `{"prompt", "response"}` a line where its name ends in
    /// `.jsonl`, each a conversation as the model's chat template writes it and never in one window
    /// with another; else plain text, all of it one sequence. Windows are at most `window` tokens;
    /// all files of texts together give at most `most` tokens.
    ///
    /// # Errors
    /// When the file cannot be read, a line is no such object, or there is nothing to predict.
    pub fn from_file(
        file: &Path,
        source: &ModelSource,
        window: usize,
        most: usize,
    ) -> Result<Self, BenchError> {
        if window < 2 {
            return Err(BenchError::Setting {
                what: "--window",
                value: window.to_string(),
                instead: "at least 2 tokens".to_owned(),
            });
        }
        let text = std::fs::read_to_string(file)
            .map_err(|source| BenchError::Read { file: file.to_owned(), source })?;
        let (tokenizer, template) = (source.tokenizer()?, source.template()?);
        let sequences = if file.extension().is_some_and(|extension| extension == "jsonl") {
            let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
            lines
                .map(|(line, number)| conversation(line, number, &tokenizer, template.as_ref()))
                .collect::<Result<Vec<_>, _>>()?
        } else {
            vec![tokenizer.encode(&text, true)?]
        };
        let windows = cut(&sequences, window, most);
        if windows.is_empty() {
            return Err(BenchError::NoText { file: file.to_owned() });
        }
        Ok(Self { windows })
    }

    /// The windows, at least two tokens each.
    #[must_use]
    pub fn windows(&self) -> &[Vec<u32>] {
        &self.windows
    }

    /// Tokens that are predicted: all but the first of each window.
    #[must_use]
    pub fn predicted(&self) -> usize {
        self.windows.iter().map(|window| window.len() - 1).sum()
    }
}

fn conversation(
    line: &str,
    number: usize,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Vec<u32>, BenchError> {
    let Example { prompt, response } = serde_json::from_str(line)
        .map_err(|error| BenchError::Text { line: number, reason: error.to_string() })?;
    let render = || -> Result<_, TextError> {
        match template {
            Some(template) => {
                let messages = [
                    Message::new("user", prompt.as_str()),
                    Message::new("assistant", response.as_str()),
                ];
                tokenizer.encode(&template.render(&messages, false)?, false)
            }
            None => tokenizer.encode(&format!("{prompt}{response}"), true),
        }
    };
    Ok(render()?)
}

/// Cuts each sequence in windows, until `most` tokens are taken. Windows of one token, in which
/// nothing is predicted, are left out.
fn cut(sequences: &[Vec<u32>], window: usize, most: usize) -> Vec<Vec<u32>> {
    let mut left = most;
    let mut windows = Vec::new();
    for part in sequences.iter().flat_map(|sequence| sequence.chunks(window)) {
        let part = &part[..part.len().min(left)];
        left -= part.len();
        if part.len() > 1 {
            windows.push(part.to_vec());
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_in_one_window_and_sequences_do_not_mix() {
        let sequences = [(0..7).collect(), vec![10], (20..23).collect()];
        assert_eq!(cut(&sequences, 3, 100), [vec![0, 1, 2], vec![3, 4, 5], vec![20, 21, 22]]);
        assert_eq!(cut(&sequences, 8, 9), [vec![0, 1, 2, 3, 4, 5, 6]]);
        assert_eq!(cut(&sequences, 4, 6), [vec![0, 1, 2, 3], vec![4, 5]]);
    }
}
