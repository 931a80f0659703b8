#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{Admission, AppendHeader, CloudSession, SessionLimits, Want};

fn verify(arrival: u64, rows: usize) -> Candidate {
    Candidate { arrival, rows, kind: AppendKind::Verify }
}

fn prompt(arrival: u64, rows: usize) -> Candidate {
    Candidate { arrival, rows, kind: AppendKind::Prompt }
}

const CHUNKED: BatchLimits =
    BatchLimits { schedule: Schedule::Chunked, budget: 64, quantum: 8, max_rows: 128 };
const WHOLE: BatchLimits = BatchLimits { schedule: Schedule::Whole, ..CHUNKED };

fn chosen(candidates: &[Candidate], limits: BatchLimits) -> Vec<(usize, usize)> {
    choose_batch(candidates, &limits).iter().map(|share| (share.index, share.rows)).collect()
}

#[test]
fn verifications_come_first_and_prompts_fill_the_budget() {
    let heads = [prompt(3, 16), verify(5, 4), prompt(2, 500), verify(1, 4)];
    assert_eq!(chosen(&heads, CHUNKED), [(3, 4), (1, 4), (2, 40), (0, 16)]);
    assert_eq!(chosen(&heads, WHOLE), [(3, 4), (1, 4), (2, 500)]);
    assert_eq!(chosen(&heads[..2], WHOLE), [(1, 4), (0, 16)]);
    assert!(chosen(&[], CHUNKED).is_empty() && chosen(&[], WHOLE).is_empty());
}

#[test]
fn a_short_prompt_behind_a_long_one_is_through_at_once() {
    assert_eq!(chosen(&[prompt(0, 2000), prompt(1, 20)], CHUNKED), [(0, 44), (1, 20)]);
    assert_eq!(
        chosen(&[prompt(0, 2000), prompt(1, 2000), prompt(2, 1)], CHUNKED),
        [(0, 32), (1, 31), (2, 1)]
    );
    assert_eq!(chosen(&[prompt(0, 2000), prompt(1, 20)], WHOLE), [(0, 2000)]);
}

#[test]
fn prompts_get_their_quantum_beside_any_number_of_verifications() {
    let mut heads: Vec<Candidate> = (0..100).map(|arrival| verify(arrival, 4)).collect();
    heads.push(prompt(100, 2000));
    let batch = chosen(&heads, CHUNKED);
    assert_eq!((batch.len(), batch.last()), (31, Some(&(100, 8))));
    // Without a prompt they have the batch to themselves.
    assert_eq!(chosen(&heads[..100], CHUNKED).len(), 32);
}

#[test]
fn the_oldest_runs_however_much_it_wants() {
    assert_eq!(chosen(&[verify(0, 500), verify(1, 4)], CHUNKED), [(0, 128)]);
    assert_eq!(chosen(&[prompt(0, 500), prompt(1, 4)], WHOLE), [(0, 500)]);
    // Nothing overtakes its own kind.
    assert_eq!(chosen(&[verify(0, 100), verify(1, 100), verify(2, 4)], CHUNKED), [(0, 100)]);
}

#[test]
fn verifications_that_follow_each_other_keep_to_the_batch() {
    let (append, context) = (512, 4 * 512);
    for (max_rows, batches) in [(100, 4), (512, 4), (1100, 2), (context, 1)] {
        let mut session = CloudSession::new(SessionLimits {
            context,
            max_append_rows: append,
            max_queued_rows: context,
        });
        for pos in (0..context).step_by(append) {
            let header = AppendHeader {
                epoch: 0,
                pos,
                rows: append,
                want: Want::All,
                kind: AppendKind::Verify,
            };
            assert_eq!(session.accept(header, ()), Ok(Admission::Queued));
        }
        let mut ran = 0;
        while let Some(rows) = session.head().map(|head| head.rows) {
            let share = choose_batch(&[verify(0, rows)], &BatchLimits { max_rows, ..CHUNKED })[0];
            let run = session.start_next(share.rows).unwrap();
            assert!(
                run.rows <= max_rows.max(append)
                    && run.pieces.iter().all(|piece| piece.rows == append),
                "{run:?}"
            );
            session.done();
            ran += 1;
        }
        assert_eq!(ran, batches);
    }
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let kind = prop_oneof![Just(AppendKind::Prompt), Just(AppendKind::Verify)];
    vec((kind, 1..600_usize), 0..40).prop_map(|heads| {
        // Arrivals in an order that is not the candidates'.
        let arrival = |i: usize| (i as u64 * 17) % 41;
        heads
            .into_iter()
            .enumerate()
            .map(|(i, (kind, rows))| Candidate { arrival: arrival(i), rows, kind })
            .collect()
    })
}

fn limits() -> impl Strategy<Value = BatchLimits> {
    let schedule = prop_oneof![Just(Schedule::Whole), Just(Schedule::Chunked)];
    (schedule, 0..600_usize, 0..64_usize, 1..600_usize).prop_map(
        |(schedule, budget, quantum, max_rows)| BatchLimits { schedule, budget, quantum, max_rows },
    )
}

proptest! {
    #[test]
    fn limits_are_kept(candidates in candidates(), limits in limits()) {
        let batch = choose_batch(&candidates, &limits);
        prop_assert_eq!(batch.is_empty(), candidates.is_empty());
        let of = |kind| -> Vec<usize> {
            let shares = batch.iter().filter(|share| candidates[share.index].kind == kind);
            shares.map(|share| share.rows).collect()
        };
        let rows = |kind| of(kind).iter().sum::<usize>();
        let (verifying, prompting) = (rows(AppendKind::Verify), rows(AppendKind::Prompt));
        let first = |kind| of(kind).first().copied().unwrap_or(0);
        prop_assert!(verifying <= limits.max_rows.max(first(AppendKind::Verify)));
        match limits.schedule {
            Schedule::Whole => {
                let left = limits.max_rows.saturating_sub(verifying);
                prop_assert!(prompting <= left.max(first(AppendKind::Prompt)));
            }
            Schedule::Chunked => {
                let left = limits.budget.min(limits.max_rows).saturating_sub(verifying);
                let prompts = candidates.iter().filter(|c| c.kind == AppendKind::Prompt);
                let wanted = prompts.map(|c| c.rows).sum::<usize>();
                prop_assert_eq!(prompting, left.max(limits.quantum.max(1)).min(wanted));
            }
        }
    }

    #[test]
    fn each_at_most_once_in_order_and_only_prompts_are_cut(
        candidates in candidates(),
        limits in limits(),
    ) {
        let batch = choose_batch(&candidates, &limits);
        let key = |share: &Share| {
            let Candidate { kind, arrival, .. } = candidates[share.index];
            (kind != AppendKind::Verify, arrival)
        };
        prop_assert!(batch.is_sorted_by(|a, b| key(a) < key(b)));
        for share in &batch {
            let Candidate { rows, kind, .. } = candidates[share.index];
            prop_assert!((1..=rows).contains(&share.rows));
            let may_be_less = match kind {
                AppendKind::Prompt => limits.schedule == Schedule::Chunked,
                AppendKind::Verify => {
                    let room = limits.max_rows.saturating_sub(limits.quantum.max(1));
                    share == &batch[0] && rows > room
                }
            };
            prop_assert!(share.rows == rows || may_be_less);
        }
        // The oldest of each kind is there.
        for kind in [AppendKind::Verify, AppendKind::Prompt] {
            let of_kind = (0..candidates.len()).filter(|&i| candidates[i].kind == kind);
            let oldest = of_kind.min_by_key(|&i| candidates[i].arrival);
            let is_there = |oldest| batch.iter().any(|share| share.index == oldest);
            prop_assert!(oldest.is_none_or(is_there));
        }
    }

    #[test]
    fn nobody_gets_more_than_one_who_wants_more(candidates in candidates(), limits in limits()) {
        let limits = BatchLimits { schedule: Schedule::Chunked, ..limits };
        let batch = choose_batch(&candidates, &limits);
        let got = |index| {
            batch.iter().find(|share| share.index == index).map_or(0, |share| share.rows)
        };
        let is_prompt = |&i: &usize| candidates[i].kind == AppendKind::Prompt;
        let prompts = || (0..candidates.len()).filter(is_prompt);
        for cut in prompts().filter(|&i| got(i) < candidates[i].rows) {
            // Rows that do not divide make a difference of one.
            prop_assert!(prompts().all(|other| got(other) <= got(cut) + 1));
        }
    }

    #[test]
    fn every_append_is_done_while_new_ones_keep_coming(
        waiting in candidates(),
        limits in limits(),
        rows in 1..64_usize,
    ) {
        let mut heads = waiting.clone();
        let mut left = vec![true; heads.len()];
        let all = waiting.iter().map(|head| head.rows).sum::<usize>();
        // Whoever is done at once has another append of the same kind, which arrived last.
        let mut arrival = 1000;
        for _ in 0..=all {
            for Share { index, rows: done } in choose_batch(&heads, &limits) {
                heads[index].rows -= done;
                if heads[index].rows == 0 {
                    left[index] = false;
                    arrival += 1;
                    heads[index] = Candidate { arrival, rows, ..heads[index] };
                }
            }
        }
        prop_assert!(left.iter().all(|&left| !left), "{left:?}");
    }
}
