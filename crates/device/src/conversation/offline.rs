//! Offline turn: the device's drafter writes a text alone, while the cloud is out of reach.

use super::{clock::Clock, drafter_cache::DrafterCache};
use crate::{
    error::DeviceError,
    parts::DeviceParts,
    processor::Processor,
    turn::{Control, Crossed, Event, RoundTrace, TurnReport},
};
use std::{ops::ControlFlow, time::Duration};
use tricorn_core::{Choice, FinishReason, Sampler, TurnError, TurnStats};
use tricorn_model::{Drafter, KvCache};

/// Rows of a prompt computed at once: few enough that others get the processor in between.
const CHUNK: usize = 64;

/// The text that the drafter is to write.
#[derive(Debug)]
pub(crate) struct OfflineTurn {
    /// The prompt, then what was generated of the text so far.
    pub(crate) tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub(crate) prompt: usize,
    /// Most tokens of the text, those generated before included.
    pub(crate) max_new_tokens: usize,
    pub(crate) sampler: Sampler,
    /// Traffic before the cloud was lost.
    pub(crate) crossed: Crossed,
}

/// Lets the drafter write; each token counts as drafted. Nothing is kept: the next turn begins with
/// its prompt. What crossed the wire before is reported with it: nobody is to be told that nothing
/// left the device where something did.
///
/// # Errors
/// When the prompt is too long, or the device's computing or the sampler fails.
pub(crate) fn write(
    parts: &DeviceParts,
    drafter: &Drafter,
    processor: &Processor,
    turn: OfflineTurn,
    control: &Control,
    on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<TurnReport, DeviceError> {
    let OfflineTurn {
        mut tokens,
        prompt,
        max_new_tokens,
        mut sampler,
        crossed: Crossed { traffic, wire },
    } = turn;
    let context = parts.context;
    if prompt >= context {
        return Err(TurnError::TooLong { tokens: prompt, context }.into());
    }
    let clock = Clock::start();
    let mut solo = Solo {
        parts,
        drafter,
        input_kv: parts.input.new_kv(&parts.pool, context),
        cache: DrafterCache::new(drafter, drafter.new_kv(&parts.pool, context), parts.hidden),
    };
    let mut times = Vec::new();
    let finish = loop {
        if control.cancel.reason().is_some() {
            break FinishReason::Cancelled;
        }
        let generated = tokens.len() - prompt;
        if generated >= max_new_tokens || tokens.len() >= context {
            break FinishReason::Length;
        }
        if solo.taken() + 1 < tokens.len() {
            let _lease = processor.lease();
            solo.take(&tokens)?;
            continue;
        }
        let lease = processor.lease();
        let mut logits = solo.logits(&tokens)?;
        let Choice { token, ends: last, logprobs } =
            sampler.choose(&mut logits, &tokens[prompt..])?;
        drop(lease);
        tokens.push(token);
        times.push(clock.now());
        let round = RoundTrace {
            elapsed: clock.now(),
            bytes_up: traffic.up,
            bytes_down: traffic.down,
            tokens: 1,
            reused_tokens: 0,
        };
        let told = on_event(Event::Round(round));
        if told.is_break()
            || on_event(Event::Token { id: token, drafted: true, logprobs }).is_break()
        {
            break FinishReason::Cancelled;
        }
        if last || parts.stop_tokens.contains(&token) {
            break FinishReason::Stop;
        }
    };
    Ok(TurnReport {
        finish,
        stats: TurnStats {
            prompt_tokens: prompt,
            generated: tokens.len() - prompt,
            ..TurnStats::default()
        },
        token_ids: tokens.split_off(prompt),
        ttft: times.first().copied().unwrap_or_default(),
        gaps: times
            .windows(2)
            .filter_map(|pair| pair[1].checked_sub(pair[0]))
            .collect::<Vec<Duration>>(),
        bytes_up: traffic.up,
        bytes_down: traffic.down,
        trace: Vec::new(),
        wire,
        overruns: 0,
    })
}

/// The drafter on its own.
struct Solo<'p> {
    parts: &'p DeviceParts,
    drafter: &'p Drafter,
    input_kv: KvCache,
    cache: DrafterCache,
}

impl Solo<'_> {
    /// Tokens taken in.
    fn taken(&self) -> usize {
        self.cache.fed()
    }

    /// Takes in some of `tokens`, the last one not among them.
    fn take(&mut self, tokens: &[u32]) -> Result<(), DeviceError> {
        let begin = self.taken();
        let end = (begin + CHUNK).min(tokens.len() - 1);
        let rows = self.shallow(begin, &tokens[begin..end])?;
        Ok(self.cache.prompt(self.drafter, end, &rows)?)
    }

    /// Takes in the last token, and gives the logits of what follows it.
    fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, DeviceError> {
        let last = tokens.len() - 1;
        let row = self.shallow(last, &tokens[last..])?;
        let guess = self.cache.guess(self.drafter, tokens.len(), &row)?;
        Ok(self.parts.output.logits(&guess)?)
    }

    fn shallow(&mut self, pos: usize, tokens: &[u32]) -> Result<Vec<f32>, DeviceError> {
        Ok(self.parts.shallow(&mut self.input_kv, pos, tokens)?)
    }
}
