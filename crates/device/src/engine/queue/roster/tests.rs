use super::{super::job::Ending, *};
use crate::engine::GenerationRequest;
use std::sync::Arc;
use tokio::sync::{
    mpsc,
    oneshot::{self, Receiver},
};
use tricorn_core::{ChunkPolicy, DraftPolicy, SamplingParams};

/// A request of a group, told from others by the tokens it asks for; with the place where its last
/// word comes.
fn job(group: Group, tokens: usize) -> (Job, Receiver<Update>) {
    let (last, word) = oneshot::channel();
    let request = GenerationRequest {
        prompt: vec![1],
        max_new_tokens: tokens,
        sampling: SamplingParams::greedy(),
        grammar: None,
        logprobs: None,
        stop: Vec::new(),
        draft: DraftPolicy::OFF,
        chunk: ChunkPolicy::Whole,
        trace: false,
        deadline: None,
        group: Some(group),
    };
    let ending = Ending::new(last, Arc::default(), None, Duration::ZERO);
    (
        Job {
            request,
            updates: mpsc::channel(1).0,
            cancel: Cancel::default(),
            group,
            submitted: Instant::now(),
            ending,
        },
        word,
    )
}

/// The request that a slot was given.
fn given(roster: &Roster, slot: usize) -> Job {
    match roster.next(slot) {
        Next::Job(job, _) => *job,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slot_that_gets_free_goes_to_the_group_with_the_fewest_running() {
    let roster = Roster::new(2, 64, Duration::from_secs(3600));
    let (large, single) = (Group::unique(), Group::unique());
    for tokens in 1..=4 {
        roster.submit(job(large, tokens).0).unwrap();
    }
    roster.submit(job(single, 9).0).unwrap();
    let slots = [1, 0]
        .into_iter()
        .map(|slot| given(&roster, slot).request.max_new_tokens)
        .collect::<Vec<_>>();
    assert!(slots == [1, 2] || slots == [2, 1], "{slots:?}");
    for expected in [9, 3, 4] {
        roster.done(0, Held::default(), None);
        assert_eq!(given(&roster, 0).request.max_new_tokens, expected);
    }
    assert_eq!(roster.counts().1, 0);
}

#[test]
fn whoever_waits_until_nothing_runs_finds_the_client_told() {
    let roster = Roster::new(1, 64, Duration::from_secs(3600));
    let (job, mut word) = job(Group::unique(), 1);
    roster.submit(job).unwrap();
    let ending = given(&roster, 0).ending;
    roster.close();
    assert!(word.try_recv().is_err(), "it still runs");
    roster.done(0, Held::default(), Some(ending.end(Outcome::Interrupted(CancelReason::Shutdown))));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(roster.drained());
    assert!(matches!(word.try_recv(), Ok(Update::Failed(_))));
}
