//! Generation: the way of a request to its answer, the same at both endpoints that generate.

use super::events;
use crate::{
    ApiError, Service,
    answer::{Answer, Envelope},
    choices::{Choices, Plan},
    clock::Clock,
    request::{self, Common, RequestBody},
};
use axum::{
    extract::Request,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// A request that is ready to be generated.
pub(crate) struct Prepared<T> {
    pub(super) common: Common,
    pub(super) plan: Plan,
    /// What the endpoint's own answer is written with.
    pub(super) own: T,
}

/// An endpoint that generates.
pub(crate) trait Generates {
    /// What its answers are written with, beside their envelope.
    type Own: Send + 'static;
    /// Its answers.
    type Answer: Answer;

    /// The beginning of its answers' ids.
    const ID: &'static str;

    /// Makes of a request what is generated. Takes up to seconds.
    fn prepare(service: &Service, body: &RequestBody) -> Result<Prepared<Self::Own>, ApiError>;

    /// The answer to a request that was prepared.
    fn answer(envelope: Envelope, own: Self::Own) -> Self::Answer;
}

/// Reads a request, has it prepared and generated, and answers it.
pub(super) async fn generate<E: Generates>(
    service: Arc<Service>,
    request: Request,
) -> Result<Response, ApiError> {
    let (Prepared { common, plan, own }, clock) = prepared::<E>(&service, request).await?;
    let envelope = Envelope::new(&service, E::ID, &common, plan.logprobs.is_some());
    let choices = Choices::submit(&service, &common, plan, clock)?;
    let answer = E::answer(envelope, own);
    if common.stream {
        let chunks = answer.chunks(choices.count());
        let keep_alive = service.config.limits.keep_alive;
        return Ok(events::stream(keep_alive, choices, chunks).await?.into_response());
    }
    Ok(json(answer.whole(&choices.collect().await?)))
}

/// A request's time counts from when all of its body was there.
async fn prepared<E: Generates>(
    service: &Arc<Service>,
    request: Request,
) -> Result<(Prepared<E::Own>, Clock), ApiError> {
    let body = request::read(service, request).await?;
    let (bytes, clock) = (body.len(), Clock::start(service.config.limits.request_deadline));
    let work = {
        let service = Arc::clone(service);
        move || E::prepare(&service, &body)
    };
    Ok((service.preparing.run(bytes, clock, work).await?, clock))
}

/// An answer that is JSON already.
fn json(text: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}
