//! Rounds whose rows go up one by one, one situation at a time.

use tricorn_core::{
    Action, AppendKind, DeepUse, DeviceSession, Draft, DraftPolicy, Judgement, SessionConfig,
    Streaming, TurnOptions, Want,
};

use crate::sessions::rounds::{SETTLED, append, decoding, options};

const CONFIG: SessionConfig =
    SessionConfig { context: 32, max_append_rows: 8, max_queued_rows: 16, output_layers: 0 };

fn streaming(max_drafts: usize) -> TurnOptions {
    let draft = DraftPolicy { stream: Streaming::Always, ..DraftPolicy::up_to(max_drafts, 0.6) };
    TurnOptions { draft, ..options(10, max_drafts) }
}

fn draft(session: &mut DeviceSession, pos: usize, token: u32) {
    assert_eq!(session.poll(), Action::Draft { pos });
    session.drafted(Draft::new(token, 0.9));
}

#[test]
fn rows_go_up_as_they_come_to_be() {
    let mut session = decoding(CONFIG, streaming(2));
    let confirmed = append(&mut session);
    assert_eq!(
        (confirmed.pos, confirmed.rows, confirmed.want, confirmed.kind),
        (3, 1, Want::All, AppendKind::Verify)
    );
    draft(&mut session, 4, 5);
    let first = append(&mut session);
    assert_eq!((first.pos, first.rows), (4, 1));
    draft(&mut session, 5, 6);
    let second = append(&mut session);
    assert_eq!((second.pos, second.rows), (5, 1));
    assert_eq!(session.poll(), Action::Wait);
    for (answered, token) in [(confirmed, 5), (first, 6)] {
        assert_eq!(
            session.deep(answered.answer()),
            Ok(DeepUse::Judge { first_row: 0, pos: answered.pos + 1 })
        );
        assert_eq!(session.judge(token), Judgement::Pending);
    }
    assert!(session.drafts().is_empty() && session.awaits_answers());
    assert_eq!(session.poll(), Action::Wait);
    session.deep(second.answer()).unwrap();
    assert_eq!(session.judge(7), SETTLED);
    assert_eq!(session.generated(), [4, 5, 6, 7]);
    let stats = session.stats();
    assert_eq!(
        (stats.rounds, stats.drafted, stats.accepted, stats.verified),
        (1, 2, 2, 3),
        "a round counts once"
    );
    assert_eq!(append(&mut session).pos, 6);
}

#[test]
fn a_disagreement_abandons_what_is_in_flight() {
    let mut session = decoding(CONFIG, streaming(3));
    let confirmed = append(&mut session);
    draft(&mut session, 4, 5);
    let first = append(&mut session);
    draft(&mut session, 5, 6);
    let second = append(&mut session);
    let epoch = session.epoch();
    session.deep(confirmed.answer()).unwrap();
    assert_eq!(session.judge(50), SETTLED);
    assert_eq!(session.epoch(), epoch + 1);
    let next = append(&mut session);
    assert_eq!(
        (next.pos, next.rows, next.epoch),
        (4, 1, epoch + 1),
        "the refused row is overwritten at once"
    );
    assert_eq!(
        [first, second].map(|late| session.deep(late.answer())),
        [Ok(DeepUse::Stale), Ok(DeepUse::Stale)]
    );
    draft(&mut session, 5, 51);
    assert_eq!(session.tokens_at(4, 2), [50, 51]);
}

#[test]
fn a_round_may_be_decided_before_its_next_draft() {
    let mut session = decoding(CONFIG, streaming(3));
    let confirmed = append(&mut session);
    assert_eq!(session.poll(), Action::Draft { pos: 4 });
    session.deep(confirmed.answer()).unwrap();
    assert_eq!(session.judge(5), SETTLED);
    session.drafted(Draft::new(5, 0.9));
    assert!(session.drafts().is_empty(), "nobody asked any more");
    assert_eq!((append(&mut session).pos, session.generated()), (4, &[4, 5][..]));
}

#[test]
fn a_round_lost_half_answered_goes_on_from_what_was_confirmed() {
    let mut session = decoding(CONFIG, streaming(2));
    let confirmed = append(&mut session);
    draft(&mut session, 4, 5);
    append(&mut session);
    draft(&mut session, 5, 6);
    append(&mut session);
    session.deep(confirmed.answer()).unwrap();
    assert_eq!(session.judge(5), Judgement::Pending);
    session.disconnected();
    session.connected();
    let replay = append(&mut session);
    assert_eq!((replay.pos, replay.rows, replay.kind), (0, 4, AppendKind::Prompt));
    let verify = append(&mut session);
    assert_eq!(
        (verify.pos, verify.rows, verify.kind),
        (4, 2, AppendKind::Verify),
        "all that is drafted goes up together"
    );
    session.deep(replay.answer()).unwrap();
    assert_eq!(session.deep(verify.answer()), Ok(DeepUse::Judge { first_row: 0, pos: 5 }));
    assert_eq!((session.judge(6), session.judge(7)), (Judgement::Accepted, SETTLED));
    assert_eq!(session.stats().rounds, 1);
}
