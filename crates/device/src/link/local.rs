//! The middle in this process: the reference.

use super::{Answer, Connected, Link, LinkError, Traffic, all_finite};
use std::{collections::VecDeque, sync::Arc};
use tricorn_core::{AnswerTiming, AppendHeader, HiddenCodec, SessionLimits};
use tricorn_kernels::KvFormat;
use tricorn_model::{KvCache, KvPool, MiddlePart, SeqRows};

/// A session on a middle in this process, rounded at both cuts as on the wire, computed while
/// [`Link::send`] runs.
#[derive(Debug)]
pub struct LocalLink {
    middle: Arc<MiddlePart>,
    pool: Arc<KvPool>,
    kv: KvCache,
    limits: SessionLimits,
    codec: HiddenCodec,
    answers: VecDeque<Answer>,
}

impl LocalLink {
    /// A link to `middle` for sequences of at most `context` tokens.
    #[must_use]
    pub fn new(middle: Arc<MiddlePart>, context: usize, codec: HiddenCodec) -> Self {
        let pool = KvPool::new(usize::MAX);
        let kv = middle.new_kv(&pool, context);
        let limits = SessionLimits { context, max_append_rows: context, max_queued_rows: context };
        Self { middle, pool, kv, limits, codec, answers: VecDeque::new() }
    }

    /// The same link with a KV cache in another format than [`KvFormat::F16`].
    #[must_use]
    pub fn with_kv(self, format: KvFormat) -> Self {
        let pool = KvPool::with_format(usize::MAX, format);
        let kv = self.middle.new_kv(&pool, self.limits.context);
        Self { pool, kv, ..self }
    }
}

impl Link for LocalLink {
    fn connect(&mut self) -> Result<Connected, LinkError> {
        self.kv = self.middle.new_kv(&self.pool, self.limits.context);
        self.answers.clear();
        Ok(Connected { limits: self.limits, round_trip: None, pace: None })
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), LinkError> {
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
            pace: None,
            bytes: 0,
        });
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, LinkError> {
        self.answers.pop_front().ok_or_else(|| LinkError::Lost("no append is in flight".to_owned()))
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, LinkError> {
        Ok(self.answers.pop_front())
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
