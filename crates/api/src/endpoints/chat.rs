//! `/v1/chat/completions`

use super::{events, json};
use crate::{
    ApiError, Service,
    answer::{
        Head, Tools,
        chat::{ChatAnswer, ChatChunks},
    },
    choices::{Choices, Plan},
    request::{
        self, Schema, ToolChoice,
        chat::{ChatRequest, FIELDS},
    },
};
use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use tricorn_device::constraint::Grammar;
use tricorn_model::template::{ChatInput, tool_calls};

/// Answers a conversation.
pub(crate) async fn create(State(service): State<Arc<Service>>, request: Request) -> Result<Response, ApiError> {
    let fields = request::read(&service, request, &FIELDS).await?;
    let request = ChatRequest::read(&service, &fields)?;
    drop(fields);
    let (plan, tools) = plan(&service, &request)?;
    let ChatRequest { common, logprobs, .. } = request;
    let choices = Choices::submit(&service, &common, plan)?;
    let answer = ChatAnswer {
        head: Head::new(&service, "chatcmpl-"),
        logprobs: logprobs.is_some(),
        trace: common.trace,
        tools,
        service: Arc::clone(&service),
    };
    if common.stream {
        let chunks = ChatChunks::new(answer, choices.count(), common.include_usage);
        return events::stream(&service, &common, choices, chunks).await.map(IntoResponse::into_response);
    }
    Ok(json(answer.whole(choices.collect().await?)))
}

/// What is generated, and how calls are told from content in it.
fn plan(service: &Service, request: &ChatRequest) -> Result<(Plan, Option<Tools>), ApiError> {
    let prompter = service.engine.prompter();
    let offered = if request.tool_choice == ToolChoice::None { &[][..] } else { &request.tools[..] };
    let tools = match prompter.tool_style() {
        _ if offered.is_empty() => None,
        Some(style) => Some(Tools { style, tools: offered.to_vec() }),
        None => {
            let message =
                "Unsupported parameter: 'tools' is not supported with this model: its chat template has no tool calls known here.";
            return Err(ApiError::coded("unsupported_parameter", "tools", message));
        }
    };
    let input = ChatInput { messages: request.messages.clone(), tools: offered.to_vec(), ..ChatInput::default() };
    let rendered = prompter.render(&input)?;
    let grammar = match &request.schema {
        Some(schema) => Some(schema_grammar(service, schema)?),
        None => tool_grammar(service, request)?,
    };
    Ok((Plan { prompts: vec![prompter.special(&rendered)?], grammar, logprobs: request.logprobs }, tools))
}

fn schema_grammar(service: &Service, Schema { schema, param }: &Schema) -> Result<Grammar, ApiError> {
    service.grammars().and_then(|grammars| grammars.json_schema(schema)).map_err(|error| ApiError::grammar(*param, &error))
}

/// What an answer must follow that has to be a call.
fn tool_grammar(service: &Service, request: &ChatRequest) -> Result<Option<Grammar>, ApiError> {
    let choice = match &request.tool_choice {
        ToolChoice::None | ToolChoice::Auto => return Ok(None),
        ToolChoice::Required => tool_calls::ToolChoice::Required,
        ToolChoice::Named(name) => tool_calls::ToolChoice::Named(name),
    };
    let lark = service.engine.prompter().tool_grammar(&request.tools, choice, request.parallel_calls);
    let lark = lark.map_err(|error| ApiError::coded("invalid_value", "tools", error.to_string()))?;
    let grammar = service.grammars().and_then(|grammars| grammars.lark(&lark));
    grammar.map(Some).map_err(|error| ApiError::grammar("tools", &error))
}
