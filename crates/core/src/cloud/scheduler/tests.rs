//! Scheduler under a driver of a few lines, which has no rows and a clock that the tests set.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{AppendKind, DeepHeader, Want, cloud::StageEntry};

const LIMITS: SessionLimits =
    SessionLimits { context: 64, max_append_rows: 32, max_queued_rows: 64 };

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn scheduler() -> Scheduler<&'static str> {
    Scheduler::new(SchedulerConfig {
        schedule: Schedule::Chunked,
        max_batch_rows: 16,
        tbt_target: ms(100),
    })
}

/// The first of three stages.
fn first_of_three() -> Scheduler<&'static str> {
    let mut scheduler = scheduler();
    scheduler.stage_connected(2, 2);
    scheduler
}

fn header(pos: usize, rows: usize, want: Want) -> AppendHeader {
    AppendHeader { epoch: 0, pos, rows, want, kind: AppendKind::Prompt }
}

fn open(scheduler: &mut Scheduler<&'static str>, sessions: &[u64]) {
    for &session in sessions {
        scheduler.open(session, LIMITS, ms(0)).unwrap();
    }
}

fn append(scheduler: &mut Scheduler<&'static str>, session: u64, header: AppendHeader) {
    scheduler.append(session, header, "rows", Arrival::default()).unwrap();
}

/// Forms and computes a batch in which there is memory for everybody.
fn compute(scheduler: &mut Scheduler<&'static str>, now: Duration) -> InFlightBatch {
    assert!(scheduler.has_work());
    let mut batch = scheduler.form(now).admit(|_| true);
    scheduler.computed(&mut batch, Took { time: ms(1), overran: false }, now + ms(1));
    batch
}

/// Computes a batch and hands it over; who is in it, and what else is said.
fn hand_over(scheduler: &mut Scheduler<&'static str>) -> (Vec<StageEntry>, HandOver) {
    let batch = compute(scheduler, ms(0));
    let entries = batch.entries().collect();
    (entries, scheduler.hand_over(batch).unwrap())
}

/// What is answered, by session.
fn answer(
    scheduler: &mut Scheduler<&'static str>,
    batch: &InFlightBatch,
    now: Duration,
) -> Vec<(u64, DeepHeader)> {
    let mut answers = Vec::new();
    for member in batch.members() {
        for part in scheduler.answer(batch, member, now) {
            answers.extend(part.answer.map(|answer| (member.session(), answer.header)));
        }
    }
    answers
}

fn returned(scheduler: &mut Scheduler<&'static str>, number: u64) -> Vec<(u64, DeepHeader)> {
    let batch = scheduler.returned(number, ms(0), ms(9)).unwrap();
    answer(scheduler, &batch, ms(9))
}

fn entry(session: u64, pos: usize, rows: usize, answer_rows: usize) -> StageEntry {
    StageEntry { session, pos, rows, answer_rows }
}

#[test]
fn an_append_in_pieces_is_answered_once_with_the_rows_of_all() {
    let mut scheduler = scheduler();
    open(&mut scheduler, &[1]);
    let arrival = Arrival { at: ms(3), received: None };
    let asked = header(0, 20, Want::All);
    scheduler.append(1, asked, "rows", arrival).unwrap();
    let first = compute(&mut scheduler, ms(10));
    let parts = scheduler.answer(&first, &first.members()[0], ms(12));
    assert_eq!(
        (parts[0].begins, parts[0].rows.clone(), parts[0].answer.is_none()),
        (true, 0..16, true)
    );
    let second = compute(&mut scheduler, ms(20));
    let parts = scheduler.answer(&second, &second.members()[0], ms(25));
    assert_eq!((parts[0].begins, parts[0].rows.clone()), (false, 0..4));
    let answer = parts[0].answer.unwrap();
    assert_eq!((answer.header, answer.kind), (asked.answer(), AppendKind::Prompt));
    let timing = answer.timing;
    assert_eq!(
        (timing.queue, timing.compute, timing.batch_rows, timing.batch_appends),
        (ms(7), ms(15), 4, 1)
    );
    assert!(!scheduler.has_work());
}

#[test]
fn a_session_without_memory_takes_no_part_and_the_others_close_up() {
    let mut scheduler = scheduler();
    open(&mut scheduler, &[1, 2, 3]);
    for session in [1, 2, 3] {
        append(&mut scheduler, session, header(0, 2, Want::Last));
    }
    let mut batch = scheduler.form(ms(0)).admit(|member| member.session() != 2);
    scheduler.end(2);
    scheduler.computed(&mut batch, Took::default(), ms(1));
    let places: Vec<_> =
        batch.members().iter().map(|member| (member.session(), member.answer_rows())).collect();
    assert_eq!(places, [(1, 1..2), (3, 3..4)]);
    assert_eq!(scheduler.report().figures().rows, 4);
    let answered: Vec<u64> =
        answer(&mut scheduler, &batch, ms(2)).into_iter().map(|(session, _)| session).collect();
    assert_eq!(answered, [1, 3]);
}

#[test]
fn what_a_newer_epoch_abandons_meanwhile_is_not_answered() {
    let mut scheduler = scheduler();
    open(&mut scheduler, &[1]);
    append(&mut scheduler, 1, header(0, 2, Want::Last));
    let batch = compute(&mut scheduler, ms(0));
    let newer = AppendHeader { epoch: 1, ..header(1, 3, Want::Last) };
    append(&mut scheduler, 1, newer);
    assert_eq!(answer(&mut scheduler, &batch, ms(2)), []);
    let batch = compute(&mut scheduler, ms(3));
    assert_eq!(answer(&mut scheduler, &batch, ms(4)), [(1, newer.answer())]);
}

#[test]
fn a_device_that_breaks_a_limit_loses_its_session_and_no_other() {
    let mut scheduler = scheduler();
    open(&mut scheduler, &[1, 2]);
    let gap = scheduler.append(1, header(5, 1, Want::None), "rows", Arrival::default());
    assert_eq!(gap, Err(AppendError::Gap { pos: 5, len: 0 }));
    // On its way when the session ended.
    append(&mut scheduler, 1, header(0, 1, Want::None));
    assert!(!scheduler.has_work());
    append(&mut scheduler, 2, header(0, 1, Want::None));
    assert_eq!(compute(&mut scheduler, ms(0)).appends(), 1);
}

#[test]
fn waits_count_from_when_an_append_could_have_run() {
    let mut scheduler = scheduler();
    open(&mut scheduler, &[1]);
    scheduler
        .append(1, header(0, 1, Want::None), "", Arrival { at: ms(1), received: None })
        .unwrap();
    let batch = compute(&mut scheduler, ms(5));
    // Behind the first for 5 ms, then ready for 2 ms.
    scheduler
        .append(1, header(1, 1, Want::None), "", Arrival { at: ms(6), received: None })
        .unwrap();
    answer(&mut scheduler, &batch, ms(11));
    compute(&mut scheduler, ms(13));
    let wait = scheduler.report().throughput(false, ms(13)).prompt_wait;
    // 4 ms, then 2 ms, with four fifths of the past.
    assert!(wait.abs_diff(Duration::from_micros(3600)) < Duration::from_micros(1), "{wait:?}");
}

#[test]
fn prompts_may_fill_the_target_until_somebody_decodes() {
    let mut scheduler = Scheduler::new(SchedulerConfig {
        schedule: Schedule::Chunked,
        max_batch_rows: 512,
        tbt_target: ms(100),
    });
    // 10 ms and 1 ms a row.
    [1, 8, 64].into_iter().for_each(|rows| scheduler.calibrated(rows, ms(10 + rows as u64)));
    let limits = SessionLimits { context: 4096, max_append_rows: 2048, max_queued_rows: 2048 };
    scheduler.open(1, limits, ms(0)).unwrap();
    scheduler.open(2, limits, ms(0)).unwrap();
    scheduler.append(1, header(0, 2000, Want::Last), "", Arrival::default()).unwrap();
    let rows_at = |scheduler: &mut Scheduler<&'static str>, now| {
        let batch = scheduler.form(now).admit(|_| true);
        let rows = batch.rows();
        answer(scheduler, &batch, now);
        rows
    };
    assert_eq!(rows_at(&mut scheduler, ms(0)), 90);
    let verify = AppendHeader { kind: AppendKind::Verify, ..header(0, 4, Want::All) };
    scheduler.append(2, verify, "", Arrival { at: ms(100), received: None }).unwrap();
    assert_eq!(
        [100, 200, 1099, 1100].map(|now| rows_at(&mut scheduler, ms(now))),
        [40, 40, 40, 90]
    );
}

#[test]
fn a_drain_answers_what_was_accepted_and_takes_nothing_more() {
    let mut scheduler = scheduler();
    open(&mut scheduler, &[1, 2]);
    append(&mut scheduler, 1, header(0, 1, Want::Last));
    assert!(scheduler.end_the_answered().is_empty());
    scheduler.drain();
    assert_eq!(scheduler.open(3, LIMITS, ms(0)), Err(OpenRefused::Draining));
    append(&mut scheduler, 2, header(0, 1, Want::Last));
    assert_eq!(scheduler.end_the_answered(), [2]);
    let batch = compute(&mut scheduler, ms(0));
    assert!(!scheduler.is_drained());
    assert_eq!(answer(&mut scheduler, &batch, ms(2)).len(), 1);
    assert_eq!((scheduler.end_the_answered(), scheduler.is_drained()), (vec![1], true));
}

#[test]
fn only_the_rows_that_are_wanted_are_asked_for() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1]);
    append(&mut scheduler, 1, header(0, 2, Want::Last));
    let (entries, HandOver { number, .. }) = hand_over(&mut scheduler);
    assert_eq!(entries, [entry(1, 0, 2, 1)]);
    assert_eq!(returned(&mut scheduler, number), [(1, header(0, 2, Want::Last).answer())]);
    append(&mut scheduler, 1, header(2, 1, Want::None));
    let (entries, HandOver { number, .. }) = hand_over(&mut scheduler);
    assert_eq!(entries, [entry(1, 2, 1, 0)]);
    assert_eq!(returned(&mut scheduler, number), [(1, header(2, 1, Want::None).answer())]);
    assert_eq!(scheduler.report().throughput(false, ms(0)).stages, 3);
}

#[test]
fn a_window_of_batches_is_out_at_a_time() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1, 2, 3]);
    let mut numbers = Vec::new();
    for session in [1, 2] {
        append(&mut scheduler, session, header(0, 1, Want::All));
        numbers.push(hand_over(&mut scheduler).1.number);
    }
    // Two are out: the third waits until one is back.
    append(&mut scheduler, 3, header(0, 1, Want::All));
    append(&mut scheduler, 1, header(1, 1, Want::All));
    assert!(!scheduler.has_work());
    assert_eq!(returned(&mut scheduler, numbers[0]).len(), 1);
    let (entries, third) = hand_over(&mut scheduler);
    assert_eq!(entries, [entry(3, 0, 1, 1), entry(1, 1, 1, 1)]);
    assert!(!scheduler.has_work());
    assert_eq!(returned(&mut scheduler, numbers[1])[0].0, 2);
    assert_eq!(returned(&mut scheduler, third.number).len(), 2);
}

#[test]
fn a_long_prompt_fills_the_pipeline_in_pieces() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1]);
    append(&mut scheduler, 1, header(0, 20, Want::All));
    let (first, second) = (hand_over(&mut scheduler), hand_over(&mut scheduler));
    assert_eq!([first.0, second.0], [[entry(1, 0, 16, 16)], [entry(1, 16, 4, 4)]]);
    assert_eq!(returned(&mut scheduler, first.1.number), []);
    assert_eq!(returned(&mut scheduler, second.1.number).len(), 1);
}

#[test]
fn a_session_that_ends_while_it_is_out_is_forgotten_there() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1, 2]);
    append(&mut scheduler, 1, header(0, 1, Want::All));
    append(&mut scheduler, 2, header(0, 1, Want::All));
    let (_, out) = hand_over(&mut scheduler);
    let batch = scheduler.returned(out.number, ms(0), ms(5)).unwrap();
    scheduler.end(1);
    assert_eq!(answer(&mut scheduler, &batch, ms(5))[0].0, 2);
    let (entries, news) = hand_over(&mut scheduler);
    assert_eq!((entries, news.closed), (vec![], vec![1]));
}

#[test]
fn ended_sessions_are_told_of_with_the_next_batch_or_when_nothing_is_out() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1, 2, 3, 4]);
    for session in [1, 3] {
        append(&mut scheduler, session, header(0, 1, Want::All));
        let number = hand_over(&mut scheduler).1.number;
        returned(&mut scheduler, number);
    }
    append(&mut scheduler, 2, header(0, 1, Want::All));
    let out = hand_over(&mut scheduler).1.number;
    // No batch of its own, though there is room for one; and nobody there knows of the session that
    // never ran.
    scheduler.end(1);
    scheduler.end(4);
    assert!(!scheduler.has_work());
    append(&mut scheduler, 2, header(1, 1, Want::All));
    let (entries, next) = hand_over(&mut scheduler);
    assert_eq!((entries, next.closed), (vec![entry(2, 1, 1, 1)], vec![1]));
    scheduler.end(3);
    returned(&mut scheduler, out);
    assert!(!scheduler.has_work());
    returned(&mut scheduler, next.number);
    let (entries, news) = hand_over(&mut scheduler);
    assert_eq!((entries, news.closed), (vec![], vec![3]));
}

#[test]
fn a_lost_stage_ends_every_session_and_refuses_new_ones_until_it_is_back() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1, 2]);
    append(&mut scheduler, 1, header(0, 1, Want::All));
    let (_, out) = hand_over(&mut scheduler);
    scheduler.stage_lost();
    assert_eq!(scheduler.open(3, LIMITS, ms(0)), Err(OpenRefused::StageLost));
    assert!(!scheduler.has_work());

    scheduler.stage_connected(2, 2);
    open(&mut scheduler, &[4]);
    // An answer over the connection before means nothing any more.
    assert!(scheduler.returned(out.number, ms(0), ms(5)).is_none());
    append(&mut scheduler, 4, header(0, 1, Want::All));
    let (_, next) = hand_over(&mut scheduler);
    assert!(next.number > out.number && next.closed.is_empty());
    assert_eq!(returned(&mut scheduler, next.number)[0].0, 4);
}

#[test]
fn what_is_out_is_answered_before_the_end() {
    let mut scheduler = first_of_three();
    open(&mut scheduler, &[1]);
    append(&mut scheduler, 1, header(0, 1, Want::All));
    let (_, out) = hand_over(&mut scheduler);
    scheduler.drain();
    assert!(scheduler.end_the_answered().is_empty());
    assert_eq!(returned(&mut scheduler, out.number).len(), 1);
    assert_eq!((scheduler.end_the_answered(), scheduler.is_drained()), (vec![1], true));
}
