//! The teacher's thread: it runs ahead of the student by a few lessons.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::Scope,
};

use tricorn_model::ModelError;

use crate::{
    config::DistillConfig,
    error::TrainError,
    lessons::{
        data::{Dataset, Order},
        memory::{LessonKey, Lessons},
        teacher::{Lesson, Teacher},
        text::{Renderer, Sequence},
    },
    rng::Rng,
};

/// Examples looked at together, so that the model writes its own texts for them in one batch.
const WINDOW: u64 = 32;
/// Lessons that wait for the student: a whole window, so that it learns from one while the teacher
/// makes the next.
const AHEAD: usize = WINDOW as usize;
/// Seed of the choice which examples get the model's own text.
const OWN_TEXT: u64 = 0x6f77_6e5f_7465_7874;
/// Seed of the choice which examples come after others, and after how many tokens.
const EARLIER: u64 = 0x6561_726c_6965_7200;

/// A lesson, or `None` for an example that is left out.
type Delivery = Result<Option<Lesson>, TrainError>;

/// Lessons in the order of the examples.
#[derive(Debug)]
pub(crate) struct Feed {
    receiver: Receiver<Delivery>,
    /// Examples taken so far, over all epochs: where to go on from.
    pub(crate) position: u64,
    skipped_in_a_row: u64,
    pub(crate) skipped: u64,
    examples: u64,
    path: PathBuf,
    closed: Arc<AtomicBool>,
}

/// What the teacher's thread works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedParts<'a> {
    pub(crate) teacher: &'a Teacher,
    pub(crate) renderer: &'a Renderer,
    pub(crate) dataset: &'a Dataset,
    pub(crate) config: &'a DistillConfig,
}

enum Task {
    Skip,
    Ready(Lesson),
    Read(LessonKey, Sequence),
    /// The next of the texts that the model writes.
    Own(LessonKey),
}

impl Feed {
    /// Starts the thread at an example's position; it ends when the feed is dropped.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        parts: FeedParts<'scope>,
        position: u64,
    ) -> Self {
        let (sender, receiver) = sync_channel(AHEAD);
        let closed = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&closed);
        scope.spawn(move || parts.run(position, &sender, &watched));
        let examples = parts.dataset.examples.len() as u64;
        Self {
            receiver,
            position,
            skipped_in_a_row: 0,
            skipped: 0,
            examples,
            path: parts.config.data.clone(),
            closed,
        }
    }

    /// The next lessons with at least `rows` rows together.
    pub(crate) fn batch(&mut self, rows: usize) -> Result<Vec<Lesson>, TrainError> {
        let (mut lessons, mut have) = (Vec::new(), 0);
        while have < rows {
            let lesson = self.receiver.recv().map_err(|_| TrainError::TeacherLost)??;
            self.position += 1;
            match lesson {
                Some(lesson) => {
                    have += lesson.rows();
                    lessons.push(lesson);
                    self.skipped_in_a_row = 0;
                }
                None => {
                    self.skipped += 1;
                    self.skipped_in_a_row += 1;
                    if self.skipped_in_a_row >= self.examples {
                        let problem =
                            "every prompt fills the whole context; raise --context".to_owned();
                        return Err(TrainError::NoExamples { path: self.path.clone(), problem });
                    }
                }
            }
        }
        Ok(lessons)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

impl FeedParts<'_> {
    fn run(self, position: u64, sender: &SyncSender<Delivery>, closed: &AtomicBool) {
        let mut order = Order::new(self.config.seed, self.dataset.examples.len());
        let mut lessons = Lessons::new(self.config.lesson_memory);
        for start in (position..).step_by(WINDOW as usize) {
            if self.window(&mut order, &mut lessons, start, sender, closed).is_none() {
                return;
            }
        }
    }

    /// Sends the lessons of one window; `None` when nobody listens any more or there was an error.
    fn window(
        self,
        order: &mut Order,
        lessons: &mut Lessons,
        start: u64,
        sender: &SyncSender<Delivery>,
        closed: &AtomicBool,
    ) -> Option<()> {
        let prepared = self.prepare(order, lessons, start, closed);
        let (tasks, mut own) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // The receiver may be gone, and then nobody needs the error.
                let _ = sender.send(Err(error.into()));
                return None;
            }
        };
        for task in tasks {
            let (key, lesson) = match task {
                Task::Skip => (None, Ok(None)),
                Task::Ready(lesson) => (None, Ok(Some(lesson))),
                Task::Own(key) => (Some(key), Ok(own.next())),
                Task::Read(key, sequence) => (Some(key), self.teacher.teach(sequence).map(Some)),
            };
            // A text that was cut short because nobody listens any more must not be kept; neither
            // will it be needed.
            if let (Some(key), Ok(Some(lesson)), false) =
                (key, &lesson, closed.load(Ordering::Relaxed))
            {
                lessons.keep(key, lesson);
            }
            let failed = lesson.is_err();
            sender.send(lesson.map_err(TrainError::from)).ok()?;
            if failed {
                return None;
            }
        }
        Some(())
    }

    fn prepare(
        self,
        order: &mut Order,
        lessons: &Lessons,
        start: u64,
        closed: &AtomicBool,
    ) -> Result<(Vec<Task>, std::vec::IntoIter<Lesson>), ModelError> {
        let DistillConfig { context, own_text, own_text_tokens, seed, .. } = *self.config;
        let (mut tasks, mut prompts) = (Vec::new(), Vec::new());
        for position in start..start + WINDOW {
            let key = LessonKey {
                example: order.at(position),
                own_text: Rng::new(seed ^ OWN_TEXT, position).unit() < own_text,
            };
            let example = &self.dataset.examples[key.example];
            tasks.push(if let Some(lesson) = lessons.get(key) {
                Task::Ready(lesson)
            } else if key.own_text {
                let mut prompt = self.earlier(key.example)?;
                prompt.extend(self.renderer.prompt(&example.prompt)?);
                // A text of two tokens is the shortest that has a row to learn from.
                if prompt.is_empty() || prompt.len() >= context {
                    Task::Skip
                } else {
                    prompts.push(prompt);
                    Task::Own(key)
                }
            } else {
                let earlier = self.earlier(key.example)?;
                let sequence = self.renderer.sequence(example, context - earlier.len())?;
                sequence.map_or(Task::Skip, |sequence| Task::Read(key, sequence.after(earlier)))
            });
        }
        let own = self.teacher.write(prompts, own_text_tokens, context, closed)?;
        Ok((tasks, own.into_iter()))
    }

    /// The tokens before an example: none for half of them, else the end of other examples. They
    /// depend on the example alone, so that its lesson can be taken up again.
    fn earlier(self, example: usize) -> Result<Vec<u32>, ModelError> {
        let DistillConfig { earlier_tokens, seed, .. } = *self.config;
        let mut rng = Rng::new(seed ^ EARLIER, example as u64);
        let wanted = ((2.0 * rng.unit() - 1.0).max(0.0) * (earlier_tokens + 1) as f64) as usize;
        let mut tokens = Vec::new();
        let count = self.dataset.examples.len();
        // An example that renders to nothing must not make this endless.
        for _ in 0..count {
            if tokens.len() >= wanted {
                break;
            }
            let other = (rng.unit() * count as f64) as usize;
            if let Some(sequence) =
                self.renderer.sequence(&self.dataset.examples[other], usize::MAX)?
            {
                tokens.extend(sequence.tokens);
            }
        }
        tokens.drain(..tokens.len().saturating_sub(wanted));
        Ok(tokens)
    }
}
