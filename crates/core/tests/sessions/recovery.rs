//! Lost connections and cancelled turns, one situation at a time.

use tricorn_core::{Action, AppendKind, DeepUse, Draft, FinishReason, SessionConfig, Want};

use crate::sessions::rounds::{append, decoding, options};

const CONFIG: SessionConfig =
    SessionConfig { context: 32, max_append_rows: 8, max_queued_rows: 16, output_layers: 0 };

#[test]
fn a_lost_verification_is_replayed_with_its_drafts() {
    let mut session = decoding(CONFIG, options(10, 2));
    session.poll();
    session.drafted(Draft::new(5, 0.9));
    session.drafted(Draft::new(6, 0.9));
    let lost = append(&mut session);
    session.disconnected();
    assert_eq!(session.deep(lost.answer()), Ok(DeepUse::Stale));
    assert_eq!(session.poll(), Action::Connect);
    session.connected();
    let replay = append(&mut session);
    assert_eq!(
        (replay.pos, replay.rows, replay.want, replay.kind),
        (0, 3, Want::None, AppendKind::Prompt)
    );
    let verify = append(&mut session);
    assert_eq!((verify.pos, verify.rows, verify.kind), (lost.pos, lost.rows, lost.kind));
    assert_eq!(session.tokens_at(verify.pos, verify.rows), [4, 5, 6]);
    assert!(verify.epoch > lost.epoch);
    assert_eq!(session.deep(lost.answer()), Ok(DeepUse::Stale));
    assert_eq!(session.deep(replay.answer()), Ok(DeepUse::Ack));
    assert_eq!(session.deep(verify.answer()), Ok(DeepUse::Judge { first_row: 0, pos: 4 }));
    assert_eq!((session.stats().drafted, session.stats().lost_connections), (2, 1));
}

#[test]
fn every_connection_has_an_epoch_of_its_own() {
    let mut session = decoding(CONFIG, options(10, 0));
    let epoch = session.epoch();
    session.disconnected();
    session.connected();
    assert!(session.epoch() > epoch);
    let replaced = append(&mut session);
    session.connected();
    assert_eq!(session.deep(replaced.answer()), Ok(DeepUse::Stale));
    assert_eq!(
        append(&mut session).pos,
        0,
        "a connection that replaces another one starts from nothing too"
    );
}

#[test]
fn a_connection_lost_while_judging_is_replayed_from_what_was_confirmed() {
    let mut session = decoding(CONFIG, options(10, 2));
    session.drafted(Draft::new(5, 0.9));
    session.drafted(Draft::new(6, 0.9));
    let verify = append(&mut session);
    session.deep(verify.answer()).unwrap();
    session.judge(5);
    session.disconnected();
    assert_eq!(session.poll(), Action::Wait, "the rows are here, the round goes on");
    session.judge(7);
    assert_eq!(session.poll(), Action::Connect);
    session.connected();
    let replay = append(&mut session);
    assert_eq!((replay.pos, replay.rows), (0, 5));
    assert_eq!(session.tokens(), [1, 2, 3, 4, 5, 7]);
}

#[test]
fn a_cancelled_turn_keeps_its_tokens_and_what_the_cloud_acknowledged() {
    let mut session = decoding(CONFIG, options(10, 1));
    session.drafted(Draft::new(5, 0.9));
    let abandoned = append(&mut session);
    session.cancel();
    assert_eq!(session.poll(), Action::Finished(FinishReason::Cancelled));
    assert_eq!(session.generated(), [4]);
    assert!(session.drafts().is_empty());

    session.start_turn(vec![1, 2, 3, 4, 8], options(10, 0)).unwrap();
    let header = append(&mut session);
    assert_eq!((header.pos, header.rows), (3, 2));
    assert!(header.epoch > abandoned.epoch);
    assert_eq!(session.deep(abandoned.answer()), Ok(DeepUse::Stale));
    assert_eq!(session.deep(header.answer()), Ok(DeepUse::Judge { first_row: 0, pos: 5 }));
}

#[test]
fn rows_of_a_turn_cancelled_before_they_were_acknowledged_go_up_again() {
    let mut session = decoding(CONFIG, options(10, 0));
    session.start_turn((1..20).collect(), options(10, 0)).unwrap();
    let first = append(&mut session);
    let second = append(&mut session);
    assert_eq!((first.pos, second.pos), (3, 11));
    session.deep(first.answer()).unwrap();
    session.start_turn((1..20).collect(), options(10, 0)).unwrap();
    let again = append(&mut session);
    assert_eq!((again.pos, again.rows), (11, 8));
    assert!(again.epoch > second.epoch);
}

#[test]
fn a_turn_cancelled_between_two_judged_rows_forgets_the_rest() {
    let mut session = decoding(CONFIG, options(10, 3));
    for token in [5, 6, 7] {
        session.drafted(Draft::new(token, 0.9));
    }
    let verify = append(&mut session);
    session.deep(verify.answer()).unwrap();
    session.judge(5);
    session.cancel();
    session.judge(6);
    assert_eq!(session.generated(), [4, 5]);
    session.start_turn(vec![1, 2, 3, 4, 5, 6, 7, 8], options(10, 0)).unwrap();
    assert_eq!(append(&mut session).pos, 4, "drafts that were not judged count for nothing");
}
