//! The outbox: bytes that have arrived and wait for their receiver.

use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

/// Slices in one write.
const SLICES: usize = 64;

/// What a packet carries of a connection's stream.
#[derive(Debug)]
pub(super) enum Payload {
    /// Bytes of the stream; never empty.
    Data(Bytes),
    /// The sender will send no more.
    End,
}

/// How far an outbox was emptied.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All data is written.
    All,
    /// All data is written, and the stream has ended; told once.
    Ended,
    /// The receiver takes no more for now.
    Blocked,
}

/// Arrived and not taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    data: VecDeque<Bytes>,
    bytes: usize,
    ended: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, payload: Payload) {
        match payload {
            Payload::Data(data) => {
                self.bytes += data.len();
                self.data.push_back(data);
            }
            Payload::End => self.ended = true,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes with `write` until nothing is left or the receiver takes no more.
    pub(super) fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flushed> {
        while !self.data.is_empty() {
            let written = {
                let slices: Vec<IoSlice<'_>> =
                    self.data.iter().take(SLICES).map(|data| IoSlice::new(data)).collect();
                write(&slices)
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(if std::mem::take(&mut self.ended) { Flushed::Ended } else { Flushed::All })
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.data.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.data.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_and_refusals_lose_nothing() {
        let sent: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut outbox = Outbox::default();
        for chunk in sent.chunks(7) {
            outbox.push(Payload::Data(Bytes::copy_from_slice(chunk)));
        }
        outbox.push(Payload::End);
        assert_eq!(outbox.bytes(), sent.len());
        let (mut received, mut calls) = (Vec::new(), 0);
        let mut write = |slices: &[IoSlice<'_>]| {
            calls += 1;
            if calls % 3 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let all = slices.iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
            let count = all.len().min(calls % 100 + 1);
            received.extend_from_slice(&all[..count]);
            Ok(count)
        };
        while outbox.flush(&mut write).unwrap() != Flushed::Ended {}
        assert_eq!((received, outbox.bytes()), (sent, 0));
    }

    #[test]
    fn a_failure_is_told() {
        let mut outbox = Outbox::default();
        outbox.push(Payload::Data(Bytes::from_static(b"lost")));
        assert!(outbox.flush(|_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
        assert!(outbox.flush(|_| Ok(0)).is_err());
    }
}
