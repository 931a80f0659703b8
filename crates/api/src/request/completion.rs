//! `/v1/completions`: the request's fields.

use super::{
    common::{self, Common, excluded, top_logprobs},
    fields::{FieldTable, Fields},
    sampling,
};
use crate::{ApiError, Service};
use serde::Deserialize;

/// What is done with the fields of a completion.
pub(crate) const FIELDS: FieldTable = FieldTable {
    served: &[common::FIELDS, sampling::FIELDS, &["prompt", "logprobs", "echo"]],
    ignored: &["user"],
    unsupported: &[("suffix", "\"\""), ("best_of", "1")],
};

/// Most likely tokens that are told beside a token.
const MAX_LOGPROBS: usize = 5;
/// The tokens that OpenAI's API generates where a request does not say.
const DEFAULT_MAX_TOKENS: usize = 16;
/// Most prompts of a request.
const MAX_PROMPTS: usize = 32;

/// A request, checked.
#[derive(Debug)]
pub(crate) struct CompletionRequest {
    pub(crate) common: Common,
    pub(crate) prompts: Vec<PromptField>,
    /// The answer begins with the prompt.
    pub(crate) echo: bool,
    /// How many likely tokens are told beside each.
    pub(crate) logprobs: Option<usize>,
}

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PromptField {
    /// As text.
    Text(String),
    /// As token ids.
    Tokens(Vec<u32>),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, an array of strings, an array of tokens or an array of token \
                 arrays"
)]
enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    Several(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
struct Wire {
    prompt: Prompts,
    echo: Option<bool>,
    logprobs: Option<usize>,
}

impl CompletionRequest {
    pub(crate) fn read(service: &Service, fields: &Fields) -> Result<Self, ApiError> {
        let mut common = Common::read(service, fields)?;
        let context = service.engine.parts().context;
        common.max_tokens = Some(common.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS.min(context)));
        let wire: Wire = fields.read()?;
        let prompts: Vec<PromptField> = match wire.prompt {
            Prompts::Text(text) => vec![PromptField::Text(text)],
            // An empty array is an empty array of anything.
            Prompts::Texts(texts) => texts.into_iter().map(PromptField::Text).collect(),
            Prompts::Tokens(tokens) => vec![PromptField::Tokens(tokens)],
            Prompts::Several(several) => several.into_iter().map(PromptField::Tokens).collect(),
        };
        let choices = prompts.len() * common.n;
        if prompts.is_empty() || choices > MAX_PROMPTS {
            let message = format!(
                "Invalid 'prompt': 1 to {MAX_PROMPTS} choices are allowed, 'n' for each prompt; \
                 this request has {choices}."
            );
            return Err(ApiError::coded("invalid_value", "prompt", message));
        }
        let echo = wire.echo.unwrap_or(false);
        let logprobs =
            wire.logprobs.map(|top| top_logprobs("logprobs", top, MAX_LOGPROBS)).transpose()?;
        if echo && logprobs.is_some() {
            // The prompt's rows are not brought back from the cloud: only the last one is.
            return Err(excluded("echo", "'logprobs'"));
        }
        Ok(Self { common, prompts, echo, logprobs })
    }
}
