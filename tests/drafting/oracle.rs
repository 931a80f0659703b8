//! Drafts as they should be: everything computed from the first token on, for every round.

use std::sync::Arc;

use tricorn_core::argmax;
use tricorn_device::Turn;
use tricorn_model::{Drafter, DrafterKind, InputPart, KvPool, MiddlePart, OutputPart, SeqRows};

use crate::support::Device;

pub(crate) struct Oracle {
    input: InputPart,
    middle: Arc<MiddlePart>,
    output: OutputPart,
    drafter: Drafter,
    device: DeviceFacts,
}

struct DeviceFacts {
    hidden: usize,
    codec: tricorn_core::HiddenCodec,
    stop_tokens: Vec<u32>,
    pool: Arc<KvPool>,
}

impl Oracle {
    pub(crate) fn load(device: &Device, kind: DrafterKind) -> Self {
        let (source, parts) = (&device.source, &device.parts);
        Self {
            input: InputPart::load(source, parts.split).unwrap(),
            middle: Arc::clone(&device.middle),
            output: OutputPart::load(source, parts.split).unwrap(),
            drafter: Drafter::load(source, parts.split, Some(kind)).unwrap().unwrap(),
            device: DeviceFacts {
                hidden: parts.hidden,
                codec: parts.codec,
                stop_tokens: parts.stop_tokens.clone(),
                pool: KvPool::new(usize::MAX),
            },
        }
    }

    /// Rounds, drafts and accepted drafts of a greedy turn that writes `text`.
    pub(crate) fn rounds(&self, turn: &Turn, text: &[u32]) -> (usize, usize, usize) {
        let (mut rounds, mut drafted, mut accepted) = (0, 0, 0);
        // The prompt's answer gives the first token.
        let mut done = 1;
        while done < text.len() {
            let confirmed = [&turn.tokens, &text[..done]].concat();
            let most = turn.draft.max_len.min(turn.max_new_tokens - done - 1);
            let drafts = self.drafts(&confirmed, turn.tokens.len(), most);
            let right = drafts
                .iter()
                .zip(&text[done..])
                .take_while(|(draft, token)| draft == token)
                .count();
            rounds += 1;
            drafted += drafts.len();
            accepted += right;
            done += right + 1;
        }
        (rounds, drafted, accepted)
    }

    fn drafts(&self, confirmed: &[u32], prompt: usize, most: usize) -> Vec<u32> {
        let hidden = self.device.hidden;
        // Rows in the prompt have no deep row before them; the first generated token's row has the
        // one of the prompt's last.
        let known = self.last_layer(&confirmed[..confirmed.len() - 1]);
        let mut previous = vec![0.0; prompt * hidden];
        previous.extend_from_slice(&known[(prompt - 1) * hidden..]);
        let mut tokens = confirmed.to_vec();
        let mut drafts = Vec::new();
        while drafts.len() < most {
            let shallow = self.shallow(&tokens);
            let mut kv = self.drafter.new_kv(&self.device.pool, tokens.len());
            let guesses = self.drafter.forward_at(&mut kv, 0, &shallow, &previous).unwrap();
            let guess = &guesses[(tokens.len() - 1) * hidden..];
            let draft = argmax(&self.output.logits(guess).unwrap());
            previous.extend_from_slice(guess);
            tokens.push(draft);
            drafts.push(draft);
            if self.device.stop_tokens.contains(&draft) {
                break;
            }
        }
        drafts
    }

    fn shallow(&self, tokens: &[u32]) -> Vec<f32> {
        let mut x = self
            .input
            .forward_at(&mut self.input.new_kv(&self.device.pool, tokens.len()), 0, tokens)
            .unwrap();
        self.device.codec.round(&mut x);
        x
    }

    /// The last layer's rows, as a device has them.
    fn last_layer(&self, tokens: &[u32]) -> Vec<f32> {
        let mut x = self.shallow(tokens);
        let mut kv = self.middle.new_kv(&self.device.pool, tokens.len());
        self.middle
            .forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows: tokens.len() }], &mut x)
            .unwrap();
        self.device.codec.round(&mut x);
        self.output
            .forward_at(&mut self.output.new_kv(&self.device.pool, tokens.len()), 0, &mut x)
            .unwrap();
        x
    }
}
