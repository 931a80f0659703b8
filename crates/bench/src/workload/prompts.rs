//! The prompts: stories cut to the lengths of real requests, or a user's own.

use std::{path::Path, sync::Arc};

use serde::Deserialize;
use tricorn_device::Prompter;
use tricorn_text::template::Message;

use super::rng::Rng;
use crate::{error::BenchError, figures::quantile};

/// Lengths in tokens, ascending; what they are is said in the file.
const LENGTHS: &str = include_str!("../../data/spec_bench_lengths.txt");
/// `{"prompt", "response"}` a line.
const STORIES: &str = include_str!("../../data/stories.jsonl");

/// One prompt in tokens.
pub(crate) type Prompt = Arc<[u32]>;

/// How long prompts are, in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PromptLengths {
    /// Spec-Bench's lengths times this.
    pub scale: f64,
    /// None is longer.
    pub most: usize,
}

impl PromptLengths {
    /// Spec-Bench's lengths.
    pub const SPEC_BENCH: Self = Self { scale: 1.0, most: usize::MAX };

    /// `count` lengths that represent the distribution: the middle quantile of each of `count`
    /// equal strata, in a random order.
    fn stratified(self, count: usize, rng: &mut Rng) -> Vec<usize> {
        let lengths: Vec<f64> = LENGTHS.lines().filter_map(|line| line.parse().ok()).collect();
        let mut picked: Vec<usize> = (0..count)
            .filter_map(|stratum| quantile(&lengths, (stratum as f64 + 0.5) / count as f64))
            .map(|length| ((length * self.scale).round() as usize).clamp(1, self.most.max(1)))
            .collect();
        rng.shuffle(&mut picked);
        picked
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Story {
    prompt: String,
    #[serde(default)]
    response: String,
}

/// Where prompts come from.
#[derive(Debug)]
pub struct Prompts {
    source: Source,
    /// The longest prompt that leaves room for the tokens to generate.
    room: usize,
}

#[derive(Debug)]
enum Source {
    /// The tokens of stories one after the other, to be cut to any length, and what to ask after
    /// them.
    Stories { context: Vec<u32>, questions: Vec<Question> },
    /// A user's own, as they are.
    Own(Vec<Prompt>),
}

/// The request for a story as the chat template renders it, shorter and shorter: a request may be
/// shorter than the question.
#[derive(Debug)]
struct Question {
    by_words: Vec<Vec<u32>>,
}

impl Question {
    fn new(prompter: &Prompter, text: &str) -> Result<Self, BenchError> {
        let words: Vec<&str> = text.split(' ').collect();
        let by_words = (1..=words.len())
            .map(|count| prompter.chat(&[Message::new("user", words[..count].join(" "))]));
        Ok(Self { by_words: by_words.collect::<Result<_, _>>()? })
    }

    /// As many words as fit into `length` tokens, and at least one.
    fn within(&self, length: usize) -> &[u32] {
        let fits = self.by_words.iter().rev().find(|tokens| tokens.len() <= length);
        fits.or(self.by_words.first()).map_or(&[], Vec::as_slice)
    }
}

impl Prompts {
    /// The bundled stories: a request is as many tokens of earlier stories as its length asks for,
    /// then the request for another one.
    ///
    /// # Errors
    /// When the model has no chat template or its tokenizer fails.
    pub fn stories(
        prompter: &Prompter,
        context: usize,
        max_new_tokens: usize,
    ) -> Result<Self, BenchError> {
        let room = room(context, max_new_tokens)?;
        let stories =
            parse(STORIES).map_err(|(line, reason)| BenchError::Prompt { line, reason })?;
        // Every second story is asked for, so that no answer stands in the context.
        let (told, asked): (Vec<_>, Vec<_>) =
            stories.iter().enumerate().partition(|(index, _)| index % 2 == 0);
        let text: Vec<&str> = told.iter().map(|(_, story)| story.response.as_str()).collect();
        let questions = asked
            .iter()
            .map(|(_, story)| Question::new(prompter, &story.prompt))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            source: Source::Stories { context: prompter.raw(&text.join("\n\n"))?, questions },
            room,
        })
    }

    /// The prompts of a file: a JSON object with the field `prompt` a line.
    ///
    /// # Errors
    /// When the file cannot be read, a line is no such object, or a prompt leaves no room for
    /// `max_new_tokens` in the context.
    pub fn from_file(
        file: &Path,
        prompter: &Prompter,
        context: usize,
        max_new_tokens: usize,
    ) -> Result<Self, BenchError> {
        let room = room(context, max_new_tokens)?;
        let text = std::fs::read_to_string(file)
            .map_err(|source| BenchError::Read { file: file.to_owned(), source })?;
        let stories = parse(&text).map_err(|(line, reason)| BenchError::Prompt { line, reason })?;
        let own = stories.iter().zip(1..).map(|(story, line)| {
            let tokens = prompter.chat(&[Message::new("user", story.prompt.as_str())])?;
            if tokens.len() > room {
                let reason = format!(
                    "it has {} tokens and {room} fit beside {max_new_tokens} new ones",
                    tokens.len()
                );
                return Err(BenchError::Prompt { line, reason });
            }
            Ok(tokens.into())
        });
        let own: Vec<Prompt> = own.collect::<Result<_, _>>()?;
        if own.is_empty() {
            return Err(BenchError::Prompt { line: 1, reason: "there is none".to_owned() });
        }
        Ok(Self { source: Source::Own(own), room })
    }

    /// `count` prompts, the same ones for the same seed. Lengths are those asked for, but a user's
    /// own prompts keep theirs.
    pub(crate) fn pick(&self, count: usize, lengths: PromptLengths, rng: &mut Rng) -> Vec<Prompt> {
        match &self.source {
            Source::Own(own) => own.iter().cycle().take(count).map(Arc::clone).collect(),
            Source::Stories { .. } => {
                let lengths = lengths.stratified(count, rng);
                lengths
                    .into_iter()
                    .enumerate()
                    .map(|(index, length)| self.cut(index, length, rng))
                    .collect()
            }
        }
    }

    /// One prompt of about `length` tokens.
    pub(crate) fn one(&self, length: usize, rng: &mut Rng) -> Prompt {
        self.cut(0, length, rng)
    }

    fn cut(&self, index: usize, length: usize, rng: &mut Rng) -> Prompt {
        match &self.source {
            Source::Own(own) => {
                own.get(index % own.len().max(1)).map(Arc::clone).unwrap_or_default()
            }
            Source::Stories { context, questions } => {
                let length = length.min(self.room);
                let question = questions
                    .get(index % questions.len().max(1))
                    .map_or(&[][..], |question| question.within(length));
                let before = length.saturating_sub(question.len()).min(context.len());
                // From a random place, so that prompts do not begin alike.
                let start = (rng.uniform() * (context.len() - before + 1) as f64) as usize;
                [&context[start..start + before], question].concat().into()
            }
        }
    }
}

fn room(context: usize, max_new_tokens: usize) -> Result<usize, BenchError> {
    match context.checked_sub(max_new_tokens) {
        Some(room) if room > 0 && max_new_tokens > 0 => Ok(room),
        _ => Err(BenchError::MaxNew { asked: max_new_tokens, most: context.saturating_sub(1) }),
    }
}

/// The stories of a JSONL text; else the first faulty line's number and what is wrong with it.
fn parse(text: &str) -> Result<Vec<Story>, (usize, String)> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            serde_json::from_str(line).map_err(|error| (number, error.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(lengths: &[usize]) -> f64 {
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
    }

    #[test]
    fn few_lengths_represent_the_distribution() {
        for (count, tolerance) in [(240, 1e-3), (60, 0.02), (24, 0.05), (12, 0.08)] {
            let lengths = PromptLengths::SPEC_BENCH.stratified(count, &mut Rng::stream(1, 0));
            assert_eq!(lengths.len(), count);
            assert!(
                (mean(&lengths) / 351.0 - 1.0).abs() < tolerance,
                "{count}: {}",
                mean(&lengths)
            );
        }
        let lengths = PromptLengths::SPEC_BENCH.stratified(20, &mut Rng::stream(1, 0));
        assert_eq!(
            lengths.iter().filter(|&&length| length >= 961).count(),
            2,
            "a tenth is as long as the longest tenth: {lengths:?}"
        );
    }

    #[test]
    fn lengths_are_scaled_and_capped() {
        let lengths =
            PromptLengths { scale: 0.25, most: 100 }.stratified(48, &mut Rng::stream(2, 0));
        assert!(
            lengths.iter().all(|&length| (1..=100).contains(&length)) && lengths.contains(&100)
        );
    }

    #[test]
    fn the_seed_decides_the_order_only() {
        let of = |seed| PromptLengths::SPEC_BENCH.stratified(16, &mut Rng::stream(seed, 0));
        let sorted = |mut lengths: Vec<usize>| {
            lengths.sort_unstable();
            lengths
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(sorted(of(1)), sorted(of(2)));
    }

    #[test]
    fn bundled_data_is_whole() {
        assert_eq!(LENGTHS.lines().filter(|line| line.parse::<usize>().is_ok()).count(), 240);
        assert!(
            parse(STORIES)
                .unwrap()
                .iter()
                .all(|story| story.prompt.len() > 20 && story.response.len() > 500)
        );
        assert_eq!(parse("{\"prompt\":\"a\"}\n\n{}").unwrap_err().0, 3);
    }

    #[test]
    fn room_is_left_for_the_answer() {
        assert_eq!(room(128, 28).unwrap(), 100);
        assert!(matches!(room(128, 128), Err(BenchError::MaxNew { most: 127, .. })));
        assert!(room(128, 0).is_err());
    }
}
