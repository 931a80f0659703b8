//! Workload: the same requests, at the same times, on the same devices, for every mode.

mod arrivals;
mod prompts;
mod rng;

use std::time::Duration;

use arrivals::poisson;
pub(crate) use prompts::Prompt;
pub use prompts::{PromptLengths, Prompts};
pub(crate) use rng::Rng;

/// Uses of one seed.
mod stream {
    pub(super) const ARRIVALS: u64 = 1;
    pub(super) const PROMPTS: u64 = 2;
    pub(super) const DEVICES: u64 = 3;
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its number in the run.
    pub(crate) index: usize,
    /// When it arrives, from its block's first request.
    pub(crate) arrival: Duration,
    /// The device that it arrives at.
    pub(crate) device: usize,
    /// What is asked.
    pub(crate) prompt: Prompt,
    /// Most tokens to generate.
    pub(crate) max_new_tokens: usize,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Traffic {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Requests in all.
    pub(crate) requests: usize,
    /// Devices that they are spread over.
    pub(crate) devices: usize,
    /// Blocks that the requests are cut into, as even as can be.
    pub(crate) blocks: usize,
    /// How long their prompts are.
    pub(crate) lengths: PromptLengths,
    /// How long their texts are.
    pub(crate) max_new_tokens: usize,
    /// Decides times, order of lengths, and devices.
    pub(crate) seed: u64,
}

/// The requests, cut into blocks. Every block is run in every mode before the next begins, so that
/// drift of the machine hits all alike.
///
/// A request belongs to one device, which every device is in turn, in a random order. There it
/// waits while an earlier one runs.
pub(crate) fn blocks(traffic: &Traffic, prompts: &Prompts) -> Vec<Vec<Request>> {
    let Traffic { rate, requests, devices, blocks, lengths, max_new_tokens, seed } = *traffic;
    let mut prompts = prompts
        .pick(requests, lengths, &mut Rng::stream(seed, stream::PROMPTS))
        .into_iter()
        .enumerate();
    let mut arrivals = Rng::stream(seed, stream::ARRIVALS);
    let mut order = Rng::stream(seed, stream::DEVICES);
    let mut turns = std::iter::repeat_with(move || {
        let mut all: Vec<usize> = (0..devices).collect();
        order.shuffle(&mut all);
        all
    })
    .flatten();
    let (least, longer) = (requests / blocks.max(1), requests % blocks.max(1));
    (0..blocks)
        .map(|block| {
            let members: Vec<_> =
                prompts.by_ref().take(least + usize::from(block < longer)).collect();
            let times = poisson(rate, members.len(), &mut arrivals);
            let requests = members.into_iter().zip(times).zip(&mut turns);
            requests
                .map(|(((index, prompt), arrival), device)| Request {
                    index,
                    arrival,
                    device,
                    prompt,
                    max_new_tokens,
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tricorn_device::Prompter;

    /// The bundled model's prompts.
    pub(crate) fn demo_prompts() -> Prompts {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo");
        let source = tricorn_model::ModelSource::open(model.as_ref()).unwrap();
        Prompts::stories(&Prompter::load(&source).unwrap(), 2048, 128).unwrap()
    }

    #[test]
    fn every_request_has_its_length_and_devices_share_them() {
        let traffic = Traffic {
            rate: 2.0,
            requests: 26,
            devices: 4,
            blocks: 4,
            lengths: PromptLengths::SPEC_BENCH,
            max_new_tokens: 8,
            seed: 3,
        };
        let prompts = demo_prompts();
        let blocks = blocks(&traffic, &prompts);
        assert_eq!(blocks.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 6, 6]);
        let all: Vec<&Request> = blocks.iter().flatten().collect();
        assert!(all.iter().enumerate().all(|(index, request)| request.index == index));
        let mean = all.iter().map(|request| request.prompt.len()).sum::<usize>() as f64 / 26.0;
        assert!((mean / 351.0 - 1.0).abs() < 0.06, "{mean}");
        for device in 0..4 {
            assert!(
                (6..=7).contains(&all.iter().filter(|request| request.device == device).count())
            );
        }
        for block in &blocks {
            assert!(
                block[0].arrival.is_zero() && block.is_sorted_by_key(|request| request.arrival)
            );
        }
        let again = super::blocks(&traffic, &prompts);
        assert!(
            all.iter().zip(again.iter().flatten()).all(|(a, b)| a.prompt == b.prompt
                && a.arrival == b.arrival
                && a.device == b.device)
        );
    }

    #[test]
    fn a_prompt_ends_with_the_question() {
        let prompts = demo_prompts();
        let mut rng = Rng::stream(1, 1);
        let (long, short) = (prompts.one(500, &mut rng), prompts.one(12, &mut rng));
        assert_eq!(long.len(), 500);
        assert!(short.len() <= 12 && short.last() == long.last());
        assert_eq!(prompts.one(10_000, &mut rng).len(), 2048 - 128);
    }
}
