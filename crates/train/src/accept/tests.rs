use std::sync::atomic::AtomicBool;

use serde_json::json;
use tricorn_core::{
    Action, ChunkPolicy, DeepUse, DeviceSession, Judgement, SessionConfig, TurnOptions, argmax,
    confidence,
};
use tricorn_model::DrafterKind;

use super::{
    rounds::{Chain, Draft},
    *,
};
use crate::testing::{SPLIT, TempDir, tiny_model, weights, written_drafter};

const NEW_TOKENS: usize = 30;

/// The guess after `tokens`, of which the first `confirmed` are and the prompt's `prompt` are the
/// user's.
fn guess(
    teacher: &Teacher,
    drafter: &Drafter,
    tokens: &[u32],
    confirmed: usize,
    prompt: usize,
) -> Vec<f32> {
    let hidden = teacher.hidden;
    let shallow = teacher
        .shallow_at(&mut teacher.input.new_kv(&teacher.pool, tokens.len()), 0, tokens)
        .unwrap();
    let known = teacher
        .teach(crate::lessons::text::Sequence { tokens: tokens[..confirmed].to_vec(), prompt })
        .unwrap();
    let previous = [vec![0.0; prompt * hidden], known.target].concat();
    let mut kv = drafter.new_kv(&teacher.pool, tokens.len());
    let mut guess = drafter
        .forward_at(&mut kv, 0, &shallow[..confirmed * hidden], &previous)
        .unwrap()
        .split_off((confirmed - 1) * hidden);
    for (pos, row) in (confirmed..).zip(shallow[confirmed * hidden..].chunks_exact(hidden)) {
        guess = drafter.forward_at(&mut kv, pos, row, &guess).unwrap();
    }
    guess
}

/// Decodes with the real session, drafter and model, everything recomputed from scratch at each
/// step.
fn decode(
    teacher: &Teacher,
    drafter: &Drafter,
    prompt: &[u32],
    policy: DraftPolicy,
) -> (Vec<u32>, Rounds) {
    let mut session = DeviceSession::new(SessionConfig {
        context: 256,
        max_append_rows: 256,
        max_queued_rows: 256,
        output_layers: SPLIT.output_layers,
    });
    let options = TurnOptions {
        max_new_tokens: NEW_TOKENS,
        stop_tokens: teacher.end_tokens.clone(),
        draft: policy,
        chunk: ChunkPolicy::Whole,
    };
    session.start_turn(prompt.to_vec(), options).unwrap();
    loop {
        match session.poll() {
            Action::Connect => session.connected(),
            Action::Draft { pos } => {
                let logits = teacher
                    .output
                    .logits(&guess(
                        teacher,
                        drafter,
                        session.tokens_at(0, pos),
                        session.tokens().len(),
                        prompt.len(),
                    ))
                    .unwrap();
                session.drafted(tricorn_core::Draft::new(argmax(&logits), confidence(&logits)));
            }
            Action::Append(header) => {
                let mut tokens = session.tokens_at(0, header.end()).to_vec();
                // The teacher gives rows for all tokens but the last, so one is added that no row
                // sees.
                tokens.push(0);
                let lesson =
                    teacher.teach(crate::lessons::text::Sequence { tokens, prompt: 1 }).unwrap();
                if let DeepUse::Judge { pos, .. } = session.deep(header.answer()).unwrap() {
                    let mut rows =
                        lesson.target[(pos - 1) * teacher.hidden..].chunks_exact(teacher.hidden);
                    while session
                        .judge(argmax(&teacher.output.logits(rows.next().unwrap()).unwrap()))
                        == Judgement::Accepted
                    {}
                }
            }
            Action::Finished(_) => break,
            Action::Wait | Action::Guess { .. } | Action::Branch => panic!("nothing to wait for"),
        }
    }
    let stats = session.stats();
    (
        session.generated().to_vec(),
        Rounds { rounds: stats.rounds, tokens: stats.verified, drafted: stats.drafted },
    )
}

#[test]
fn replay_equals_decoding_with_the_device_session() {
    let dir = TempDir::new();
    // With many ends of text some texts end early, and some drafts too.
    let source = tiny_model(&dir, &json!({"eos_token_id": [1, 4, 9]}));
    let teacher = Teacher::load(&source, SPLIT).unwrap();
    let prompts: Vec<Vec<u32>> = (0..12).map(|i| vec![0, 2 + i, 5, 20 - i]).collect();
    let texts: Vec<Written> = teacher
        .write(prompts.clone(), NEW_TOKENS, 256, &AtomicBool::new(false))
        .unwrap()
        .into_iter()
        .map(|lesson| Written {
            spare: lesson.first + 1 + NEW_TOKENS - lesson.tokens.len(),
            lesson,
        })
        .collect();
    assert!(
        texts.iter().any(|text| text.spare > 0) && texts.iter().any(|text| text.spare == 0),
        "texts should end both ways"
    );
    for kind in DrafterKind::ALL {
        let drafter = written_drafter(&dir, &source, &weights(kind, &source));
        let replay = |astray, stop| {
            Replay::new(&teacher, &drafter, &texts, 5, astray, &AtomicBool::new(stop)).unwrap()
        };
        assert_eq!((replay(true, true), replay(false, true)), (None, None));
        let without_detours = replay(false, false).unwrap();
        let replay = replay(true, false).unwrap();
        let mut accepted = 0;
        for max_len in [1, 2, 5] {
            for threshold in [0.0, 0.3, 0.6, 0.95] {
                let policy = DraftPolicy::up_to(max_len, threshold);
                let mut expected = Rounds::default();
                for (prompt, text) in prompts.iter().zip(&texts) {
                    let (generated, rounds) = decode(&teacher, &drafter, prompt, policy);
                    assert_eq!(
                        generated,
                        text.lesson.tokens[prompt.len()..],
                        "the written text is not what decoding gives"
                    );
                    expected = expected + rounds;
                }
                assert_eq!(replay.rounds(policy), expected, "{kind}, {policy:?}");
                accepted += expected.tokens - expected.rounds;
            }
        }
        assert!(accepted > 0, "no draft of {kind} was ever right");
        assert_eq!(without_detours.tokens_per_round(), replay.tokens_per_round());
    }
}

#[test]
fn the_best_threshold_depends_on_the_cost_of_a_draft() {
    let agrees = |row: usize| !row.is_multiple_of(4);
    let draft =
        |row: usize| Draft { confidence: if row % 4 == 3 { 0.35 } else { 0.75 }, ends_text: false };
    let chains = (0..40_usize).map(|row| {
        let agreeing = (row..40).take(4).take_while(|&row| agrees(row)).count();
        Chain { drafts: (row..40).take(agreeing + 1).map(draft).collect(), agreeing }
    });
    let replay = Replay { texts: vec![Text { chains: chains.collect(), spare: 0 }], max_draft: 4 };
    let (free, dear) = (replay.report(0.0), replay.report(0.9));
    assert_eq!(free.best.threshold, 0.0);
    assert!(dear.best.threshold > 0.3, "{dear:?}");
    assert!(
        free.curve.iter().all(|point| point.tokens_per_round <= free.curve[0].tokens_per_round)
    );
    assert_eq!(free.generated, 41);
}
