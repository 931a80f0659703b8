//! Step order: when a device looks for an answer, obeys its session, feeds its drafter or waits.

use crate::{Action, DeviceSession};
use std::{ops::Range, time::Duration};

/// The next step of a device in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look whether an answer is there, without a wait. If there is one, report
    /// [`StepOrder::answered`] and take it in.
    Look,
    /// Let the drafter take in the prompt's rows at these positions.
    TakeIn(Range<usize>),
    /// Do what the session asks for; never [`Action::Wait`].
    Act(Action),
    /// Wait for an answer, then as after [`Look`](Self::Look).
    Await,
}

/// The order of a device's steps.
///
/// An answer is looked for before every step, since it may make the step needless. The drafter
/// takes in a prompt's rows when there is nothing to send, and all of them before it drafts.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepOrder {
    /// An answer was looked for since the last step.
    looked: bool,
}

impl StepOrder {
    /// The next step at `now`, the time since the turn began. `piece` are the rows that the drafter
    /// could take in, if any.
    pub fn next(
        &mut self,
        session: &mut DeviceSession,
        now: Duration,
        piece: Option<Range<usize>>,
    ) -> Step {
        if !self.looked && session.awaits_answers() {
            self.looked = true;
            return Step::Look;
        }
        self.looked = false;
        session.set_now(now);
        match (session.poll(), piece) {
            // All pieces and the draft are one step: none is looked for in between.
            (Action::Draft { .. }, Some(piece)) => {
                self.looked = true;
                Step::TakeIn(piece)
            }
            (Action::Wait, Some(piece)) => Step::TakeIn(piece),
            (Action::Wait, None) => Step::Await,
            (action, _) => Step::Act(action),
        }
    }

    /// An answer was there: the next one is looked for before anything else is done.
    pub fn answered(&mut self) {
        self.looked = false;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AppendHeader, Draft, SessionConfig, TurnOptions};

    const NOW: Duration = Duration::ZERO;

    fn session() -> DeviceSession {
        let mut session = DeviceSession::new(SessionConfig {
            context: 64,
            max_append_rows: 16,
            max_queued_rows: 32,
            output_layers: 0,
        });
        let options = TurnOptions { max_new_tokens: 8, ..TurnOptions::default() };
        session.start_turn(vec![1, 2, 3], options).unwrap();
        session.connected();
        session
    }

    /// Sends the prompt.
    fn sent(order: &mut StepOrder, session: &mut DeviceSession) -> AppendHeader {
        match order.next(session, NOW, None) {
            Step::Act(Action::Append(header)) => header,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn an_answer_is_looked_for_before_each_wait() {
        let (mut order, mut session) = (StepOrder::default(), session());
        sent(&mut order, &mut session);
        for _ in 0..3 {
            assert_eq!(order.next(&mut session, NOW, None), Step::Look);
            assert_eq!(order.next(&mut session, NOW, None), Step::Await);
        }
    }

    #[test]
    fn a_drafter_takes_in_the_prompt_where_the_device_would_wait() {
        let (mut order, mut session) = (StepOrder::default(), session());
        sent(&mut order, &mut session);
        assert_eq!(order.next(&mut session, NOW, Some(0..2)), Step::Look);
        assert_eq!(order.next(&mut session, NOW, Some(0..2)), Step::TakeIn(0..2));
        assert_eq!(order.next(&mut session, NOW, Some(2..3)), Step::Look);
    }

    #[test]
    fn what_is_to_be_sent_goes_before_what_is_to_be_taken_in() {
        let (mut order, mut session) = (StepOrder::default(), session());
        let step = order.next(&mut session, NOW, Some(0..2));
        assert!(matches!(step, Step::Act(Action::Append(_))), "{step:?}");
    }

    #[test]
    fn all_of_the_prompt_is_taken_in_before_a_draft() {
        let (mut order, mut session) = (StepOrder::default(), session());
        let prompt = sent(&mut order, &mut session);
        order.answered();
        session.deep(prompt.answer()).unwrap();
        session.judge(7);
        assert_eq!(order.next(&mut session, NOW, Some(0..2)), Step::TakeIn(0..2));
        assert_eq!(order.next(&mut session, NOW, Some(2..3)), Step::TakeIn(2..3));
        let draft = Step::Act(Action::Draft { pos: 4 });
        assert_eq!(order.next(&mut session, NOW, None), draft);
        session.drafted(Draft::default());
        assert!(!session.awaits_answers());
    }

    #[test]
    fn after_an_answer_another_is_looked_for_at_once() {
        let (mut order, mut session) = (StepOrder::default(), session());
        sent(&mut order, &mut session);
        assert_eq!(order.next(&mut session, NOW, None), Step::Look);
        // It was one to something given up: the prompt's is still due.
        order.answered();
        assert_eq!(order.next(&mut session, NOW, None), Step::Look);
    }
}
