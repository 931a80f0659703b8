//! Replies of a later stage to one upstream: bounded, and filled without waiting.

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tricorn_wire::{Failure, StageDown, proto};

/// A reply for every batch that may wait, the first message and the last.
const EXTRA: usize = 2;

/// The worker's end of a stream. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Replies {
    messages: mpsc::Sender<Result<proto::StageDown, Status>>,
    /// Dropped with this, which wakes the stream's task.
    _over: oneshot::Sender<()>,
}

/// How the stream's task hears that the worker is done with it.
pub(crate) type Over = oneshot::Receiver<()>;

/// What the upstream reads.
pub(crate) type ReplyStream = ReceiverStream<Result<proto::StageDown, Status>>;

/// A way to answer at most `window` batches that wait, in three ends: the worker's, its stream's
/// task's, and the stream.
pub(crate) fn replies(window: usize) -> (Replies, Over, ReplyStream) {
    let (messages, stream) = mpsc::channel(window + EXTRA);
    let (over_sender, over) = oneshot::channel();
    (Replies { messages, _over: over_sender }, over, ReceiverStream::new(stream))
}

impl Replies {
    /// Queues a message; false when the upstream is gone or reads nothing.
    pub(crate) fn send(&mut self, message: StageDown) -> bool {
        self.messages.try_send(Ok(message.into())).is_ok()
    }

    /// Ends the stream with a failure, if there is still somebody to read it.
    pub(crate) fn end(mut self, failure: Failure) {
        self.send(StageDown::Failed(failure));
    }
}
