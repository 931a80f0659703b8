//! Later stages of a middle: the batches that are out with them, and what they must be told.

use std::{collections::VecDeque, mem};

/// The stages behind one, and the batches `B` on their way through them.
///
/// A stage that computes hands a batch over, at most a window of them, and gets it back in the
/// order in which they went. Sessions that end are named to the next stage with the next batch.
#[derive(Debug)]
pub(super) struct LaterStages<B> {
    next: NextStage,
    /// Batches handed over so far, over any connection.
    handed_over: u64,
    in_flight: VecDeque<(u64, B)>,
}

/// The stage behind this one.
#[derive(Debug)]
enum NextStage {
    /// There is none: this is the last stage, or the only one.
    None,
    /// It cannot be reached for now.
    Lost,
    /// It takes batches.
    Connected {
        /// Stages from the next one on.
        stages: usize,
        /// Batches that may be out at a time.
        window: usize,
        /// Sessions that ended and that it has not been told of.
        closed: Vec<u64>,
    },
}

/// What goes to the next stage beside the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The batch's number; grows.
    pub number: u64,
    /// Sessions that ended since the batch before: their rows can be forgotten.
    pub closed: Vec<u64>,
}

impl<B> LaterStages<B> {
    /// No stage behind this one.
    pub(super) fn none() -> Self {
        Self { next: NextStage::None, handed_over: 0, in_flight: VecDeque::new() }
    }

    /// A new connection, to a next stage with all after it `stages` stages. What was out is lost.
    pub(super) fn connect(&mut self, stages: usize, window: usize) {
        self.in_flight.clear();
        let window = window.max(1);
        self.next = NextStage::Connected { stages, window, closed: Vec::new() };
    }

    /// The connection is lost, and with it what was out.
    pub(super) fn lose(&mut self) {
        self.in_flight.clear();
        self.next = NextStage::Lost;
    }

    /// Whether this is not the middle's last stage.
    pub(super) fn exist(&self) -> bool {
        !matches!(self.next, NextStage::None)
    }

    pub(super) fn are_lost(&self) -> bool {
        matches!(self.next, NextStage::Lost)
    }

    /// Stages from the next one on, as far as they can be reached.
    pub(super) fn count(&self) -> usize {
        match self.next {
            NextStage::None | NextStage::Lost => 0,
            NextStage::Connected { stages, .. } => stages,
        }
    }

    /// Whether this stage may compute another batch.
    pub(super) fn take_another(&self) -> bool {
        match self.next {
            NextStage::None => true,
            NextStage::Lost => false,
            NextStage::Connected { window, .. } => self.in_flight.len() < window,
        }
    }

    /// Whether they must be told something without a batch to tell it with. An empty one takes a
    /// place in the window, so it never goes beside others: what they release will bring the next
    /// along.
    pub(super) fn want_news(&self) -> bool {
        self.in_flight.is_empty()
            && matches!(&self.next, NextStage::Connected { closed, .. } if !closed.is_empty())
    }

    /// A session that may have rows there has ended.
    pub(super) fn forget(&mut self, session: u64) {
        if let NextStage::Connected { closed, .. } = &mut self.next {
            closed.push(session);
        }
    }

    /// Takes in a batch that goes to the next stage now; `None` when there is no way to it.
    pub(super) fn hand_over(&mut self, batch: B) -> Option<HandOver> {
        let NextStage::Connected { closed, .. } = &mut self.next else { return None };
        self.handed_over += 1;
        self.in_flight.push_back((self.handed_over, batch));
        Some(HandOver { number: self.handed_over, closed: mem::take(closed) })
    }

    /// The batch `number` is back. `None` when it went over a connection that was lost.
    pub(super) fn returned(&mut self, number: u64) -> Option<B> {
        self.in_flight.front().filter(|(oldest, _)| *oldest == number)?;
        self.in_flight.pop_front().map(|(_, batch)| batch)
    }
}
