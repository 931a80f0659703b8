//! Drafting - one by one on the link, beside a verification, by what was measured: the text is the
//! model's in every way.

mod oracle;

use std::{path::Path, time::Duration};

use crate::support::{
    Cloud, Device, FAMILIES, ask, calm_model, demo, fair_drafter, fixture, greedy, on_token,
    poor_drafter, run, stories_prompts, write_drafter_of,
};
use oracle::Oracle;
use tricorn_core::{
    BranchAt, ChunkPolicy, Cost, DraftPolicy, DraftStop, HiddenCodec, SamplingParams, Streaming,
    TurnStats,
};
use tricorn_device::{
    Conversation, DeviceThrottle, Options, SharedMonitor, TraceEvent, Transport, TransportError,
    Turn, TurnReport,
    transport::{Answer, TransportWrapper},
};
use tricorn_model::DrafterKind;

const PROMPT: &str = "The hat told the cloud a story: crabs in a café drew the three corners of \
                      the wall. Nobody listened.";

/// Every way to draft that differs in more than a number.
fn policies() -> Vec<DraftPolicy> {
    let mut policies = Vec::new();
    for stream in [Streaming::Never, Streaming::Auto, Streaming::Always] {
        for (parallel, branch) in
            [(0, BranchAt::Anywhere), (1, BranchAt::Bonus), (4, BranchAt::Anywhere)]
        {
            policies.push(DraftPolicy { stream, parallel, branch, ..DraftPolicy::up_to(5, 0.0) });
        }
    }
    let expected = DraftStop::Expected { until_known: 0.3 };
    policies.push(DraftPolicy {
        stop: expected,
        stream: Streaming::Auto,
        parallel: 8,
        ..DraftPolicy::up_to(8, 0.0)
    });
    policies
}

/// Checks a turn's text against the reference, and its figures for sense.
#[track_caller]
fn check(turn: &Turn, reference: &TurnReport, report: &TurnReport) {
    let (what, stats) = (format!("{:?} {:?}", turn.draft, turn.sampling), &report.stats);
    assert_eq!(report.token_ids, reference.token_ids, "{what}");
    assert_eq!(report.finish, reference.finish, "{what}");
    assert_eq!(
        (stats.generated, stats.verified + 1),
        (report.token_ids.len(), report.token_ids.len()),
        "{what}"
    );
    assert!(stats.accepted <= stats.drafted && stats.rounds <= stats.verified, "{what} {stats:?}");
    assert!(
        (0..=1).contains(&(stats.accepted + stats.rounds - stats.verified)),
        "{what} {stats:?}"
    );
    assert!(
        stats.branch_hits <= stats.branch_rounds && stats.branch_rounds <= stats.branch_tokens,
        "{what} {stats:?}"
    );
    assert_eq!(report.gaps.len() + 1, report.token_ids.len(), "{what}");
}

fn add(sum: &mut TurnStats, stats: &TurnStats) {
    sum.branch_rounds += stats.branch_rounds;
    sum.branch_hits += stats.branch_hits;
    sum.drafted += stats.drafted;
    sum.accepted += stats.accepted;
}

/// A device so slow that a round takes longer than several draft steps: there is something to do
/// while the cloud computes.
fn emulated() -> Options {
    let head = Cost { base: Duration::from_millis(3), per_row: Duration::ZERO };
    Options {
        throttle: Some(DeviceThrottle { head, ..DeviceThrottle::default() }),
        ..Options::default()
    }
}

/// Runs every policy on a model with a drafter, here and through a cloud.
fn all_policies(model: &Path, cut: &str) -> TurnStats {
    let cloud = Cloud::start(model, cut);
    let mut sum = TurnStats::default();
    let device = Device::load(model, cut, HiddenCodec::F16);
    for sampling in [SamplingParams::greedy(), SamplingParams::new(0.8, 3).unwrap()] {
        let turn = Turn { sampling, ..greedy(device.prompt(PROMPT), 40) };
        let reference = device.reference(&turn);
        for draft in policies() {
            let turn = Turn { draft, ..turn.clone() };
            check(&turn, &reference, &ask(&mut device.local(), turn.clone()));
            let report = ask(&mut device.remote(&cloud.url()), turn.clone());
            check(&turn, &reference, &report);
            add(&mut sum, &report.stats);
        }
    }
    sum
}

fn family(name: &str) {
    for cut in ["1:0", "2:1"] {
        let fair = all_policies(fair_drafter(&fixture(name), cut).path(), cut);
        let poor = all_policies(poor_drafter(&fixture(name), cut).path(), cut);
        assert!(
            fair.accepted * 2 > fair.drafted && poor.accepted * 2 < poor.drafted,
            "{name} {cut}: {fair:?} {poor:?}"
        );
    }
}

#[test]
fn llama_however_it_drafts() {
    family("llama");
}

#[test]
fn qwen3_however_it_drafts() {
    family("qwen3");
}

#[test]
fn every_family_streams_and_branches() {
    for name in FAMILIES {
        let model = fair_drafter(&fixture(name), "2:1");
        all_policies(model.path(), "2:1");
    }
}

#[test]
fn drafts_are_made_from_the_rows_that_the_cloud_answered() {
    for cut in ["1:0", "2:1"] {
        for kind in DrafterKind::ALL {
            let model = calm_model(&fixture("llama"), cut);
            write_drafter_of(kind, model.path(), cut, 0.3);
            let device = Device::load(model.path(), cut, HiddenCodec::F16);
            let oracle = Oracle::load(&device, kind);
            let turn = greedy(device.prompt(PROMPT), 40);
            let reference = device.reference(&turn);
            for max_len in [1, 3, 6] {
                let turn = Turn { draft: DraftPolicy::up_to(max_len, 0.0), ..turn.clone() };
                let stats = ask(&mut device.local(), turn.clone()).stats;
                let rounds = oracle.rounds(&turn, &reference.token_ids);
                assert_eq!(
                    (stats.rounds, stats.drafted, stats.accepted),
                    rounds,
                    "{kind} {cut} {max_len}"
                );
                assert!(
                    stats.accepted > 0 && stats.accepted < stats.drafted,
                    "{kind} {cut} {stats:?}"
                );
                // Sent one by one, the same drafts are made, and each row goes through the first
                // layers once.
                let streamed = Turn {
                    draft: DraftPolicy { stream: Streaming::Always, ..turn.draft },
                    ..turn.clone()
                };
                let mut conversation =
                    Conversation::open(&device.parts, Patient(device.local_transport())).unwrap();
                let report = ask(&mut conversation, streamed);
                let stats = report.stats;
                assert_eq!(
                    (stats.rounds, stats.drafted, stats.accepted),
                    rounds,
                    "{kind} {cut} {max_len}, streamed"
                );
                let computed = report.trace.iter().map(|event| {
                    if let TraceEvent::Shallow { rows, .. } = *event { rows } else { 0 }
                });
                assert_eq!(computed.sum::<usize>(), stats.uploaded_rows, "{kind} {cut} {max_len}");
            }
            // The same drafter must do for every way to draft.
            for draft in policies() {
                let turn = Turn { draft, ..turn.clone() };
                let mut conversation =
                    Conversation::open(&device.parts, Patient(device.local_transport())).unwrap();
                check(&turn, &reference, &ask(&mut conversation, turn.clone()));
            }
        }
    }
}

/// A link that holds back each answer until nothing else can be done.
struct Patient<L>(L);

impl<L: Transport> TransportWrapper for Patient<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut L {
        &mut self.0
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        Ok(None)
    }
}

/// A link that is lost when it is looked at for the `n`-th time without waiting; until then it
/// holds back as [`Patient`] does.
struct LostAtLook<L> {
    transport: L,
    looks_left: usize,
}

impl<L: Transport> TransportWrapper for LostAtLook<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        &self.transport
    }

    fn inner_mut(&mut self) -> &mut L {
        &mut self.transport
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        self.looks_left = self.looks_left.wrapping_sub(1);
        if self.looks_left == 0 {
            Err(TransportError::Lost("on purpose".to_owned()))
        } else {
            Ok(None)
        }
    }
}

#[test]
fn a_link_that_is_lost_between_any_two_steps_of_drafting_changes_nothing() {
    for kind in DrafterKind::ALL {
        let model = calm_model(&fixture("llama"), "2:1");
        write_drafter_of(kind, model.path(), "2:1", 0.3);
        let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
        let turn = greedy(device.prompt(PROMPT), 12);
        let reference = device.reference(&turn);
        for stream in [Streaming::Never, Streaming::Always] {
            let turn = Turn {
                draft: DraftPolicy { stream, parallel: 4, ..DraftPolicy::up_to(3, 0.0) },
                ..turn.clone()
            };
            let mut lost = 0;
            for looks_left in 1..24 {
                let transport = LostAtLook { transport: device.local_transport(), looks_left };
                let report =
                    ask(&mut Conversation::open(&device.parts, transport).unwrap(), turn.clone());
                check(&turn, &reference, &report);
                lost += report.stats.lost_connections;
            }
            assert!(lost > 12, "{kind} {stream:?}: {lost}");
        }
    }
}

#[test]
fn continuations_are_taken_up_where_the_target_goes_that_way() {
    let model = demo();
    let device = Device::load(&model, "2:0", HiddenCodec::F16);
    let middle = || Patient(device.local_transport());
    for (at, stream) in [
        (BranchAt::Anywhere, Streaming::Never),
        (BranchAt::Bonus, Streaming::Never),
        (BranchAt::Anywhere, Streaming::Always),
    ] {
        let mut sum = TurnStats::default();
        for prompt in stories_prompts().iter().take(4) {
            let plain = greedy(device.prompt(prompt), 64);
            let reference = device.reference(&plain);
            let draft =
                DraftPolicy { parallel: 4, branch: at, stream, ..DraftPolicy::up_to(4, 0.3) };
            let turn = Turn { draft, ..plain };
            let mut conversation = Conversation::open(&device.parts, middle()).unwrap();
            let report = ask(&mut conversation, turn.clone());
            check(&turn, &reference, &report);
            add(&mut sum, &report.stats);
        }
        assert!(
            sum.branch_hits * 5 > sum.branch_rounds && sum.branch_hits < sum.branch_rounds,
            "{at:?} {stream:?} {sum:?}"
        );
    }
}

#[test]
fn a_conversation_goes_on_after_any_round() {
    let model = fair_drafter(&fixture("llama"), "2:1");
    let cloud = Cloud::start(model.path(), "2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let monitor = SharedMonitor::new();
    for draft in policies() {
        let options = Options { monitor: Some(monitor.clone()), ..emulated() };
        let mut conversation = device.remote_opened(&cloud.url(), options);
        let mut tokens = device.prompt("Hat!");
        for _ in 0..3 {
            tokens.extend(device.prompt("And then?"));
            let turn = Turn { draft, chunk: ChunkPolicy::Dynamic, ..greedy(tokens.clone(), 12) };
            let reference = device.reference(&turn);
            let report = ask(&mut conversation, turn.clone());
            check(&turn, &reference, &report);
            tokens.extend(report.token_ids);
        }
    }
    assert!(monitor.lock().conditions(1).tokens_per_second.is_some());
}

#[test]
fn a_cloud_that_goes_in_mid_round_is_replaced() {
    let model = fair_drafter(&fixture("llama"), "2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let mut cloud = Cloud::start(model.path(), "2:1");
    for draft in policies() {
        let turn = Turn { draft, chunk: ChunkPolicy::Dynamic, ..greedy(device.prompt(PROMPT), 30) };
        let reference = device.reference(&turn);
        for token in [1, 12] {
            let mut conversation = device.remote(&cloud.url());
            let report = conversation
                .turn(turn.clone(), &mut on_token(token, || cloud.replace(model.path(), "2:1")))
                .unwrap();
            assert_eq!(report.token_ids, reference.token_ids, "{draft:?}, at token {token}");
            assert_eq!(report.stats.lost_connections, 1);
        }
    }
}

#[test]
fn a_turn_tells_what_it_did_when() {
    let model = demo();
    let cloud = Cloud::start(&model, "2:0");
    let device = Device::load(&model, "2:0", HiddenCodec::F16);
    let throttle = DeviceThrottle {
        draft: Cost { base: Duration::from_millis(2), per_row: Duration::ZERO },
        ..DeviceThrottle::default()
    };
    let mut conversation = device
        .remote_opened(&cloud.url(), Options { throttle: Some(throttle), ..Options::default() });
    let draft = DraftPolicy { stream: Streaming::Always, ..DraftPolicy::up_to(3, 0.0) };
    let report =
        ask(&mut conversation, Turn { draft, ..greedy(device.prompt("A lost letter."), 20) });
    let (mut drafts, mut judged, mut sent, mut bytes) = (0, 0, 0, 0);
    for event in &report.trace {
        match *event {
            TraceEvent::Drafted { start, end, branches } => {
                drafts += 1;
                assert!(end - start >= Duration::from_millis(2) && branches == 0);
            }
            TraceEvent::Judged { start, end, tokens } => {
                judged += tokens;
                assert!(start <= end);
            }
            TraceEvent::Sent { rows, bytes: message, .. } => {
                (sent, bytes) = (sent + rows, bytes + message)
            }
            TraceEvent::Shallow { start, end, .. } => assert!(start <= end),
            TraceEvent::Answered { .. } => {}
        }
    }
    assert_eq!(
        (drafts, judged, sent, bytes),
        (report.stats.drafted, 20, report.stats.uploaded_rows, report.bytes_up)
    );
}

#[test]
fn the_binary_takes_the_flags() {
    let model = fair_drafter(&fixture("llama"), "2:1");
    let cloud = Cloud::start(model.path(), "2:1");
    let url = cloud.url();
    let tokens = |flags: &[&str]| {
        let common = [
            "run",
            "--json",
            "--model",
            model.path().to_str().unwrap(),
            "--split",
            "2:1",
            "--cloud",
            &url,
            "--max-tokens",
            "24",
        ];
        run([&common, flags, &[PROMPT]].concat()).json()["token_ids"].clone()
    };
    let expected = tokens(&["--no-draft", "--chunk", "whole"]);
    for flags in [
        &["--stream", "always", "--parallel", "8"][..],
        &["--stream", "never", "--parallel", "0", "--threshold", "0"],
        &["--threshold", "auto", "--chunk", "dynamic"],
    ] {
        assert_eq!(tokens(flags), expected, "{flags:?}");
    }
    for (flag, value, mend) in [
        ("--parallel", "9", "0 to 8"),
        ("--stream", "soon", "auto, always or never"),
        ("--threshold", "2", "from 0 to 1, or `auto`"),
    ] {
        let finished = run(["run", "--model", "demo", "--local", flag, value, "hello"]);
        assert!(finished.stderr.contains(mend), "{}", finished.stderr);
    }
}
