//! Local transport: the middle in this process, which is the reference.

use super::{
    answer::{Answer, Connected, Traffic},
    contract::Transport,
    error::TransportError,
};
use crate::parts::all_finite;
use std::{collections::VecDeque, sync::Arc};
use tricorn_core::{AnswerTiming, AppendHeader, HiddenCodec, SessionLimits};
use tricorn_kernels::KvFormat;
use tricorn_model::{KvCache, KvPool, MiddlePart, SeqRows};

/// A session on a middle in this process, rounded at both cuts as on the wire, computed while
/// [`Transport::send`] runs.
#[derive(Debug)]
pub struct LocalTransport {
    middle: Arc<MiddlePart>,
    pool: Arc<KvPool>,
    kv: KvCache,
    limits: SessionLimits,
    codec: HiddenCodec,
    answers: VecDeque<Answer>,
}

impl LocalTransport {
    /// A session on `middle` for sequences of at most `context` tokens.
    #[must_use]
    pub fn new(middle: Arc<MiddlePart>, context: usize, codec: HiddenCodec) -> Self {
        let pool = KvPool::new(usize::MAX);
        let kv = middle.new_kv(&pool, context);
        let limits = SessionLimits { context, max_append_rows: context, max_queued_rows: context };
        Self { middle, pool, kv, limits, codec, answers: VecDeque::new() }
    }

    /// The same with a KV cache in another format than [`KvFormat::F16`].
    #[must_use]
    pub fn with_kv(self, format: KvFormat) -> Self {
        let pool = KvPool::with_format(usize::MAX, format);
        let kv = self.middle.new_kv(&pool, self.limits.context);
        Self { pool, kv, ..self }
    }
}

impl Transport for LocalTransport {
    fn connect(&mut self) -> Result<Connected, TransportError> {
        self.kv = self.middle.new_kv(&self.pool, self.limits.context);
        self.answers.clear();
        Ok(Connected { limits: self.limits, round_trip: None, throughput: None })
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError> {
        let mut x = rows.to_vec();
        self.middle.forward(
            &mut [SeqRows { kv: &mut self.kv, pos: header.pos, rows: header.rows }],
            &mut x,
        )?;
        let mut rows = x.split_off((header.rows - header.answer_rows()) * self.middle.hidden());
        self.codec.round(&mut rows);
        all_finite(&rows, "middle layers")?;
        self.answers.push_back(Answer {
            header: header.answer(),
            rows,
            timing: AnswerTiming::default(),
            throughput: None,
            bytes: 0,
        });
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, TransportError> {
        self.answers
            .pop_front()
            .ok_or_else(|| TransportError::Lost("no append is in flight".to_owned()))
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        Ok(self.answers.pop_front())
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
