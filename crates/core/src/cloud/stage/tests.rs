//! Stage scheduler under a driver of a few lines.
#![allow(clippy::unwrap_used)]

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn entry(session: u64, pos: usize, rows: usize) -> StageEntry {
    StageEntry { session, pos, rows, answer_rows: rows }
}

fn job(lane: u64, id: u64, entries: &[StageEntry], closed: &[u64]) -> StageJob<()> {
    let (entries, closed) = (entries.to_vec(), closed.to_vec());
    StageJob { lane, id, entries, closed, arrived: ms(0), payload: () }
}

/// Starts and computes the next batch; with memory for everybody.
fn run(stage: &mut StageScheduler<()>, now: Duration) -> InFlightJob<()> {
    let StartedJob { mut job, entries, .. } = stage.start(now).unwrap();
    for entry in entries {
        match stage.admit(job.lane, &entry) {
            Ok(admitted) => job.entries.push((entry, admitted.name)),
            Err(_) => drop(stage.end(job.lane, entry.session)),
        }
    }
    stage.computed(&mut job, Took { time: ms(4), overran: false });
    job
}

#[test]
fn batches_run_in_the_order_of_their_arrival_whosever_they_are() {
    let mut stage = StageScheduler::new();
    assert_eq!((stage.open(1, 16, 4), stage.open(2, 16, 4)), (Some(1), Some(1)));
    for (lane, id) in [(1, 7), (2, 7), (1, 8)] {
        stage.push(job(lane, id, &[entry(5, 0, 2)], &[]));
    }
    let mut names = Vec::new();
    for expected in [(1, 7), (2, 7), (1, 8)] {
        assert!(stage.has_work());
        let job = run(&mut stage, ms(3));
        assert_eq!(
            (job.lane, job.id, job.queue, job.compute),
            (expected.0, expected.1, ms(3), ms(4))
        );
        names.push(job.entries[0].1);
    }
    assert!(!stage.has_work());
    // Sessions of the same number in two lanes are two.
    assert_eq!(names[0], names[2]);
    assert_ne!(names[0], names[1]);
    assert_eq!((stage.figures().batches, stage.figures().rows), (3, 6));
}

#[test]
fn a_lane_that_ends_takes_its_batches_along_and_names_its_sessions() {
    let mut stage = StageScheduler::new();
    stage.open(1, 16, 4);
    stage.open(2, 16, 4);
    stage.push(job(1, 1, &[entry(5, 0, 2), entry(6, 0, 2)], &[]));
    let names: Vec<u64> = run(&mut stage, ms(0)).entries.iter().map(|(_, name)| *name).collect();
    stage.push(job(1, 2, &[entry(5, 2, 1)], &[]));
    stage.push(job(2, 1, &[entry(5, 0, 1)], &[]));
    assert_eq!(stage.close(1), names);
    assert!(stage.close(1).is_empty());
    stage.push(job(1, 3, &[entry(5, 0, 1)], &[]));
    assert_eq!(run(&mut stage, ms(0)).lane, 2);
    assert!(!stage.has_work());
}

#[test]
fn ended_sessions_are_freed_before_the_batch_that_tells_of_them() {
    let mut stage = StageScheduler::new();
    stage.open(1, 16, 1);
    stage.push(job(1, 1, &[entry(5, 0, 2)], &[]));
    let name = run(&mut stage, ms(0)).entries[0].1;
    stage.push(job(1, 2, &[entry(6, 0, 2)], &[5, 9]));
    let StartedJob { job, entries, ended } = stage.start(ms(0)).unwrap();
    assert_eq!(ended, [name]);
    assert!(stage.admit(job.lane, &entries[0]).is_ok_and(|admitted| admitted.is_new));
}

#[test]
fn names_lead_back_to_the_sessions() {
    let mut stage = StageScheduler::new();
    stage.stage_connected(2, 3);
    assert_eq!(stage.open(1, 16, 4), Some(3));
    stage.push(job(1, 1, &[entry(5, 0, 2)], &[]));
    let job = run(&mut stage, ms(2));
    let name = job.entries[0].1;
    assert_eq!(job.entries_onward().collect::<Vec<_>>(), [entry(name, 0, 2)]);
    let handed = stage.hand_over(job).unwrap();
    let back = stage.returned(handed.number, ms(10), ms(1)).unwrap();
    assert_eq!((back.id, back.compute, back.queue), (1, ms(14), ms(3)));
    assert_eq!((back.session_of(name), back.session_of(name + 1)), (Some(5), None));
}

#[test]
fn a_session_that_fails_is_told_onward_when_nothing_else_is() {
    let mut stage = StageScheduler::new();
    stage.stage_connected(1, 2);
    stage.open(1, 16, 4);
    stage.push(job(1, 1, &[entry(5, 0, 2)], &[]));
    let first = run(&mut stage, ms(0));
    let out = stage.hand_over(first).unwrap();
    let name = stage.end(1, 5).unwrap();
    assert_eq!((stage.end(1, 5), stage.news()), (None, None));
    stage.returned(out.number, ms(0), ms(0)).unwrap();
    let news = stage.news().unwrap();
    assert_eq!((news.closed, stage.news()), (vec![name], None));
    // Its answer is nobody's.
    assert!(stage.returned(news.number, ms(0), ms(0)).is_none());
}

#[test]
fn a_window_of_batches_is_out_at_a_time() {
    let mut stage = StageScheduler::new();
    stage.stage_connected(1, 2);
    stage.open(1, 16, 4);
    let mut out = Vec::new();
    for id in 1..4 {
        stage.push(job(1, id, &[entry(id, 0, 1)], &[]));
    }
    while stage.has_work() {
        let job = run(&mut stage, ms(0));
        out.push(stage.hand_over(job).unwrap().number);
    }
    assert_eq!(out.len(), 2);
    stage.returned(out[0], ms(0), ms(0)).unwrap();
    assert!(stage.has_work());
}

#[test]
fn a_lost_stage_ends_every_lane_until_it_is_back() {
    let mut stage = StageScheduler::new();
    stage.stage_connected(1, 2);
    stage.open(1, 16, 4);
    stage.push(job(1, 1, &[entry(5, 0, 1)], &[]));
    let first = run(&mut stage, ms(0));
    let out = stage.hand_over(first).unwrap();
    stage.push(job(1, 2, &[entry(5, 1, 1)], &[]));
    stage.stage_lost();
    assert_eq!((stage.has_work(), stage.open(2, 16, 4)), (false, None));
    stage.stage_connected(1, 2);
    assert!(stage.returned(out.number, ms(0), ms(0)).is_none());
    assert_eq!(stage.open(2, 16, 4), Some(2));
}
