//! Continuations drafted while a verification is out, one situation at a time.

use std::time::Duration;

use tricorn_core::{
    Action, AppendHeader, BranchAt, CloudThroughput, Conditions, Cost, DelayPoint, DeviceSession,
    Draft, DraftPolicy, Guess, Judgement, SessionConfig, TurnOptions,
};

use crate::sessions::rounds::{SETTLED, append, decoding, options};

const CONFIG: SessionConfig =
    SessionConfig { context: 32, max_append_rows: 8, max_queued_rows: 16, output_layers: 0 };

fn branching(parallel: usize, branch: BranchAt) -> TurnOptions {
    let draft = DraftPolicy { parallel, branch, ..DraftPolicy::up_to(2, 0.6) };
    TurnOptions { draft, ..options(12, 2) }
}

fn guesses<const N: usize>(guesses: [(u32, f32); N]) -> Vec<Guess> {
    guesses.map(|(token, probability)| Guess { token, probability }).to_vec()
}

/// A session that waits for the answer to the drafts 5 and 6 at positions 4 and 5, the drafter's
/// alternatives being 15 and 16.
fn verifying(options: TurnOptions) -> (DeviceSession, AppendHeader) {
    let mut session = decoding(CONFIG, options);
    for (pos, token) in [(4, 5), (5, 6)] {
        assert_eq!(session.poll(), Action::Draft { pos });
        session.drafted(Draft {
            token,
            confidence: 0.7,
            others: guesses([(token, 0.7), (token + 10, 0.25)]),
            ends: false,
        });
    }
    let verify = append(&mut session);
    (session, verify)
}

fn branch(session: &mut DeviceSession, tokens: &[u32]) {
    assert_eq!(session.poll(), Action::Branch);
    session.branched(tokens.iter().map(|&token| Draft::new(token, 0.9)).collect());
}

/// Where the continuations part from the round, and their tokens.
fn ways(session: &DeviceSession) -> Vec<(usize, u32)> {
    session.branches().iter().map(|branch| (branch.pos, branch.token)).collect()
}

#[test]
fn the_way_that_the_target_takes_is_gone_on_with() {
    let (mut session, verify) = verifying(branching(3, BranchAt::Anywhere));
    assert_eq!(session.poll(), Action::Guess { pos: 6 });
    session.guessed(guesses([(7, 0.9), (8, 0.05)]));
    assert_eq!(ways(&session), [(6, 7), (4, 15), (5, 16)], "0.49 x 0.9, 0.25 and 0.7 x 0.25");
    assert_eq!(session.open_branches().collect::<Vec<_>>(), [0, 1, 2]);
    branch(&mut session, &[71, 151, 161]);
    branch(&mut session, &[72, 152, 162]);
    assert_eq!(session.poll(), Action::Wait, "a round has two drafts");
    session.deep(verify.answer()).unwrap();
    assert_eq!(session.judge(5), Judgement::Accepted);
    assert_eq!(session.judge(16), Judgement::Settled { branch: Some(2) });
    assert_eq!((session.generated(), session.drafts()), (&[4, 5, 16][..], &[161, 162][..]));
    assert!(session.branches().is_empty());
    let next = append(&mut session);
    assert_eq!((next.pos, next.rows), (5, 3), "the next round is on its way at once");
    let stats = session.stats();
    assert_eq!(
        (stats.branch_rounds, stats.branch_hits, stats.branch_tokens, stats.drafted),
        (1, 1, 6, 4)
    );
}

#[test]
fn drafting_goes_on_from_a_continuation_that_is_not_full() {
    let (mut session, verify) = verifying(branching(2, BranchAt::Bonus));
    session.guessed(guesses([(7, 0.5), (8, 0.3), (9, 0.2)]));
    assert_eq!(ways(&session), [(6, 7), (6, 8)]);
    branch(&mut session, &[71, 81]);
    session.deep(verify.answer()).unwrap();
    session.judge(5);
    session.judge(6);
    assert_eq!(session.judge(8), Judgement::Settled { branch: Some(1) });
    assert_eq!(session.drafts(), [81]);
    assert_eq!(session.poll(), Action::Draft { pos: 8 });
}

#[test]
fn where_the_target_goes_elsewhere_nothing_is_kept() {
    let (mut session, verify) = verifying(branching(4, BranchAt::Anywhere));
    session.guessed(guesses([(7, 0.9)]));
    branch(&mut session, &[71, 151, 161]);
    session.deep(verify.answer()).unwrap();
    assert_eq!(session.judge(40), SETTLED);
    assert_eq!((session.drafts(), session.branches().len()), (&[][..], 0));
    assert_eq!((session.stats().branch_rounds, session.stats().branch_hits), (1, 0));
    session.branched(vec![Draft::new(1, 0.9)]);
    assert!(session.drafts().is_empty(), "nobody asked");
}

#[test]
fn doubt_and_the_end_of_the_text_close_a_continuation() {
    let (mut session, _) = verifying(branching(4, BranchAt::Bonus));
    session.guessed(guesses([(7, 0.4), (99, 0.3), (8, 0.2), (9, 0.1)]));
    assert_eq!(ways(&session), [(6, 7), (6, 8), (6, 9)], "nothing follows a stop token");
    session.branched(vec![Draft::new(99, 0.9), Draft::new(81, 0.1), Draft::new(91, 0.9)]);
    assert_eq!(session.open_branches().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_lost_connection_does_not_cost_the_continuations() {
    let (mut session, _) = verifying(branching(1, BranchAt::Bonus));
    session.guessed(guesses([(7, 0.4)]));
    branch(&mut session, &[71]);
    session.disconnected();
    session.connected();
    let (replay, verify) = (append(&mut session), append(&mut session));
    session.deep(replay.answer()).unwrap();
    session.deep(verify.answer()).unwrap();
    assert_eq!(
        [5, 6, 7].map(|token| session.judge(token))[2],
        Judgement::Settled { branch: Some(0) }
    );
}

#[test]
fn a_cancelled_turn_takes_none() {
    let (mut session, _) = verifying(branching(1, BranchAt::Bonus));
    session.guessed(guesses([(7, 0.4)]));
    branch(&mut session, &[71]);
    session.cancel();
    assert!(session.drafts().is_empty() && session.branches().is_empty());
}

/// Conditions under which a verification takes 30 ms and a draft step of any size `step` ms.
fn step(step: u64) -> Conditions {
    let ms = Duration::from_millis;
    Conditions {
        row_bytes: 0,
        uplink: Some(1e12),
        rtt: Some(ms(20)),
        throughput: Some(CloudThroughput {
            delay: vec![DelayPoint { rows: 1, delay: ms(10) }],
            ..CloudThroughput::default()
        }),
        draft: Some(Cost { base: ms(step), per_row: ms(0) }),
        ..Conditions::default()
    }
}

#[test]
fn there_are_as_many_steps_as_the_wait_has_time_for() {
    for (ms, steps) in [(40, 0), (20, 0), (11, 0), (8, 2), (1, 2)] {
        let (mut session, _) = verifying(branching(2, BranchAt::Anywhere));
        // The cloud's delay grows in proportion beyond its only point: three rows are 30 ms.
        session.set_conditions(Conditions { rtt: Some(Duration::ZERO), ..step(ms) });
        session.guessed(guesses([(7, 0.9), (8, 0.05)]));
        let mut made = 0;
        while session.poll() == Action::Branch {
            let open = session.open_branches().count();
            session.branched((0..open).map(|_| Draft::new(50, 0.9)).collect());
            made += 1;
        }
        assert_eq!(made, steps, "{ms} ms a step");
        assert_eq!(session.poll(), Action::Wait);
    }
}
