#![allow(clippy::unwrap_used)]

use super::*;
use crate::Want;

fn session() -> CloudSession {
    CloudSession::new(SessionLimits { context: 32, max_append_rows: 8, max_queued_rows: 16 })
}

fn append(epoch: u32, pos: usize, rows: usize) -> AppendHeader {
    AppendHeader { epoch, pos, rows, want: Want::Last, kind: AppendKind::Prompt }
}

fn verify(pos: usize, rows: usize) -> AppendHeader {
    AppendHeader { want: Want::All, kind: AppendKind::Verify, ..append(0, pos, rows) }
}

/// Position and rows of each piece.
fn pieces(run: Option<Run<()>>) -> Vec<(usize, usize)> {
    let run = run.unwrap();
    assert_eq!(
        (run.pos, run.rows),
        (run.pieces[0].pos, run.pieces.iter().map(|piece| piece.rows).sum())
    );
    run.pieces.iter().map(|piece| (piece.pos, piece.rows)).collect()
}

#[test]
fn one_run_at_a_time() {
    let mut cloud = session();
    assert_eq!(cloud.accept(append(0, 0, 8), ()), Ok(Admission::Queued));
    assert_eq!(cloud.accept(append(0, 8, 4), ()), Ok(Admission::Queued));
    assert_eq!((cloud.len(), cloud.queued_rows()), (12, 12));
    assert_eq!(pieces(cloud.start_next(8)), [(0, 8)]);
    assert!(cloud.start_next(8).is_none() && cloud.head().is_none());
    assert!(cloud.done());
    assert_eq!(pieces(cloud.start_next(8)), [(8, 4)]);
    assert!(cloud.is_busy() && cloud.done());
    assert!(cloud.start_next(8).is_none() && !cloud.done() && !cloud.is_busy());
}

#[test]
fn a_prompt_is_cut_anywhere_and_goes_on_into_the_next() {
    let mut cloud = session();
    cloud.accept(append(0, 0, 8), ()).unwrap();
    cloud.accept(append(0, 8, 6), ()).unwrap();
    assert_eq!(cloud.head().unwrap().rows, 14);
    assert!(cloud.start_next(0).is_none());
    let first = cloud.start_next(5).unwrap();
    assert!(first.pieces[0].is_first() && !first.pieces[0].is_last());
    assert_eq!((cloud.len(), cloud.queued_rows(), cloud.room()), (14, 9, 7));
    assert!(cloud.done());
    assert_eq!(cloud.head().unwrap().rows, 9);
    let second = cloud.start_next(5).unwrap();
    assert_eq!(second.pieces.iter().map(Piece::is_last).collect::<Vec<_>>(), [true, false]);
    assert_eq!(pieces(Some(second)), [(5, 3), (8, 2)]);
    assert!(cloud.done());
    assert_eq!(pieces(cloud.start_next(5)), [(10, 4)]);
}

#[test]
fn verifications_run_together_and_are_never_cut() {
    let mut cloud = session();
    cloud.accept(append(0, 0, 4), ()).unwrap();
    cloud.accept(verify(4, 3), ()).unwrap();
    cloud.accept(verify(7, 3), ()).unwrap();
    // A rollback is not a continuation.
    cloud.accept(verify(5, 2), ()).unwrap();
    assert_eq!(pieces(cloud.start_next(64)), [(0, 4)]);
    cloud.done();
    assert_eq!((cloud.head().unwrap().kind, cloud.head().unwrap().rows), (AppendKind::Verify, 6));
    assert_eq!(pieces(cloud.start_next(5)), [(4, 3)]);
    cloud.done();
    assert_eq!(pieces(cloud.start_next(1)), [(7, 3)]);
    cloud.done();
    assert_eq!(pieces(cloud.start_next(64)), [(5, 2)]);
    cloud.done();
    assert_eq!(cloud.len(), 7);
}

#[test]
fn as_many_runs_as_stages() {
    let mut cloud = session().with_stages(2);
    cloud.accept(append(0, 0, 8), ()).unwrap();
    assert_eq!(
        (pieces(cloud.start_next(3)), pieces(cloud.start_next(3))),
        (vec![(0, 3)], vec![(3, 3)])
    );
    assert!(cloud.start_next(3).is_none());
    assert!(cloud.done());
    assert_eq!(pieces(cloud.start_next(3)), [(6, 2)]);
    // Truncates what is still in a later stage.
    cloud.accept(append(0, 4, 2), ()).unwrap();
    assert!(cloud.done());
    assert_eq!(pieces(cloud.start_next(3)), [(4, 2)]);
    assert!(cloud.done() && cloud.done());
    assert_eq!(cloud.len(), 6);
}

#[test]
fn an_append_below_the_end_truncates() {
    let mut cloud = session();
    cloud.accept(append(0, 0, 8), ()).unwrap();
    cloud.accept(append(0, 3, 2), ()).unwrap();
    assert_eq!(cloud.len(), 5);
    assert_eq!(cloud.accept(append(0, 6, 1), ()), Err(AppendError::Gap { pos: 6, len: 5 }));
    assert_eq!(cloud.len(), 5);
}

#[test]
fn a_newer_epoch_drops_what_waits_and_silences_what_runs() {
    let mut cloud = session().with_stages(2);
    cloud.accept(append(0, 0, 4), ()).unwrap();
    cloud.accept(append(0, 4, 8), ()).unwrap();
    assert_eq!(pieces(cloud.start_next(4)), [(0, 4)]);
    assert_eq!(pieces(cloud.start_next(2)), [(4, 2)]);
    assert_eq!(cloud.accept(append(1, 7, 1), ()), Err(AppendError::Gap { pos: 7, len: 6 }));
    assert_eq!(cloud.queued_rows(), 6);
    assert_eq!(cloud.accept(append(1, 2, 3), ()), Ok(Admission::Queued));
    assert_eq!(cloud.accept(append(0, 12, 1), ()), Ok(Admission::Stale));
    assert!(!cloud.done() && !cloud.done());
    let run = cloud.start_next(8).unwrap();
    assert_eq!(run.pieces[0].header, append(1, 2, 3));
    assert!(run.pieces[0].is_first() && cloud.done());
    assert_eq!((cloud.len(), cloud.epoch()), (5, 1));
}

#[test]
fn refuses_what_breaks_a_limit() {
    let mut cloud = session();
    assert_eq!(cloud.accept(append(0, 0, 0), ()), Err(AppendError::Empty { pos: 0 }));
    assert_eq!(
        cloud.accept(append(0, 0, 9), ()),
        Err(AppendError::TooManyRows { rows: 9, limit: 8 })
    );
    assert!(matches!(
        cloud.accept(append(0, usize::MAX, 2), ()),
        Err(AppendError::BeyondContext { .. })
    ));
    cloud.accept(append(0, 0, 8), ()).unwrap();
    cloud.accept(append(0, 8, 8), ()).unwrap();
    assert_eq!(
        cloud.accept(append(0, 16, 1), ()),
        Err(AppendError::QueueFull { rows: 1, queued: 16, limit: 16 })
    );
    assert_eq!(cloud.room(), 0);
    assert_eq!(cloud.accept(append(1, 0, 1), ()), Ok(Admission::Queued));
    assert_eq!(cloud.room(), 15);
}
