//! `/v1/chat/completions`

mod grammar;

use super::generate::{Generates, Prepared, generate};
use crate::{
    ApiError, Service,
    answer::{ChatAnswer, Envelope, Tools},
    choices::Plan,
    request::{
        RequestBody, ToolChoice,
        chat::{ChatRequest, FIELDS},
    },
};
use axum::{
    extract::{Request, State},
    response::Response,
};
use std::sync::Arc;
use tricorn_text::template::ChatInput;

/// The field that brings the prompt.
const PARAM: &str = "messages";

/// Answers a conversation.
pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, ApiError> {
    generate::<ChatEndpoint>(service, request).await
}

/// `/v1/chat/completions`, as it generates.
pub(crate) struct ChatEndpoint;

impl Generates for ChatEndpoint {
    type Own = Option<Tools>;
    type Answer = ChatAnswer;

    const ID: &'static str = "chatcmpl-";

    fn prepare(service: &Service, body: &RequestBody) -> Result<Prepared<Self::Own>, ApiError> {
        let request = ChatRequest::read(service, &body.fields(&FIELDS)?)?;
        let (plan, tools) = plan(service, &request)?;
        Ok(Prepared { common: request.common, plan, own: tools })
    }

    fn answer(envelope: Envelope, tools: Self::Own) -> ChatAnswer {
        ChatAnswer { envelope, tools }
    }
}

/// What is generated, and how calls are told from content in it.
fn plan(service: &Service, request: &ChatRequest) -> Result<(Plan, Option<Tools>), ApiError> {
    let prompter = service.engine.prompter();
    let offered =
        if request.tool_choice == ToolChoice::None { &[][..] } else { &request.tools[..] };
    let tools = match prompter.tool_style() {
        _ if offered.is_empty() => None,
        Some(style) => {
            Some(Tools { style, tools: offered.to_vec(), several: request.parallel_calls })
        }
        None => {
            let message = "Unsupported parameter: 'tools' is not supported with this model: its \
                           chat template has no tool calls known here.";
            return Err(ApiError::coded("unsupported_parameter", "tools", message));
        }
    };
    let input = ChatInput {
        messages: request.messages.clone(),
        tools: offered.to_vec(),
        ..ChatInput::default()
    };
    let rendered = prompter.render(&input)?;
    service.fit.check(&rendered, PARAM)?;
    Ok((
        Plan {
            prompts: vec![prompter.special(&rendered)?],
            param: PARAM,
            grammar: grammar::of(service, request)?,
            logprobs: request.logprobs,
        },
        tools,
    ))
}
