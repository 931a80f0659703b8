//! `/v1/chat/completions`

use crate::{ApiError, Service};
use serde::Deserialize;
use serde_json::{Value, json};
use tricorn_core::{ChunkPolicy, SamplingParams};
use tricorn_device::engine::{Finish, GenerationRequest, Prompt, Update};
use tricorn_model::template::Message;

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
    messages: Vec<Message>,
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    seed: Option<u64>,
}

pub(crate) async fn complete(service: &Service, request: ChatRequest) -> Result<Value, ApiError> {
    let engine = &service.engine;
    let prompt = engine.prompter().chat(&request.messages)?;
    let sampling = SamplingParams::new(request.temperature.unwrap_or(1.0), request.seed.unwrap_or_default())
        .map_err(|error| ApiError::Invalid { message: error.to_string(), param: Some("temperature") })?;
    let max_new_tokens = request.max_tokens.unwrap_or(engine.ends().context);
    let mut generation = engine.submit(GenerationRequest {
        prompt: Prompt::Tokens(prompt),
        max_new_tokens,
        sampling,
        stop: Vec::new(),
        draft: service.draft,
        chunk: ChunkPolicy::Dynamic,
        grammar: None,
        logprobs: None,
        trace: false,
        deadline: None,
    })?;
    let mut content = String::new();
    while let Some(update) = generation.next().await {
        match update {
            Update::Delta { text, .. } => content.push_str(&text),
            Update::Queued | Update::Prefilled { .. } | Update::Round(_) | Update::Reconnecting | Update::Offline => {}
            Update::Failed(error) => return Err(error.into()),
            Update::Done(finished) => {
                let reason = if finished.finish == Finish::Length { "length" } else { "stop" };
                return Ok(json!({
                    "object": "chat.completion",
                    "model": service.model,
                    "choices": [{ "index": 0, "message": { "role": "assistant", "content": content }, "finish_reason": reason }],
                    "usage": {
                        "prompt_tokens": finished.report.stats.prompt_tokens,
                        "completion_tokens": finished.report.token_ids.len(),
                        "total_tokens": finished.report.stats.prompt_tokens + finished.report.token_ids.len(),
                    },
                }));
            }
        }
    }
    Err(ApiError::Closed)
}
