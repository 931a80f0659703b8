//! A cloud out of reach: the device answers alone where it may, and says so.

use super::*;
use tricorn_core::{SamplingError, SamplingOptions};
use tricorn_device::{TransportError, engine::Offline};

fn config(offline: Offline) -> EngineConfig {
    EngineConfig { slots: 1, offline, rest: Duration::from_secs(3600), ..EngineConfig::default() }
}

/// Where nobody listens.
fn nowhere() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

#[test]
fn without_a_cloud_a_request_fails_and_says_when_to_try_again() {
    let model = model();
    let served = remote(model.path(), &nowhere(), config(Offline::Refuse));
    let first = served.ask(rendered(&user("hi"), 4));
    assert!(
        matches!(
            first.failed(),
            DeviceError::Transport(TransportError::Unreachable { attempts: 2, .. })
        ),
        "{:?}",
        first.failed()
    );
    assert!(first.failed().retry_after().is_some());
    // What the first found out the second knows.
    let second = served.ask(rendered(&user("hi"), 4));
    assert!(
        matches!(second.failed(), DeviceError::Transport(TransportError::Resting { .. })),
        "{:?}",
        second.failed()
    );
    assert!(second.failed().retry_after() > Some(Duration::from_secs(3000)));
    served.settled(2);
}

#[test]
fn the_drafter_answers_alone_and_is_marked() {
    let model = model();
    let served = remote(model.path(), &nowhere(), config(Offline::Draft));
    let sampled = GenerationRequest {
        sampling: SamplingParams::new(0.9, 5).unwrap(),
        ..rendered(&user("The hat told a story."), 12)
    };
    let answers: Vec<Answer> = (0..2).map(|_| served.ask(sampled.clone())).collect();
    for answer in &answers {
        assert!(answer.offline && answer.done().offline);
        assert!(!answer.tokens.is_empty() && answer.tokens.iter().all(|token| token.drafted));
        assert_eq!(answer.done().report.bytes_up, 0);
    }
    assert_eq!(answers[0].ids(), answers[1].ids());
    assert_eq!(served.engine.figures().offline, 2);
    assert_eq!(served.engine.figures().kv_bytes, 0, "nothing is kept of it");
}

#[test]
fn the_drafter_refuses_what_the_model_would() {
    let model = model();
    let served = remote(model.path(), &nowhere(), config(Offline::Draft));
    let options =
        SamplingOptions { logit_bias: vec![(1_000_000, 1.0)], ..SamplingOptions::default() };
    let answer = served.ask(GenerationRequest {
        sampling: SamplingParams::checked(options).unwrap(),
        ..rendered(&user("hi"), 4)
    });
    assert!(
        matches!(
            answer.failed(),
            DeviceError::Sampling(SamplingError::UnknownToken { token: 1_000_000, .. })
        ),
        "{:?}",
        answer.failed()
    );
}

#[test]
fn a_text_that_the_cloud_leaves_is_ended_by_the_drafter() {
    let model = model();
    let mut cloud = Cloud::start(model.path(), CUT);
    let served = remote(model.path(), &cloud.url(), config(Offline::Draft));
    let asked = GenerationRequest {
        draft: DraftPolicy::OFF,
        trace: true,
        ..rendered(&user("The hat told a story."), 150)
    };
    let whole = served.ask(asked.clone());
    assert!(!whole.offline);
    let mut generation = served.submit(asked);
    let answer = runtime().block_on(async {
        let mut text = String::new();
        // The cloud is lost with some of the text there.
        while text.is_empty() {
            if let Some(Update::Delta { text: more, .. }) = generation.next().await {
                text.push_str(&more);
            }
        }
        cloud.kill();
        let rest = read(generation).await;
        Answer { text: text + &rest.text, ..rest }
    });
    assert!(answer.done().offline && answer.offline);
    let common = whole
        .text
        .bytes()
        .zip(answer.text.bytes())
        .take_while(|(whole, part)| whole == part)
        .count();
    assert!(common > 0, "it goes on from what was there");
    let Finished { report, completion_tokens, .. } = answer.done();
    assert_eq!(*completion_tokens, report.token_ids.len());
    // Rows went up before: nobody is told that nothing left the device.
    assert!(report.bytes_up > 0 && report.bytes_down > 0 && !report.wire.is_empty(), "{report:?}");
    assert_eq!(answer.last_round.unwrap().bytes_up, report.bytes_up);
    let figures = served.engine.figures();
    assert_eq!(figures.bytes_up, whole.done().report.bytes_up + report.bytes_up);
    assert_eq!(figures.bytes_down, whole.done().report.bytes_down + report.bytes_down);
    served.settled(2);
}

#[test]
fn the_next_request_goes_to_the_cloud_again() {
    let model = model();
    let url = nowhere();
    let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
    let served =
        remote(model.path(), &url, EngineConfig { rest: Duration::ZERO, ..config(Offline::Draft) });
    assert!(served.ask(rendered(&user("hi"), 4)).offline);
    let _cloud = Cloud::start_at(model.path(), CUT, port);
    assert!(!served.ask(rendered(&user("hi"), 4)).offline);
}
