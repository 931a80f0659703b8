//! Uplink: the appends on their way, and answers to those that were given up.

use crate::{AppendHeader, DeepHeader};
use std::{collections::VecDeque, time::Duration};

/// An append on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAppend {
    /// The append's header.
    pub header: AppendHeader,
    /// Bytes of the message; 0 where there is no wire.
    pub bytes: u64,
    /// The time at which it was handed over, since the turn began.
    pub at: Duration,
    /// Nothing else was on its way, so the time to its answer is a round trip.
    pub alone: bool,
}

/// The cloud has answered nothing but what was given up for longer than an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cloud answers nothing but what was given up")]
pub struct NothingNew;

/// The appends of a turn that are on their way over one session.
#[derive(Clone, Debug, Default)]
pub struct Uplink {
    sent: VecDeque<SentAppend>,
    /// Since when nothing has come but outdated answers.
    outdated_since: Option<Duration>,
}

impl Uplink {
    /// An append was handed over.
    pub fn sent(&mut self, header: AppendHeader, bytes: u64, at: Duration) {
        let alone = self.sent.is_empty();
        self.sent.push_back(SentAppend { header, bytes, at, alone });
    }

    /// The append that is answered; those before it were given up.
    pub fn answered(&mut self, answer: DeepHeader) -> Option<SentAppend> {
        let index = self.sent.iter().position(|sent| sent.header.answer() == answer)?;
        self.sent.drain(..=index).next_back()
    }

    /// An answer came to what is not given up.
    pub fn current(&mut self) {
        self.outdated_since = None;
    }

    /// An answer came at `now` to what was given up.
    ///
    /// # Errors
    /// When nothing else has come for longer than `deadline`, how long an answer is waited for: a
    /// cloud that sends only such answers would be waited for forever.
    pub fn outdated(&mut self, now: Duration, deadline: Duration) -> Result<(), NothingNew> {
        let since = *self.outdated_since.get_or_insert(now);
        if now.saturating_sub(since) > deadline { Err(NothingNew) } else { Ok(()) }
    }

    /// Another session was opened: nothing is on its way.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppendKind, Want};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn append(epoch: u32, pos: usize) -> AppendHeader {
        AppendHeader { epoch, pos, rows: 2, want: Want::All, kind: AppendKind::Verify }
    }

    #[test]
    fn an_answer_is_its_appends_and_ends_the_wait_for_those_before() {
        let mut uplink = Uplink::default();
        uplink.sent(append(1, 0), 100, ms(1));
        uplink.sent(append(2, 2), 200, ms(2));
        uplink.sent(append(2, 4), 300, ms(3));
        let SentAppend { bytes, at, alone, .. } =
            uplink.answered(append(2, 2).answer()).unwrap_or_else(|| panic!("it was sent"));
        assert_eq!((bytes, at, alone), (200, ms(2), false));
        assert_eq!(uplink.answered(append(1, 0).answer()), None);
        let last = uplink.answered(append(2, 4).answer());
        assert_eq!(last.map(|sent| sent.bytes), Some(300));
        uplink.sent(append(2, 6), 400, ms(4));
        let only = uplink.answered(append(2, 6).answer());
        assert_eq!(only.map(|sent| sent.alone), Some(true));
    }

    #[test]
    fn outdated_answers_are_put_up_with_for_the_deadline() {
        let mut uplink = Uplink::default();
        assert_eq!(uplink.outdated(ms(100), ms(50)), Ok(()));
        assert_eq!(uplink.outdated(ms(150), ms(50)), Ok(()));
        assert_eq!(uplink.outdated(ms(151), ms(50)), Err(NothingNew));
        uplink.current();
        assert_eq!(uplink.outdated(ms(152), ms(50)), Ok(()));
        uplink.reset();
        assert_eq!(uplink.outdated(ms(900), ms(50)), Ok(()));
    }
}
