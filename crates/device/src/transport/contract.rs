//! Transport contract: a session on a middle, and wrappers around one.

use super::{
    answer::{Answer, Connected, Traffic},
    error::TransportError,
};
use crate::cancel::Cancel;
use std::time::Duration;
use tricorn_core::AppendHeader;

/// Wait for an answer by default.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A session on a middle: appends go in, answers come out in order.
pub trait Transport {
    /// Opens a fresh, empty session in place of any there was.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] or [`TransportError::NoRoom`] after the last retry,
    /// [`TransportError::Refused`] when no retry can help.
    fn connect(&mut self) -> Result<Connected, TransportError>;

    /// As [`connect`](Self::connect), with one try only.
    ///
    /// # Errors
    /// As those of [`connect`](Self::connect).
    fn probe(&mut self) -> Result<Connected, TransportError> {
        self.connect()
    }

    /// Sends `header.rows` rows of hidden values, already rounded by the codec.
    ///
    /// # Errors
    /// [`TransportError::Lost`] when the session is gone.
    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError>;

    /// Waits for the next answer, at most as long as the transport's deadline.
    ///
    /// # Errors
    /// [`TransportError::Lost`] or [`TransportError::Evicted`] when the session is gone or the
    /// deadline has passed; [`TransportError::Refused`] when the cloud found fault.
    fn receive(&mut self) -> Result<Answer, TransportError>;

    /// The next answer if it is there, without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), but for the deadline.
    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError>;

    /// Waits end with [`TransportError::Cancelled`] from now on where `cancel` ends the turn; the
    /// session stays as it is. A transport that never waits need not heed it.
    fn interrupt_by(&mut self, _cancel: &Cancel) {}

    /// The longest wait for an answer.
    fn deadline(&self) -> Duration {
        DEADLINE
    }

    /// Traffic so far.
    fn traffic(&self) -> Traffic;
}

/// A transport around another one. Whatever it does not change is the inner one's.
///
/// Every wrapper is a [`Transport`] itself, and so is a mutable reference to one.
pub trait TransportWrapper {
    /// The transport inside.
    type Inner: Transport + ?Sized;

    /// The transport inside.
    fn inner(&self) -> &Self::Inner;

    /// The transport inside.
    fn inner_mut(&mut self) -> &mut Self::Inner;

    /// See [`Transport::connect`].
    ///
    /// # Errors
    /// As those of [`Transport::connect`].
    fn connect(&mut self) -> Result<Connected, TransportError> {
        self.inner_mut().connect()
    }

    /// See [`Transport::probe`].
    ///
    /// # Errors
    /// As those of [`Transport::probe`].
    fn probe(&mut self) -> Result<Connected, TransportError> {
        self.inner_mut().probe()
    }

    /// See [`Transport::send`].
    ///
    /// # Errors
    /// As those of [`Transport::send`].
    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError> {
        self.inner_mut().send(header, rows)
    }

    /// See [`Transport::receive`].
    ///
    /// # Errors
    /// As those of [`Transport::receive`].
    fn receive(&mut self) -> Result<Answer, TransportError> {
        self.inner_mut().receive()
    }

    /// See [`Transport::try_receive`].
    ///
    /// # Errors
    /// As those of [`Transport::try_receive`].
    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        self.inner_mut().try_receive()
    }
}

impl<T: Transport + ?Sized> TransportWrapper for &mut T {
    type Inner = T;

    fn inner(&self) -> &T {
        self
    }

    fn inner_mut(&mut self) -> &mut T {
        self
    }
}

impl<W: TransportWrapper> Transport for W {
    fn connect(&mut self) -> Result<Connected, TransportError> {
        TransportWrapper::connect(self)
    }

    fn probe(&mut self) -> Result<Connected, TransportError> {
        TransportWrapper::probe(self)
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError> {
        TransportWrapper::send(self, header, rows)
    }

    fn receive(&mut self) -> Result<Answer, TransportError> {
        TransportWrapper::receive(self)
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        TransportWrapper::try_receive(self)
    }

    fn interrupt_by(&mut self, cancel: &Cancel) {
        self.inner_mut().interrupt_by(cancel);
    }

    fn deadline(&self) -> Duration {
        self.inner().deadline()
    }

    fn traffic(&self) -> Traffic {
        self.inner().traffic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transport that has a deadline and nothing else.
    struct Silent;

    impl Transport for Silent {
        fn connect(&mut self) -> Result<Connected, TransportError> {
            Err(TransportError::Cancelled)
        }

        fn send(&mut self, _: AppendHeader, _: &[f32]) -> Result<(), TransportError> {
            Ok(())
        }

        fn receive(&mut self) -> Result<Answer, TransportError> {
            Err(TransportError::Lost("silence".to_owned()))
        }

        fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
            Ok(None)
        }

        fn deadline(&self) -> Duration {
            Duration::from_secs(7)
        }

        fn traffic(&self) -> Traffic {
            Traffic { up: 3, down: 4 }
        }
    }

    fn told(mut transport: impl Transport) -> (Duration, Traffic, bool) {
        let connects = transport.connect().is_ok();
        (transport.deadline(), transport.traffic(), connects)
    }

    #[test]
    fn a_reference_to_a_transport_is_that_transport() {
        let mut silent = Silent;
        let all = (Duration::from_secs(7), Traffic { up: 3, down: 4 }, false);
        assert_eq!(told(&mut silent), all);
        assert_eq!(told(&mut &mut silent), all);
        assert_eq!(told(silent), all);
    }
}
