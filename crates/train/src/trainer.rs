//! The training loop.

mod checkpoint;
mod outcome;
mod record;
mod throughput;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use rayon::prelude::*;
use serde_json::Value;
use tricorn_core::DraftPolicy;
use tricorn_grad::AdamW;
use tricorn_model::{DrafterInfo, DrafterKind, ModelError, ModelSource};

use crate::{
    accept::{
        self, HeldOutReport, Replay,
        held_out::{self, Written},
    },
    config::DistillConfig,
    error::TrainError,
    event::{Event, StepReport},
    history::HistoryPoint,
    lessons::{
        data::Dataset,
        feed::{Feed, FeedParts},
        teacher::{Lesson, Teacher},
        text::Renderer,
    },
    student::{
        export,
        loss::{Loss, Losses},
        optimizer::{optimizer, schedule},
        pass::Pass,
        tensors::Tensors,
    },
};
use checkpoint::{CHECKPOINT_FILE, Progress, RunIdentity};
pub use outcome::{End, Outcome};
use throughput::Throughput;

/// Trains a drafter for a model and writes it to `config.out`.
///
/// Returns soon after `stop` is set, with a checkpoint written. The same settings and data give the
/// same weights, to the bit, on the same machine, whether or not the run was interrupted, as long
/// as the budget is not in minutes.
///
/// # Errors
/// When a setting, a file or the checkpoint is wrong, or training diverges. The last checkpoint and
/// drafter are then intact.
pub fn distill(
    source: &Arc<ModelSource>,
    config: &DistillConfig,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Event<'_>),
) -> Result<Outcome, TrainError> {
    config.validate(source.config())?;
    let dataset = Dataset::read(&config.data)?;
    fs::create_dir_all(&config.out).map_err(TrainError::write(&config.out))?;
    let renderer = Renderer::new(source)?;
    let teacher = Teacher::load(source, config.split)?;
    let mut run = Run::new(source, config, &teacher, &dataset)?;
    if config.resume {
        run.resume()?;
        observe(&Event::Resumed { step: run.progress.step, tokens: run.progress.tokens });
    } else if run.checkpoint_path().exists() {
        return Err(TrainError::WouldOverwrite(run.checkpoint_path()));
    }
    run.texts = held_out::write(
        &teacher,
        &renderer,
        &config.valid,
        &config.held_out,
        source.config().context,
        stop,
    )?;
    observe(&Event::Loaded { examples: dataset.examples.len(), held_out: run.texts.len() });

    let parts = FeedParts { teacher: &teacher, renderer: &renderer, dataset: &dataset, config };
    thread::scope(|scope| {
        let feed = Feed::start(scope, parts, run.progress.position);
        run.train(feed, stop, observe)
    })
}

struct Run<'a> {
    source: &'a Arc<ModelSource>,
    config: &'a DistillConfig,
    teacher: &'a Teacher,
    texts: Vec<Written>,
    weights: Tensors,
    optimizer: AdamW,
    loss: Loss,
    identity: RunIdentity,
    progress: Progress,
    /// Seconds of training before `started`.
    seconds_before: f64,
    started: Instant,
}

impl<'a> Run<'a> {
    fn new(
        source: &'a Arc<ModelSource>,
        config: &'a DistillConfig,
        teacher: &'a Teacher,
        dataset: &Dataset,
    ) -> Result<Self, TrainError> {
        let weights = match &config.from {
            Some(dir) => export::read_weights(
                &export::paths(dir, config.kind).0,
                config.kind,
                source.config(),
            )?,
            None => Tensors::initial(config.kind, source, config.split, config.seed)?,
        };
        let optimizer = optimizer(config.kind, source.config(), config.clip)?;
        let loss = Loss::new(source, config.ce_weight)?;
        let identity = RunIdentity {
            kind: config.kind,
            unroll: if config.kind == DrafterKind::Fused { config.unroll } else { 1 },
            fingerprint: source.fingerprint()?.to_hex(),
            split: config.split.to_string(),
            data_bytes: dataset.bytes,
            examples: dataset.examples.len(),
            seed: config.seed,
            batch_tokens: config.batch_tokens,
            context: config.context,
            earlier_tokens: config.earlier_tokens,
            own_text: config.own_text,
            own_text_tokens: config.own_text_tokens,
        };
        let (texts, progress, started) = (Vec::new(), Progress::default(), Instant::now());
        Ok(Self {
            source,
            config,
            teacher,
            texts,
            weights,
            optimizer,
            loss,
            identity,
            progress,
            seconds_before: 0.0,
            started,
        })
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.config.out.join(CHECKPOINT_FILE)
    }

    fn resume(&mut self) -> Result<(), TrainError> {
        let read = checkpoint::read(&self.checkpoint_path(), &self.identity, self.source.config())?;
        self.optimizer.restore(
            read.progress.step,
            read.first.into_all(),
            read.second.into_all(),
        )?;
        (self.progress, self.weights) = (read.progress, read.weights);
        self.seconds_before = self.progress.seconds;
        Ok(())
    }

    fn save(&mut self, observe: &mut dyn FnMut(&Event<'_>)) -> Result<(), TrainError> {
        let path = self.checkpoint_path();
        self.progress.seconds = self.seconds();
        checkpoint::write(
            &path,
            &self.identity,
            &self.progress,
            self.source.config(),
            &self.weights,
            &self.optimizer,
        )?;
        observe(&Event::Saved(&path));
        Ok(())
    }

    fn train(
        &mut self,
        mut feed: Feed,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome, TrainError> {
        self.started = Instant::now();
        let mut saved = Instant::now();
        let mut throughput = Throughput::default();
        let skipped_before = self.progress.skipped;
        loop {
            if stop.load(Ordering::Relaxed) {
                self.save(observe)?;
                return Ok(self.outcome(End::Stopped, None));
            }
            if self.progress.tokens >= self.progress.next_eval {
                self.evaluate(stop, observe)?;
                if self
                    .config
                    .stop_when_flat
                    .is_some_and(|limit| self.progress.history.flat() >= limit)
                {
                    return self.finish(End::Flat, stop, observe);
                }
            }
            if self.used() >= 1.0 {
                return self.finish(End::Budget, stop, observe);
            }
            if saved.elapsed() >= self.config.checkpoint_every {
                self.save(observe)?;
                saved = Instant::now();
            }
            let lessons = feed.batch(self.config.batch_tokens)?;
            self.progress.position = feed.position;
            self.progress.skipped = skipped_before + feed.skipped;
            let (losses, rate) = self.step(&lessons)?;
            observe(&Event::Step(self.report(losses, rate, &mut throughput)));
        }
    }

    fn step(&mut self, lessons: &[Lesson]) -> Result<(Losses, f64), TrainError> {
        let (output, step) = (&self.teacher.output, self.progress.step + 1);
        let pass = Pass::new(self.source.config(), &self.weights, self.config.unroll);
        let shares = pass.shares(lessons);
        let results =
            lessons.par_iter().map(|lesson| pass.learn(lesson, &shares, &self.loss, output));
        let results = results.collect::<Result<Vec<(Losses, Tensors)>, ModelError>>()?;
        // In the order of the lessons, so that the sum is the same whoever was ready first.
        let mut losses = Losses::default();
        let mut gradients = Tensors::zero(self.config.kind, self.source.config());
        for (share, gradient) in &results {
            losses.add(*share);
            gradients.add(gradient);
        }
        let loss = self.loss.total(losses);
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                step,
                loss,
                learning_rate: self.config.learning_rate,
            });
        }
        let rate = schedule(self.config).rate(step, self.used());
        self.weights.learn(&mut self.optimizer, rate, &gradients)?;
        self.progress.step = step;
        self.progress.tokens += lessons.iter().map(|lesson| lesson.rows() as u64).sum::<u64>();
        self.progress.loss_sum += loss;
        self.progress.loss_count += 1;
        Ok((losses, rate))
    }

    /// Adds a point to the history, unless `stop` is set meanwhile.
    fn evaluate(
        &mut self,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event<'_>),
    ) -> Result<(), TrainError> {
        let (weights, info_path) = export::paths(&self.config.out, self.config.kind);
        export::write_weights(&self.weights, self.source.config(), &weights)?;
        let info = self.info(DraftPolicy::default().stop.threshold(), BTreeMap::new());
        export::write_info(&info, &info_path)?;
        let drafter = export::read_drafter(self.source, &weights, info)?;
        let max_draft = self.config.held_out.max_draft;
        let Some(replay) =
            Replay::new(self.teacher, &drafter, &self.texts, max_draft, false, stop)?
        else {
            return Ok(());
        };
        let progress = &mut self.progress;
        let point = HistoryPoint {
            step: progress.step,
            tokens: progress.tokens,
            seconds: self.seconds_before + self.started.elapsed().as_secs_f64(),
            loss: (progress.loss_count > 0).then(|| progress.loss_sum / progress.loss_count as f64),
            tokens_per_round: replay.tokens_per_round(),
        };
        (progress.loss_sum, progress.loss_count) = (0.0, 0);
        progress.next_eval = progress.tokens + self.config.eval_every;
        progress.history.points.push(point);
        record::write(&progress.history, &self.config.out)?;
        observe(&Event::Evaluated(&point));
        Ok(())
    }

    fn finish(
        &mut self,
        end: End,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Outcome, TrainError> {
        if self.progress.history.points.last().is_none_or(|point| point.step < self.progress.step) {
            self.evaluate(stop, observe)?;
        }
        self.save(observe)?;
        let (weights, info_path) = export::paths(&self.config.out, self.config.kind);
        let drafter = export::read_drafter(
            self.source,
            &weights,
            self.info(DraftPolicy::default().stop.threshold(), BTreeMap::new()),
        )?;
        let Some(report) =
            accept::report(self.teacher, &drafter, &self.texts, &self.config.held_out, stop)?
        else {
            return Ok(self.outcome(End::Stopped, None));
        };
        let (steps, unroll) = (self.progress.step, self.identity.unroll);
        let measured = outcome::measured(self.config, steps, unroll, &report);
        export::write_info(&self.info(report.best.threshold, measured), &info_path)?;
        observe(&Event::Finished(&report));
        Ok(self.outcome(end, Some(report)))
    }

    fn outcome(&self, end: End, report: Option<HeldOutReport>) -> Outcome {
        Outcome {
            end,
            steps: self.progress.step,
            tokens: self.progress.tokens,
            report,
            history: self.progress.history.clone(),
        }
    }

    fn info(&self, threshold: f32, measured: BTreeMap<String, Value>) -> DrafterInfo {
        DrafterInfo {
            kind: self.config.kind,
            split: self.config.split.to_string(),
            fingerprint: self.identity.fingerprint.clone(),
            threshold,
            trained_tokens: self.progress.tokens,
            measured,
        }
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Share of the budget used, by the limit that is nearest.
    fn used(&self) -> f64 {
        let budget = &self.config.budget;
        let share = |used: f64, limit: Option<f64>| limit.map_or(0.0, |limit| used / limit);
        share(self.progress.step as f64, budget.steps.map(|steps| steps as f64))
            .max(share(self.progress.tokens as f64, budget.tokens.map(|tokens| tokens as f64)))
            .max(share(self.seconds(), budget.minutes.map(|minutes| minutes * 60.0)))
    }

    fn report(
        &self,
        losses: Losses,
        learning_rate: f64,
        throughput: &mut Throughput,
    ) -> StepReport {
        let (tokens, used) = (self.progress.tokens, self.used());
        let (tokens_per_s, left) = throughput.add(tokens, used);
        StepReport {
            step: self.progress.step,
            tokens,
            tokens_per_s,
            loss: self.loss.total(losses),
            smooth_l1: losses.smooth_l1,
            cross_entropy: losses.cross_entropy,
            learning_rate,
            progress: used.min(1.0),
            left,
            skipped: self.progress.skipped,
        }
    }
}

#[cfg(test)]
mod tests;
