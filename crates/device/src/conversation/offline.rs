//! A text that the device's drafter writes alone, while the cloud is out of reach.

use crate::{
    Control, DeviceError, Ends, Event, RoundTrace, SharedProcessor, TurnReport, drafts::Drafts,
    link::all_finite, report::Crossed, trace::Trace,
};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tricorn_core::{Choice, FinishReason, Sampler, TurnError, TurnStats};
use tricorn_model::{Drafter, KvCache};

/// Rows of a prompt computed at once: few enough that others get their turns.
const CHUNK: usize = 64;

/// What the drafter is to write.
#[derive(Debug)]
pub(crate) struct OfflineTurn {
    /// The prompt, then what was generated of the text so far.
    pub(crate) tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub(crate) prompt: usize,
    /// Most tokens of the text, those generated before included.
    pub(crate) max_new_tokens: usize,
    pub(crate) sampler: Sampler,
    /// What had left the device and come back before the cloud was lost.
    pub(crate) crossed: Crossed,
}

/// Lets the drafter write; each token counts as drafted. Nothing is kept: the next turn begins with
/// its prompt. What crossed the wire before is reported with it: nobody is to be told that nothing
/// left the device where something did.
///
/// # Errors
/// When the prompt is too long, or the device's computing or the sampler fails.
pub(crate) fn write(
    ends: &Ends,
    drafter: &Drafter,
    processor: &SharedProcessor,
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
    let context = ends.context;
    if prompt >= context {
        return Err(TurnError::TooLong { tokens: prompt, context }.into());
    }
    let mut trace = Trace::new(Instant::now(), false);
    let mut solo = Solo {
        ends,
        drafter,
        input_kv: ends.input.new_kv(&ends.pool, context),
        drafts: Drafts::new(drafter, drafter.new_kv(&ends.pool, context), ends.hidden),
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
            let _turn = processor.turn();
            solo.take(&tokens)?;
            continue;
        }
        let turn = processor.turn();
        let mut logits = solo.logits(&tokens)?;
        let Choice { token, ends: last, logprobs } =
            sampler.choose(&mut logits, &tokens[prompt..])?;
        drop(turn);
        tokens.push(token);
        times.push(trace.now());
        let round = RoundTrace {
            elapsed: trace.now(),
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
        if last || ends.stop_tokens.contains(&token) {
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
        trace: trace.take(),
        wire,
        overruns: 0,
    })
}

/// The drafter on its own.
struct Solo<'e> {
    ends: &'e Ends,
    drafter: &'e Drafter,
    input_kv: KvCache,
    drafts: Drafts,
}

impl Solo<'_> {
    /// Tokens taken in.
    fn taken(&self) -> usize {
        self.drafts.fed()
    }

    /// Takes in some of `tokens`, the last one not among them.
    fn take(&mut self, tokens: &[u32]) -> Result<(), DeviceError> {
        let begin = self.taken();
        let end = (begin + CHUNK).min(tokens.len() - 1);
        let rows = self.shallow(begin, &tokens[begin..end])?;
        Ok(self.drafts.prompt(self.drafter, end, &rows)?)
    }

    /// Takes in the last token, and gives the logits of what follows it.
    fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, DeviceError> {
        let last = tokens.len() - 1;
        let row = self.shallow(last, &tokens[last..])?;
        let guess = self.drafts.guess(self.drafter, tokens.len(), &row)?;
        Ok(self.ends.output.logits(&guess)?)
    }

    fn shallow(&mut self, pos: usize, tokens: &[u32]) -> Result<Vec<f32>, DeviceError> {
        let mut rows = self.ends.input.forward_at(&mut self.input_kv, pos, tokens)?;
        self.ends.codec.round(&mut rows);
        all_finite(&rows, "first layers")?;
        Ok(rows)
    }
}
