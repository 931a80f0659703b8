//! Chunks of a prompt's upload: the text is the same for any, and their sizes follow what is
//! measured.

use crate::support::{Cloud, Device, FAMILIES, ask, fixture, greedy};
use tricorn_core::{AppendKind, ChunkPolicy, HiddenCodec};
use tricorn_device::{Options, SharedMonitor, TraceEvent, Turn, TurnReport};

fn chunks(report: &TurnReport) -> Vec<usize> {
    let sent = report.trace.iter().filter_map(|event| match *event {
        TraceEvent::Sent { rows, kind: AppendKind::Prompt, .. } => Some(rows),
        _ => None,
    });
    sent.collect()
}

/// A prompt as long as the context allows, but for `room` tokens.
fn long_prompt(device: &Device, room: usize) -> Vec<u32> {
    let text = device.prompt(
        "The hat told the cloud a story: crabs in a café drew the three corners of the wall.",
    );
    text.into_iter().cycle().take(device.parts.context - room).collect()
}

#[test]
fn dynamic_chunks_give_the_same_text() {
    for name in FAMILIES {
        for cut in ["1:0", "2:1"] {
            let model = fixture(name);
            let cloud = Cloud::start(&model, cut);
            let device = Device::load(&model, cut, HiddenCodec::F16);
            let turn = greedy(long_prompt(&device, 20), 12);
            let reference = device.reference(&turn);
            let turn = Turn { chunk: ChunkPolicy::Dynamic, ..turn };
            let monitor = SharedMonitor::new();
            for _ in 0..3 {
                let options = Options { monitor: Some(monitor.clone()), ..Options::default() };
                let report = ask(&mut device.remote_opened(&cloud.url(), options), turn.clone());
                assert_eq!(report.token_ids, reference.token_ids, "{name} {cut}");
                assert_eq!(chunks(&report).iter().sum::<usize>(), turn.tokens.len());
            }
            assert_eq!(
                ask(&mut device.local(), turn).token_ids,
                reference.token_ids,
                "{name} {cut}"
            );
        }
    }
}

#[test]
fn where_nothing_is_known_chunks_are_modest() {
    let model = fixture("llama");
    let device = Device::load(&model, "1:0", HiddenCodec::F16);
    let turn = Turn { chunk: ChunkPolicy::Dynamic, ..greedy(long_prompt(&device, 20), 2) };
    let chunks = chunks(&ask(&mut device.local(), turn));
    assert!(chunks.len() > 1 && chunks.iter().all(|&rows| rows <= 64), "{chunks:?}");
}
