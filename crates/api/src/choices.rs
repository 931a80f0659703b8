//! Choices of one request: submitted together, their updates joined.

use crate::{
    ApiError, Service,
    clock::Clock,
    request::{Common, checked},
};
use futures_util::{
    Stream, StreamExt,
    stream::{SelectAll, unfold},
};
use std::pin::Pin;
use tricorn_core::ChunkPolicy;
use tricorn_device::{
    constraint::Grammar,
    engine::{Finished, Generation, GenerationRequest, Group, TextToken, Update},
};

/// What is generated from.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Each is answered by as many choices as are asked for.
    pub(crate) prompts: Vec<Vec<u32>>,
    /// The field that brought them.
    pub(crate) param: &'static str,
    /// What texts must look like.
    pub(crate) grammar: Option<Grammar>,
    /// How many likely tokens are told beside each.
    pub(crate) logprobs: Option<usize>,
}

/// A choice's updates, with its index.
type Numbered = Pin<Box<dyn Stream<Item = (usize, Update)> + Send>>;

/// Generations under way. Dropping them cancels all.
pub(crate) struct Choices {
    updates: SelectAll<Numbered>,
    count: usize,
    running: usize,
    param: &'static str,
    clock: Clock,
}

/// A choice that is over.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) text: String,
    pub(crate) tokens: Vec<TextToken>,
    pub(crate) finished: Box<Finished>,
}

impl Choices {
    /// Hands the engine one request for every choice: those of the first prompt, those of the
    /// second. Seeds count up from the request's.
    ///
    /// # Errors
    /// When the engine takes no more; then none of them is generated.
    pub(crate) fn submit(
        service: &Service,
        common: &Common,
        plan: Plan,
        clock: Clock,
    ) -> Result<Self, ApiError> {
        let max_new_tokens = common.max_tokens.unwrap_or(service.engine.parts().context);
        let mut choices = Self {
            updates: SelectAll::new(),
            count: plan.prompts.len() * common.n,
            running: 0,
            param: plan.param,
            clock,
        };
        let group = Some(Group::unique());
        for prompt in plan.prompts {
            for _ in 0..common.n {
                let index = choices.running;
                let mut options = common.sampling.clone();
                options.seed = options.seed.wrapping_add(index as u64);
                let generation = service.engine.submit(GenerationRequest {
                    prompt: prompt.clone(),
                    max_new_tokens,
                    sampling: checked(options)?,
                    grammar: plan.grammar.clone(),
                    logprobs: plan.logprobs,
                    stop: common.stop.clone(),
                    draft: service.config.draft,
                    chunk: ChunkPolicy::Dynamic,
                    trace: common.trace,
                    deadline: clock.left(),
                    group,
                })?;
                choices.updates.push(Box::pin(numbered(index, generation)));
                choices.running += 1;
            }
        }
        Ok(choices)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The next update of any choice; `None` when all are done.
    ///
    /// # Errors
    /// When a choice fails, and with it the request.
    pub(crate) async fn next(&mut self) -> Result<Option<(usize, Update)>, ApiError> {
        match self.updates.next().await {
            Some((_, Update::Failed(error))) => {
                Err(ApiError::generation(error, self.param, &self.clock))
            }
            Some((index, update)) => {
                self.running -= usize::from(matches!(update, Update::Done(_)));
                Ok(Some((index, update)))
            }
            None if self.running == 0 => Ok(None),
            None => Err(ApiError::Closed),
        }
    }

    /// All choices, when they are over.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(crate) async fn collect(mut self) -> Result<Vec<Choice>, ApiError> {
        let mut texts: Vec<(String, Vec<TextToken>)> = vec![Default::default(); self.count];
        let mut ended: Vec<Option<Box<Finished>>> =
            std::iter::repeat_with(|| None).take(self.count).collect();
        while let Some((index, update)) = self.next().await? {
            match update {
                Update::Delta { text, tokens } => {
                    if let Some((whole, all)) = texts.get_mut(index) {
                        whole.push_str(&text);
                        all.extend(tokens);
                    }
                }
                Update::Done(finished) => {
                    if let Some(end) = ended.get_mut(index) {
                        *end = Some(finished);
                    }
                }
                _ => {}
            }
        }
        let choice = |((text, tokens), finished): (_, Option<_>)| {
            Some(Choice { text, tokens, finished: finished? })
        };
        texts.into_iter().zip(ended).map(choice).collect::<Option<_>>().ok_or(ApiError::Closed)
    }
}

fn numbered(index: usize, generation: Generation) -> impl Stream<Item = (usize, Update)> {
    unfold(generation, move |mut generation| async move {
        generation.next().await.map(|update| ((index, update), generation))
    })
}
