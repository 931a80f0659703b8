//! `/v1/chat/completions`

mod grammar;

use super::{events, json, prepared};
use crate::{
    ApiError, Service,
    answer::{
        Head, Tools,
        chat::{ChatAnswer, ChatChunks},
    },
    choices::{Choices, Plan},
    request::{
        Common, RequestBody, ToolChoice,
        chat::{ChatRequest, FIELDS},
    },
};
use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
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
    let (Prepared { common, plan, tools, logprobs }, clock) =
        prepared(&service, request, prepare).await?;
    let choices = Choices::submit(&service, &common, plan, clock)?;
    let answer = ChatAnswer {
        head: Head::new(&service, "chatcmpl-"),
        logprobs,
        trace: common.trace,
        tools,
        service: Arc::clone(&service),
    };
    if common.stream {
        let chunks = ChatChunks::new(answer, choices.count(), common.include_usage);
        return events::stream(&service, &common, choices, chunks)
            .await
            .map(IntoResponse::into_response);
    }
    Ok(json(answer.whole(choices.collect().await?)))
}

/// A request that is ready to be generated.
struct Prepared {
    common: Common,
    plan: Plan,
    tools: Option<Tools>,
    logprobs: bool,
}

fn prepare(service: &Service, body: &RequestBody) -> Result<Prepared, ApiError> {
    let request = ChatRequest::read(service, &body.fields(&FIELDS)?)?;
    let (plan, tools) = plan(service, &request)?;
    Ok(Prepared { common: request.common, plan, tools, logprobs: request.logprobs.is_some() })
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
