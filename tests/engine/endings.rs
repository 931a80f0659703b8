//! Endings: every request ends once, and then holds nothing.

use super::*;
use tricorn_core::SamplingOptions;
use tricorn_device::engine::{Finish, Refused};

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let model = model();
    let cloud = Cloud::start(model.path(), CUT);
    let served =
        remote(model.path(), &cloud.url(), EngineConfig { slots: 3, ..EngineConfig::default() });
    let mut random = 7_u64;
    let mut submitted = 0;
    runtime().block_on(async {
        let mut readers = Vec::new();
        for _ in 0..60 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (updates, kind) = ((random >> 40) % 8, (random >> 33) % 4);
            let prompt =
                user(["hi", "The hat told the cloud a story. ", "a"][(random >> 50) as usize % 3]);
            let Ok(mut generation) =
                served.engine.submit(rendered(&prompt, 1 + (random >> 45) as usize % 24))
            else {
                continue;
            };
            submitted += 1;
            readers.push(tokio::spawn(async move {
                if kind == 0 {
                    let answer = read(generation).await;
                    assert!(!answer.done().report.token_ids.is_empty());
                } else {
                    for _ in 0..updates {
                        let _ = generation.next().await;
                    }
                }
            }));
        }
        for reader in readers {
            reader.await.unwrap();
        }
    });
    served.settled(submitted);
    assert_eq!(submitted, 60, "no more wait than may");
    // Every slot is still there.
    let answers: Vec<Generation> =
        (0..3).map(|_| served.submit(rendered(&user("hi"), 8))).collect();
    for answer in answers {
        runtime().block_on(read(answer)).done();
    }
    served.end();
}

#[test]
fn a_client_that_goes_away_frees_its_slot_while_the_cloud_is_silent() {
    let model = model();
    let (_cloud, served, stuck) =
        frozen(model.path(), EngineConfig { slots: 1, ..EngineConfig::default() });
    drop(stuck);
    served.settled(2);
    assert_eq!(served.engine.figures().cancelled, 1);
    served.end();
}

#[test]
fn what_went_up_counts_however_its_request_ends() {
    let model = model();
    let cloud = Cloud::start(model.path(), CUT);
    let served =
        remote(model.path(), &cloud.url(), EngineConfig { slots: 1, ..EngineConfig::default() });
    let first = served.ask(rendered(&user("hi"), 2)).done().report.bytes_up;
    assert!(first > 0);
    assert_eq!(served.engine.figures().bytes_up, first);
    cloud.freeze();
    // The prompt's last token goes up again; no answer comes.
    let stuck = served.submit(rendered(&user("hi"), 8));
    until("it went up", || (served.engine.figures().bytes_up > first).then_some(()));
    drop(stuck);
    served.settled(2);
    let figures = served.engine.figures();
    assert_eq!((figures.done, figures.cancelled), (1, 1));
    assert!(figures.bytes_up > first);
}

#[test]
fn one_that_goes_away_while_it_waits_is_forgotten_at_once() {
    let model = model();
    let (_cloud, served, _stuck) =
        frozen(model.path(), EngineConfig { slots: 1, queue: 1, ..EngineConfig::default() });
    let waiting = served.submit(rendered("a", 1));
    let refused = served.engine.submit(rendered("a", 1)).map(drop);
    assert_eq!(refused, Err(Refused::Busy { waiting: 1 }));
    drop(waiting);
    assert_eq!(served.engine.figures().waiting, 0);
    assert_eq!(served.engine.figures().refused, 1);
}

#[test]
fn a_deadline_ends_what_runs_and_what_waits() {
    let model = model();
    let (_cloud, served, stuck) =
        frozen(model.path(), EngineConfig { slots: 1, ..EngineConfig::default() });
    let deadline = Some(Duration::from_millis(10));
    let waiting = served.ask(GenerationRequest { deadline, ..rendered("a", 1) });
    assert!(waiting.queued && matches!(waiting.failed(), DeviceError::Deadline(_)));
    drop(stuck);
    let running = served.ask(GenerationRequest { deadline, ..rendered("a", 1) });
    assert!(matches!(running.failed(), DeviceError::Deadline(_)));
    served.settled(4);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let model = model();
    let served = local(
        model.path(),
        EngineConfig {
            slots: 1,
            client_patience: Duration::from_millis(20),
            ..EngineConfig::default()
        },
    );
    // The same letter without end: each token is a round and a text, together more updates than are
    // kept for a client.
    let letter = served.engine.prompter().raw("a").unwrap()[0];
    let sampling = SamplingParams::checked(SamplingOptions {
        logit_bias: vec![(letter, 100.0)],
        ..SamplingOptions::default()
    })
    .unwrap();
    let request = GenerationRequest {
        trace: true,
        sampling,
        draft: DraftPolicy::OFF,
        ..rendered(&user("hi"), 200)
    };
    let mut idle = served.submit(request.clone());
    until("it is given up", || (served.engine.figures().cancelled == 1).then_some(()));
    runtime().block_on(async {
        let mut last = None;
        while let Some(update) = idle.next().await {
            last = Some(update);
        }
        assert!(matches!(last, Some(Update::Failed(DeviceError::SlowClient(_)))), "{last:?}");
    });
    served.settled(1);
    served.ask(request).done();
}

#[test]
fn a_stop_text_ends_the_text_before_it() {
    let model = model();
    let served = local(model.path(), EngineConfig::default());
    let whole = served.ask(rendered(&user("The hat told a story."), 40)).text;
    let stop: String = whole.chars().skip(3).take(3).collect();
    let answer = served.ask(GenerationRequest {
        stop: vec![stop.clone()],
        ..rendered(&user("The hat told a story."), 40)
    });
    assert_eq!(answer.done().finish, Finish::StopText(stop.clone()));
    assert_eq!(Some(answer.text.as_str()), whole.split(&stop).next());
    assert!(answer.done().completion_tokens < 40);
}

#[test]
fn an_engine_that_shuts_down_ends_what_is_left_and_its_threads() {
    let model = model();
    let (_cloud, served, stuck) =
        frozen(model.path(), EngineConfig { slots: 1, ..EngineConfig::default() });
    let waiting = served.submit(rendered("a", 1));
    runtime().block_on(served.engine.shutdown(Duration::from_millis(10)));
    assert_eq!(served.engine.submit(rendered("a", 1)).map(drop), Err(Refused::Closing));
    for left in [stuck, waiting] {
        assert!(matches!(runtime().block_on(read(left)).failed(), DeviceError::Closing));
    }
    served.settled(3);
    served.end();
}

#[test]
fn what_was_accepted_is_done_before_the_engine_ends() {
    let model = model();
    let served = local(model.path(), EngineConfig { slots: 1, ..EngineConfig::default() });
    let accepted: Vec<Generation> =
        (0..3).map(|_| served.submit(rendered(&user("hi"), 16))).collect();
    runtime().block_on(async {
        let (_, answers) = tokio::join!(served.engine.shutdown(Duration::from_secs(3600)), async {
            let mut answers = Vec::new();
            for generation in accepted {
                answers.push(read(generation).await);
            }
            answers
        });
        assert!(answers.iter().all(|answer| !answer.done().report.token_ids.is_empty()));
    });
    served.end();
}

#[test]
fn a_prompt_that_does_not_fit_fails_and_costs_the_chat_nothing() {
    let model = model();
    let served = local(model.path(), EngineConfig { slots: 1, ..EngineConfig::default() });
    let first = user("The hat told a story.");
    let text = served.ask(rendered(&first, 6)).text;
    let next = format!("{first}{text}<|im_end|>\n");
    let too_long = format!("{next}{}", user(&"hat ".repeat(300)));
    assert!(matches!(served.ask(rendered(&too_long, 1)).failed(), DeviceError::Turn(_)));
    assert!(served.ask(rendered(&format!("{next}{}", user("More.")), 4)).done().cached_tokens > 10);
}
