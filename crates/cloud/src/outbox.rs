//! Outbox: answers on their way to one device, bounded, filled without waiting, read by the gRPC
//! stream.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;
use tokio_stream::Stream;
use tonic::Status;
use tricorn_wire::{Downlink, ErrorCode, Failure, proto};

/// What a session sends. Ends once, by whoever comes first: the scheduler, the session's task, or
/// the device going away.
#[derive(Debug)]
pub(crate) struct Outbox {
    limit_rows: usize,
    state: Mutex<OutboxState>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct OutboxState {
    messages: VecDeque<Downlink>,
    rows: usize,
    ended: bool,
    /// Why, where that was a failure.
    code: Option<ErrorCode>,
    /// The last message, until it is read.
    failure: Option<Failure>,
    reader: Option<Waker>,
}

/// Reason why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushError {
    /// The device reads too slowly.
    Full,
    /// The session is over.
    Ended,
}

impl Outbox {
    /// An outbox for messages of at most `limit_rows` rows together, and its reading end.
    pub(crate) fn new(limit_rows: usize) -> (Arc<Self>, OutboxStream) {
        let outbox = Arc::new(Self { limit_rows, state: Mutex::default(), ended: Notify::new() });
        (Arc::clone(&outbox), OutboxStream(outbox))
    }

    /// Queues a message; never waits.
    pub(crate) fn push(&self, message: Downlink) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.ended {
            return Err(PushError::Ended);
        }
        let rows = state.rows + weight(&message);
        if rows > self.limit_rows && !state.messages.is_empty() {
            return Err(PushError::Full);
        }
        state.rows = rows;
        state.messages.push_back(message);
        wake_reader(state);
        Ok(())
    }

    /// Ends the stream after what is queued, with `failure` as the last message.
    pub(crate) fn end(&self, failure: Option<Failure>) {
        self.finish(failure, false);
    }

    /// Ends the stream with `failure` and forgets what is queued.
    pub(crate) fn abort(&self, failure: Failure) {
        self.finish(Some(failure), true);
    }

    /// Forgets what the device has not read; the stream ends with the failure, if there is one.
    pub(crate) fn forget(&self) {
        self.lock().messages = VecDeque::new();
    }

    /// Waits until the session is over, for whatever reason. For one waiter.
    pub(crate) async fn ended(&self) {
        while !self.is_ended() {
            self.ended.notified().await;
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// The failure with which it ended, if it ended with one.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.lock().code
    }

    fn finish(&self, failure: Option<Failure>, forget: bool) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.ended = true;
        state.code = failure.as_ref().map(|failure| failure.code);
        state.failure = failure;
        if forget {
            state.messages = VecDeque::new();
        }
        self.ended.notify_one();
        wake_reader(state);
    }

    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake_reader(mut state: MutexGuard<'_, OutboxState>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// Bare acknowledgements must count for something, or they would be unbounded.
fn weight(message: &Downlink) -> usize {
    match message {
        Downlink::Deep(deep) => deep.header.rows.max(1),
        Downlink::Opened(_) | Downlink::Drain | Downlink::Failed(_) => 1,
    }
}

/// The reading end; dropping it ends the session.
#[derive(Debug)]
pub(crate) struct OutboxStream(Arc<Outbox>);

impl Stream for OutboxStream {
    type Item = Result<proto::Downlink, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock();
        let message = match state.messages.pop_front() {
            Some(message) => {
                state.rows -= weight(&message);
                message
            }
            None if !state.ended => {
                state.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            None => match state.failure.take() {
                Some(failure) => Downlink::Failed(failure),
                None => return Poll::Ready(None),
            },
        };
        drop(state);
        Poll::Ready(Some(Ok(message.into())))
    }
}

impl Drop for OutboxStream {
    fn drop(&mut self) {
        self.0.finish(None, true);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tricorn_core::{AnswerTiming, DeepHeader};
    use tricorn_wire::{Deep, Load};

    fn deep(rows: usize) -> Downlink {
        let header = DeepHeader { epoch: 0, pos: 0, rows, first_row_pos: 0 };
        Downlink::Deep(Deep {
            header,
            rows: Default::default(),
            timing: AnswerTiming::default(),
            load: Load::default(),
        })
    }

    fn failure() -> Failure {
        Failure { code: ErrorCode::SlowReader, message: "slow".to_owned() }
    }

    fn read(stream: &mut OutboxStream) -> Poll<Option<Downlink>> {
        Pin::new(stream)
            .poll_next(&mut Context::from_waker(Waker::noop()))
            .map(|item| item.map(|message| Downlink::try_from(message.unwrap()).unwrap()))
    }

    #[test]
    fn holds_its_limit_and_no_more() {
        let (outbox, mut stream) = Outbox::new(4);
        assert_eq!((outbox.push(deep(3)), outbox.push(deep(0))), (Ok(()), Ok(())));
        assert_eq!(outbox.push(deep(0)), Err(PushError::Full));
        assert_eq!(read(&mut stream), Poll::Ready(Some(deep(3))));
        assert_eq!((outbox.push(deep(3)), outbox.push(deep(1))), (Ok(()), Err(PushError::Full)));
    }

    #[test]
    fn the_end_comes_after_what_is_queued() {
        let (outbox, mut stream) = Outbox::new(4);
        outbox.push(deep(1)).unwrap();
        outbox.end(Some(failure()));
        outbox.abort(Failure { code: ErrorCode::Internal, message: "late".to_owned() });
        assert_eq!(outbox.push(deep(1)), Err(PushError::Ended));
        assert_eq!(read(&mut stream), Poll::Ready(Some(deep(1))));
        assert_eq!(read(&mut stream), Poll::Ready(Some(Downlink::Failed(failure()))));
        assert_eq!(read(&mut stream), Poll::Ready(None));
    }

    #[test]
    fn an_abort_forgets_what_is_queued() {
        let (outbox, mut stream) = Outbox::new(4);
        outbox.push(deep(1)).unwrap();
        outbox.abort(failure());
        assert_eq!(read(&mut stream), Poll::Ready(Some(Downlink::Failed(failure()))));
        assert_eq!(read(&mut stream), Poll::Ready(None));
    }

    #[test]
    fn a_reader_that_goes_ends_it() {
        let (outbox, mut stream) = Outbox::new(4);
        assert_eq!(read(&mut stream), Poll::Pending);
        drop(stream);
        assert!(outbox.is_ended());
        assert_eq!(outbox.push(deep(1)), Err(PushError::Ended));
    }
}
