//! `/v1/completions`

use super::generate::{Generates, Prepared, generate};
use crate::{
    ApiError, Service,
    answer::{CompletionAnswer, Envelope},
    choices::Plan,
    request::{
        RequestBody,
        completion::{CompletionRequest, FIELDS, PromptField},
    },
};
use axum::{
    extract::{Request, State},
    response::Response,
};
use std::sync::Arc;

/// The field that brings the prompts.
const PARAM: &str = "prompt";

/// Goes on from a prompt as it is, without a chat template.
pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    generate::<CompletionEndpoint>(service, request).await
}

/// `/v1/completions`, as it generates.
pub(crate) struct CompletionEndpoint;

impl Generates for CompletionEndpoint {
    /// The prompts' texts, where they are to be repeated.
    type Own = Vec<String>;
    type Answer = CompletionAnswer;

    const ID: &'static str = "cmpl-";

    fn prepare(service: &Service, body: &RequestBody) -> Result<Prepared<Self::Own>, ApiError> {
        let CompletionRequest { common, prompts, echo, logprobs } =
            CompletionRequest::read(service, &body.fields(&FIELDS)?)?;
        let tokens =
            prompts.iter().map(|prompt| tokens(service, prompt)).collect::<Result<Vec<_>, _>>()?;
        let echo = if echo { texts(service, prompts, &tokens) } else { Vec::new() };
        let plan = Plan { prompts: tokens, param: PARAM, grammar: None, logprobs };
        Ok(Prepared { common, plan, own: echo })
    }

    fn answer(envelope: Envelope, echo: Self::Own) -> CompletionAnswer {
        CompletionAnswer { envelope, echo }
    }
}

fn tokens(service: &Service, prompt: &PromptField) -> Result<Vec<u32>, ApiError> {
    let invalid = |message: String| Err(ApiError::coded("invalid_value", PARAM, message));
    let prompter = service.engine.prompter();
    match prompt {
        PromptField::Text(text) if text.is_empty() => {
            invalid("Invalid 'prompt': it is empty; write some text.".to_owned())
        }
        PromptField::Text(text) => {
            service.fit.check(text, PARAM)?;
            Ok(prompter.raw(text)?)
        }
        PromptField::Tokens(tokens) => {
            let known = prompter.tokenizer().vocab_size();
            match tokens.iter().find(|&&token| token as usize >= known) {
                Some(token) => invalid(format!(
                    "Invalid 'prompt': there is no token {token}; this model's are 0 to {}.",
                    known.saturating_sub(1)
                )),
                None if tokens.is_empty() => {
                    invalid("Invalid 'prompt': it is empty; give at least one token.".to_owned())
                }
                None => Ok(tokens.clone()),
            }
        }
    }
}

/// The prompts as they are repeated.
fn texts(service: &Service, prompts: Vec<PromptField>, tokens: &[Vec<u32>]) -> Vec<String> {
    let decoded = |tokens: &Vec<u32>| {
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|&token| service.engine.prompter().token_text(token).1)
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text = |(prompt, tokens)| match prompt {
        PromptField::Text(text) => text,
        PromptField::Tokens(_) => decoded(tokens),
    };
    prompts.into_iter().zip(tokens).map(text).collect()
}
