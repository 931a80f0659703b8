//! Rounds of a device, one situation at a time.

use tricorn_core::{
    Action, AppendHeader, AppendKind, ChunkPolicy, DeepUse, DeviceSession, Draft, DraftPolicy,
    FinishReason, Judgement, ProtocolError, SessionConfig, TurnError, TurnOptions, Want,
};

const CONFIG: SessionConfig =
    SessionConfig { context: 32, max_append_rows: 8, max_queued_rows: 16, output_layers: 0 };

pub(crate) const SETTLED: Judgement = Judgement::Settled { branch: None };

pub(crate) fn options(max_new_tokens: usize, max_drafts: usize) -> TurnOptions {
    TurnOptions {
        max_new_tokens,
        stop_tokens: vec![99],
        draft: DraftPolicy::up_to(max_drafts, 0.6),
        chunk: ChunkPolicy::Whole,
    }
}

pub(crate) fn append(session: &mut DeviceSession) -> AppendHeader {
    match session.poll() {
        Action::Append(header) => header,
        other => panic!("{other:?}"),
    }
}

/// A session whose prompt 1, 2, 3 was answered with 4.
pub(crate) fn decoding(config: SessionConfig, options: TurnOptions) -> DeviceSession {
    let mut session = DeviceSession::new(config);
    session.start_turn(vec![1, 2, 3], options).unwrap();
    session.connected();
    let prompt = append(&mut session);
    let first_row = prompt.answer_rows() - 1;
    assert_eq!(session.deep(prompt.answer()), Ok(DeepUse::Judge { first_row, pos: 3 }));
    session.judge(4);
    session
}

fn draft(session: &mut DeviceSession, pos: usize, token: u32, confidence: f32) {
    assert_eq!(session.poll(), Action::Draft { pos });
    session.drafted(Draft::new(token, confidence));
}

#[test]
fn a_prompt_goes_up_in_chunks_and_only_its_last_row_comes_back() {
    let mut session = DeviceSession::new(CONFIG);
    session.start_turn((0..20).collect(), options(4, 4)).unwrap();
    assert_eq!(session.poll(), Action::Connect);
    session.connected();
    let (first, second) = (append(&mut session), append(&mut session));
    assert_eq!((first.pos, first.rows, first.want), (0, 8, Want::None));
    assert_eq!((second.pos, second.rows, second.want), (8, 8, Want::None));
    assert_eq!(session.poll(), Action::Wait, "no more rows in flight than the cloud queues");
    assert_eq!(session.deep(first.answer()), Ok(DeepUse::Ack));
    let third = append(&mut session);
    assert_eq!(
        (third.pos, third.rows, third.want, third.kind),
        (16, 4, Want::Last, AppendKind::Prompt)
    );
    assert_eq!(session.deep(second.answer()), Ok(DeepUse::Ack));
    assert_eq!(session.deep(third.answer()), Ok(DeepUse::Judge { first_row: 0, pos: 20 }));
}

#[test]
fn with_output_layers_every_row_comes_back_once() {
    let mut session = DeviceSession::new(SessionConfig { output_layers: 2, ..CONFIG });
    session.start_turn((0..12).collect(), options(4, 0)).unwrap();
    session.connected();
    let (first, second) = (append(&mut session), append(&mut session));
    assert_eq!((first.want, second.want), (Want::All, Want::All));
    assert_eq!(session.deep(first.answer()), Ok(DeepUse::Extend));
    assert_eq!(session.deep(second.answer()), Ok(DeepUse::Judge { first_row: 3, pos: 12 }));
    session.judge(50);
    session.disconnected();
    session.connected();
    let (first, second, verify) =
        (append(&mut session), append(&mut session), append(&mut session));
    assert_eq!(
        (first.want, second.want),
        (Want::None, Want::None),
        "a replay needs no rows the output layers have seen"
    );
    assert_eq!((verify.pos, verify.rows, verify.want), (12, 1, Want::All));
}

#[test]
fn the_agreeing_drafts_and_one_token_more_are_kept() {
    let mut session = decoding(CONFIG, options(10, 3));
    for (pos, token) in [(4, 5), (5, 6), (6, 7)] {
        draft(&mut session, pos, token, 0.9);
    }
    let verify = append(&mut session);
    assert_eq!(
        (verify.pos, verify.rows, verify.want, verify.kind),
        (3, 4, Want::All, AppendKind::Verify)
    );
    assert_eq!(session.tokens_at(verify.pos, verify.rows), [4, 5, 6, 7]);
    assert_eq!(session.poll(), Action::Wait);
    assert_eq!(session.deep(verify.answer()), Ok(DeepUse::Judge { first_row: 0, pos: 4 }));
    assert_eq!(session.judge(5), Judgement::Accepted);
    assert_eq!(session.judge(60), SETTLED);
    assert_eq!(session.generated(), [4, 5, 60]);
    assert!(session.drafts().is_empty());
    for (pos, token) in [(6, 8), (7, 9), (8, 10)] {
        draft(&mut session, pos, token, 0.9);
    }
    let verify = append(&mut session);
    assert_eq!((verify.pos, verify.rows), (5, 4), "what was refused is overwritten");
    session.deep(verify.answer()).unwrap();
    assert_eq!([8, 9, 10].map(|token| session.judge(token)), [Judgement::Accepted; 3]);
    assert_eq!(session.judge(11), SETTLED);
    assert_eq!(session.generated(), [4, 5, 60, 8, 9, 10, 11]);
    let stats = session.stats();
    assert_eq!((stats.rounds, stats.drafted, stats.accepted, stats.verified), (2, 6, 4, 6));
    assert_eq!(stats.accepted_per_round(), 3.0);
}

#[test]
fn drafting_stops_in_doubt_and_at_a_stop_token() {
    let mut session = decoding(CONFIG, options(10, 6));
    draft(&mut session, 4, 5, 0.59);
    let verify = append(&mut session);
    assert_eq!(verify.rows, 2, "the doubtful draft is verified too");
    session.deep(verify.answer()).unwrap();
    session.judge(6);
    draft(&mut session, 5, 7, 0.9);
    draft(&mut session, 6, 8, 0.9);

    let mut session = decoding(CONFIG, options(10, 6));
    draft(&mut session, 4, 99, 0.9);
    assert_eq!(append(&mut session).rows, 2);
    session.drafted(Draft::new(7, 0.9));
    assert_eq!(session.drafts(), [99], "nobody asked");
}

#[test]
fn no_draft_is_made_that_could_not_be_used() {
    let mut session = decoding(CONFIG, options(3, 6));
    draft(&mut session, 4, 5, 0.9);
    assert_eq!(
        append(&mut session).rows,
        2,
        "two tokens are left, the round gives one more than its drafts"
    );

    let mut session = decoding(SessionConfig { context: 6, ..CONFIG }, options(30, 6));
    draft(&mut session, 4, 5, 0.9);
    let verify = append(&mut session);
    session.deep(verify.answer()).unwrap();
    session.judge(5);
    session.judge(6);
    assert_eq!(session.poll(), Action::Finished(FinishReason::Length), "the context is full");

    let mut session = decoding(SessionConfig { max_append_rows: 3, ..CONFIG }, options(30, 6));
    draft(&mut session, 4, 5, 0.9);
    draft(&mut session, 5, 6, 0.9);
    assert_eq!(append(&mut session).rows, 3, "an append holds no more");
}

#[test]
fn a_stop_token_ends_the_turn_before_the_drafts_behind_it() {
    let mut session = decoding(CONFIG, options(10, 3));
    for (pos, token) in [(4, 5), (5, 6), (6, 7)] {
        draft(&mut session, pos, token, 0.9);
    }
    let verify = append(&mut session);
    session.deep(verify.answer()).unwrap();
    assert_eq!(session.judge(99), SETTLED);
    assert_eq!(session.judge(6), SETTLED);
    assert_eq!(session.poll(), Action::Finished(FinishReason::Stop));
    assert_eq!(session.generated(), [4, 99]);
}

#[test]
fn a_new_turn_uploads_what_is_new() {
    let mut session = decoding(CONFIG, options(1, 0));
    assert_eq!(session.poll(), Action::Finished(FinishReason::Length));
    session.start_turn(vec![1, 2, 3, 4, 30, 31], options(4, 0)).unwrap();
    let header = append(&mut session);
    assert_eq!((header.pos, header.rows, header.want), (3, 3, Want::Last));
    assert_eq!(session.stats().reused_tokens, 3);
    session.deep(header.answer()).unwrap();
    session.judge(5);

    session.start_turn(vec![1, 2], options(4, 0)).unwrap();
    let header = append(&mut session);
    assert_eq!((header.pos, header.rows), (1, 1), "the row to judge is computed again");
}

#[test]
fn a_turn_that_asks_for_nothing_is_over() {
    let mut session = DeviceSession::new(CONFIG);
    assert_eq!(session.poll(), Action::Wait);
    session.start_turn(vec![1], options(0, 0)).unwrap();
    assert_eq!(session.poll(), Action::Finished(FinishReason::Length));
}

#[test]
fn refuses_prompts_that_leave_nothing_to_do() {
    let mut session = decoding(CONFIG, options(10, 0));
    assert_eq!(session.start_turn(vec![], options(1, 0)), Err(TurnError::Empty));
    assert_eq!(
        session.start_turn(vec![0; 32], options(1, 0)),
        Err(TurnError::TooLong { tokens: 32, context: 32 })
    );
    assert_eq!(session.generated(), [4], "the turn under way goes on");
    assert_eq!(session.finished(), None);
}

#[test]
fn answers_nobody_asked_for_are_errors() {
    let mut session = decoding(CONFIG, options(10, 0));
    let verify = append(&mut session);
    let mut wrong = verify.answer();
    wrong.rows = 7;
    assert!(matches!(session.deep(wrong), Err(ProtocolError::Mismatch { .. })));
    wrong = verify.answer();
    wrong.epoch += 1;
    assert!(matches!(session.deep(wrong), Err(ProtocolError::FutureEpoch { .. })));
    session.deep(verify.answer()).unwrap();
    assert!(matches!(session.deep(verify.answer()), Err(ProtocolError::Unasked(_))));
}
