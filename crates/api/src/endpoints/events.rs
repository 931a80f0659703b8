//! Server-sent events of an answer, in OpenAI's form: chunks as data, `[DONE]` at the end.

use crate::{
    ApiError,
    answer::{ChunkStream, Chunks},
    choices::Choices,
};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream::unfold};
use std::{convert::Infallible, time::Duration};
use tokio::time::timeout;
use tricorn_device::engine::Update;

/// A stream of this answer. It waits for the first token, so that what fails before has a status of
/// its own, but no longer than `keep_alive`: a client should hear that its request has arrived.
///
/// # Errors
/// When a choice fails before the first token.
pub(super) async fn stream<C: Chunks>(
    keep_alive: Duration,
    mut choices: Choices,
    chunks: C,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<C>>, ApiError> {
    let mut written = ChunkStream::new(chunks, choices.count());
    begin(keep_alive, &mut choices, &mut written).await?;
    let events = EventStream { choices, written, over: false };
    Ok(Sse::new(unfold(events, EventStream::next))
        .keep_alive(KeepAlive::new().interval(keep_alive)))
}

/// Takes in updates until there is something to say, for no longer than `wait`. What is not there
/// in time is not lost: it comes later.
async fn begin<C: Chunks>(
    wait: Duration,
    choices: &mut Choices,
    written: &mut ChunkStream<C>,
) -> Result<(), ApiError> {
    let first = async {
        while let Some((index, update)) = choices.next().await? {
            let begun = matches!(update, Update::Delta { .. } | Update::Done(_));
            written.update(index, &update);
            if begun {
                break;
            }
        }
        Ok(())
    };
    timeout(wait, first).await.unwrap_or(Ok(()))
}

/// The events that are still to come.
struct EventStream<C> {
    choices: Choices,
    written: ChunkStream<C>,
    over: bool,
}

impl<C: Chunks> EventStream<C> {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(chunk) = self.written.pop() {
                return Some((Ok(Event::default().data(chunk)), self));
            }
            if self.over {
                return None;
            }
            let data = match self.choices.next().await {
                Ok(Some((index, update))) => {
                    self.written.update(index, &update);
                    continue;
                }
                Ok(None) => "[DONE]".to_owned(),
                Err(error) => serde_json::to_string(&error.body()).unwrap_or_default(),
            };
            self.over = true;
            return Some((Ok(Event::default().data(data)), self));
        }
    }
}
