//! Driver before a next stage that the tests play.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::StreamExt;
use tricorn_core::{AppendHeader, AppendKind, HiddenCodec, SessionLimits, Want};
use tricorn_wire::{Downlink, ErrorCode, Failure};

use super::*;
use crate::{
    BatchEntry, CloudConfig,
    clock::Clock,
    load::LoadGauge,
    outbox::{Outbox, OutboxStream},
    queue::RowQueue,
};

const LIMITS: SessionLimits =
    SessionLimits { context: 64, max_append_rows: 32, max_queued_rows: 64 };
const HIDDEN: usize = 2;

/// Adds 1; its memory is the number of rows.
struct AddOne;

impl MiddleModel for AddOne {
    type Kv = usize;
    type Error = String;

    fn hidden(&self) -> usize {
        HIDDEN
    }

    fn new_kv(&self, _: usize) -> usize {
        0
    }

    fn prepare(&self, kv: &mut usize, pos: usize, _: usize) -> Result<(), String> {
        assert!(pos <= *kv, "a gap");
        *kv = pos;
        Ok(())
    }

    fn forward(&self, batch: &mut [BatchEntry<'_, usize>], x: &mut [f32]) -> Result<(), String> {
        batch.iter_mut().for_each(|entry| *entry.kv += entry.rows);
        x.iter_mut().for_each(|value| *value += 1.0);
        Ok(())
    }
}

/// The next of three stages: passes on what it is given.
#[derive(Debug)]
struct Passed(mpsc::UnboundedSender<StageBatch>);

impl Downstream for Passed {
    fn start(&mut self, batch: StageBatch) -> Result<(), StageLost> {
        self.0.send(batch).map_err(|_| StageLost("it hung up".to_owned()))
    }

    fn window(&self) -> usize {
        2
    }

    fn stages(&self) -> usize {
        2
    }
}

struct Scene {
    commands: mpsc::Sender<Command>,
    load: Arc<LoadGauge>,
    batches: mpsc::UnboundedReceiver<StageBatch>,
    running: JoinHandle<Result<(), String>>,
}

impl Scene {
    async fn new() -> Self {
        let (commands, received) = mpsc::channel(64);
        let clock = Clock::start();
        let load = LoadGauge::new(8, clock);
        let config = CloudConfig {
            batch_rows: 16,
            ..CloudConfig::new("127.0.0.1:0".parse().unwrap(), LIMITS.context)
        };
        let (stage, batches) = mpsc::unbounded_channel();
        let executor = Executor::new(AddOne, Some(Box::new(Passed(stage))), clock, None);
        let driver = Driver::new(&config, executor, Vec::new(), received, Arc::clone(&load));
        Self { commands, load, batches, running: tokio::spawn(driver.run()) }
    }

    async fn tell(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    async fn connect(&mut self) {
        let (stage, batches) = mpsc::unbounded_channel();
        self.batches = batches;
        self.tell(Command::Next(Ok(Box::new(Passed(stage))))).await;
    }

    async fn open(&self, id: u64) -> OutboxStream {
        let (outbox, stream) = Outbox::new(64);
        let permit = self.load.enter().unwrap();
        self.tell(Command::Open(NewSession {
            id,
            limits: LIMITS,
            codec: HiddenCodec::F32,
            outbox,
            permit,
        }))
        .await;
        stream
    }

    async fn append(&self, session: u64, pos: usize, values: &[f32], want: Want) {
        let header = AppendHeader {
            epoch: 0,
            pos,
            rows: values.len() / HIDDEN,
            want,
            kind: AppendKind::Prompt,
        };
        let queue = RowQueue::new(64, Arc::clone(&self.load));
        let rows = AppendRows { values: values.to_vec(), _queued: queue.push(header.rows) };
        self.tell(Command::Append { session, header, rows, arrival: Arrival::default() }).await;
    }

    /// What the later stages make of `batch`: 10 more.
    async fn answer(&self, batch: &StageBatch, failed: &[u64]) {
        let (mut rows, mut at) = (Vec::new(), 0);
        for entry in &batch.entries {
            let end = at + entry.rows * HIDDEN;
            if !failed.contains(&entry.session) {
                rows.extend(
                    batch.x[end - entry.answer_rows * HIDDEN..end].iter().map(|value| value + 10.0),
                );
            }
            at = end;
        }
        let failed = failed
            .iter()
            .map(|&session| {
                (session, Failure { code: ErrorCode::Busy, message: "no memory".to_owned() })
            })
            .collect();
        let answer = StageAnswer {
            id: batch.id,
            rows,
            failed,
            compute: Duration::from_millis(1),
            queue: Duration::ZERO,
        };
        self.tell(Command::Returned(answer)).await;
    }

    async fn batch(&mut self) -> StageBatch {
        self.batches.recv().await.unwrap()
    }
}

async fn deep(stream: &mut OutboxStream) -> Vec<f32> {
    match heard(stream).await {
        Downlink::Deep(deep) => deep.decode(HiddenCodec::F32, HIDDEN).unwrap(),
        other => panic!("expected Deep, got {other:?}"),
    }
}

async fn heard(stream: &mut OutboxStream) -> Downlink {
    stream.next().await.unwrap().unwrap().try_into().unwrap()
}

fn code(heard: Downlink) -> ErrorCode {
    match heard {
        Downlink::Failed(failure) => failure.code,
        other => panic!("expected Failed, got {other:?}"),
    }
}

fn entry(session: u64, pos: usize, rows: usize, answer_rows: usize) -> StageEntry {
    StageEntry { session, pos, rows, answer_rows }
}

#[tokio::test]
async fn only_the_rows_that_are_wanted_come_back() {
    let mut scene = Scene::new().await;
    let mut stream = scene.open(1).await;
    scene.append(1, 0, &[1.0, 2.0, 3.0, 4.0], Want::Last).await;
    let batch = scene.batch().await;
    assert_eq!(
        (batch.entries.as_slice(), batch.x.as_slice()),
        ([entry(1, 0, 2, 1)].as_slice(), [2.0, 3.0, 4.0, 5.0].as_slice())
    );
    scene.answer(&batch, &[]).await;
    assert_eq!(deep(&mut stream).await, [14.0, 15.0]);
    scene.append(1, 2, &[5.0, 6.0], Want::None).await;
    let batch = scene.batch().await;
    assert_eq!(batch.entries, [entry(1, 2, 1, 0)]);
    scene.answer(&batch, &[]).await;
    assert!(deep(&mut stream).await.is_empty());
    assert_eq!(scene.load.snapshot(false).throughput.stages, 3);
}

#[tokio::test]
async fn a_window_of_batches_is_out_at_a_time() {
    let mut scene = Scene::new().await;
    let mut streams = [scene.open(1).await, scene.open(2).await, scene.open(3).await];
    let mut out = Vec::new();
    for session in [1, 2] {
        scene.append(session, 0, &[session as f32; 2], Want::All).await;
        out.push(scene.batch().await);
    }
    // Two are out: the third waits until one is back.
    scene.append(3, 0, &[3.0; 2], Want::All).await;
    scene.append(1, 1, &[7.0; 2], Want::All).await;
    scene.answer(&out[0], &[]).await;
    let third = scene.batch().await;
    assert_eq!(third.entries, [entry(3, 0, 1, 1), entry(1, 1, 1, 1)]);
    assert!(scene.batches.try_recv().is_err());
    scene.answer(&out[1], &[]).await;
    scene.answer(&third, &[]).await;
    assert_eq!([deep(&mut streams[0]).await, deep(&mut streams[0]).await], [[12.0; 2], [18.0; 2]]);
    assert_eq!([deep(&mut streams[1]).await, deep(&mut streams[2]).await], [[13.0; 2], [14.0; 2]]);
}

#[tokio::test]
async fn a_long_prompt_fills_the_pipeline_in_pieces() {
    let mut scene = Scene::new().await;
    let mut stream = scene.open(1).await;
    let input: Vec<f32> = (0..20 * HIDDEN).map(|i| i as f32).collect();
    scene.append(1, 0, &input, Want::All).await;
    let (first, second) = (scene.batch().await, scene.batch().await);
    assert_eq!([&first.entries, &second.entries], [&[entry(1, 0, 16, 16)], &[entry(1, 16, 4, 4)]]);
    scene.answer(&first, &[]).await;
    scene.answer(&second, &[]).await;
    assert_eq!(deep(&mut stream).await, input.iter().map(|value| value + 11.0).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_session_that_fails_there_fails_alone_and_is_forgotten() {
    let mut scene = Scene::new().await;
    let (mut unlucky, mut other) = (scene.open(1).await, scene.open(2).await);
    scene.append(1, 0, &[1.0; 2], Want::All).await;
    let blocker = scene.batch().await;
    scene.append(1, 1, &[1.0; 2], Want::All).await;
    scene.append(2, 0, &[2.0; 2], Want::All).await;
    let batch = scene.batch().await;
    assert_eq!(batch.entries, [entry(1, 1, 1, 1), entry(2, 0, 1, 1)]);
    scene.answer(&blocker, &[]).await;
    deep(&mut unlucky).await;
    scene.answer(&batch, &[1]).await;
    assert_eq!(code(heard(&mut unlucky).await), ErrorCode::Busy);
    assert_eq!(deep(&mut other).await, [13.0; 2]);
    let news = scene.batch().await;
    assert_eq!((news.entries.len(), news.closed), (0, vec![1]));
}

#[tokio::test]
async fn ended_sessions_are_told_of_with_the_next_batch_or_when_nothing_is_out() {
    let mut scene = Scene::new().await;
    let mut other = scene.open(2).await;
    let (_first, _second, _silent) =
        (scene.open(1).await, scene.open(3).await, scene.open(4).await);
    for session in [1, 3] {
        scene.append(session, 0, &[1.0; 2], Want::All).await;
        let batch = scene.batch().await;
        scene.answer(&batch, &[]).await;
    }
    scene.append(2, 0, &[2.0; 2], Want::All).await;
    let out = scene.batch().await;
    // No batch of its own, though there is room for one; and nobody there knows of the session that
    // never ran.
    scene.tell(Command::Close { session: 1 }).await;
    scene.tell(Command::Close { session: 4 }).await;
    scene.append(2, 1, &[3.0; 2], Want::All).await;
    let next = scene.batch().await;
    assert_eq!(
        (next.entries.as_slice(), next.closed.as_slice()),
        ([entry(2, 1, 1, 1)].as_slice(), [1].as_slice())
    );
    scene.tell(Command::Close { session: 3 }).await;
    scene.answer(&out, &[]).await;
    deep(&mut other).await;
    assert!(scene.batches.try_recv().is_err());
    scene.answer(&next, &[]).await;
    let news = scene.batch().await;
    assert_eq!((news.entries.len(), news.closed), (0, vec![3]));
}

#[tokio::test]
async fn a_lost_stage_ends_every_session_and_refuses_new_ones_until_it_is_back() {
    let mut scene = Scene::new().await;
    let (mut busy, mut idle) = (scene.open(1).await, scene.open(2).await);
    scene.append(1, 0, &[1.0; 2], Want::All).await;
    let out = scene.batch().await;
    scene.tell(Command::Next(Err(StageLost("killed".to_owned())))).await;
    assert_eq!(
        [code(heard(&mut busy).await), code(heard(&mut idle).await)],
        [ErrorCode::StageLost; 2]
    );
    assert!(scene.load.stage_lost().is_some());
    let mut early = scene.open(3).await;
    assert_eq!(code(heard(&mut early).await), ErrorCode::StageLost);

    scene.connect().await;
    let mut late = scene.open(4).await;
    // An answer over the connection before means nothing any more.
    scene.answer(&out, &[]).await;
    scene.append(4, 0, &[5.0; 2], Want::All).await;
    let batch = scene.batch().await;
    assert!(batch.id > out.id && batch.closed.is_empty());
    scene.answer(&batch, &[]).await;
    assert_eq!(deep(&mut late).await, [16.0; 2]);
}

#[tokio::test]
async fn a_stage_that_hangs_up_is_lost() {
    let mut scene = Scene::new().await;
    let mut stream = scene.open(1).await;
    scene.batches.close();
    scene.append(1, 0, &[1.0; 2], Want::All).await;
    assert_eq!(code(heard(&mut stream).await), ErrorCode::StageLost);
}

#[tokio::test]
async fn too_few_rows_are_a_lost_stage() {
    let mut scene = Scene::new().await;
    let mut stream = scene.open(1).await;
    scene.append(1, 0, &[1.0; 2], Want::All).await;
    let id = scene.batch().await.id;
    let short = StageAnswer {
        id,
        rows: vec![1.0],
        failed: Vec::new(),
        compute: Duration::ZERO,
        queue: Duration::ZERO,
    };
    scene.tell(Command::Returned(short)).await;
    assert_eq!(code(heard(&mut stream).await), ErrorCode::StageLost);
}

#[tokio::test]
async fn what_is_out_is_answered_before_the_end() {
    let mut scene = Scene::new().await;
    let mut stream = scene.open(1).await;
    scene.append(1, 0, &[1.0; 2], Want::All).await;
    let batch = scene.batch().await;
    scene.tell(Command::Drain).await;
    assert_eq!(heard(&mut stream).await, Downlink::Drain);
    scene.answer(&batch, &[]).await;
    assert_eq!(deep(&mut stream).await, [12.0; 2]);
    scene.running.await.unwrap().unwrap();
    assert!(stream.next().await.is_none());
}
