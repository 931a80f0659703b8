//! Worker threads that park.
//!
//! A *region* is one call of [`Pool::run`]. Its tasks are claimed one by one from a counter, by the
//! calling thread and by every worker that comes in time: a worker that has lost its core is not
//! waited for unless it holds a task. Workers look for the next region for some microseconds, since
//! in decoding it follows at once, and then park.

use std::{
    any::Any,
    hint, io,
    panic::{self, AssertUnwindSafe},
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

/// How long a worker looks for the next region before it parks: longer than what lies between two
/// matrix products of one token, and short against a scheduler's time slice.
const LINGER: Duration = Duration::from_micros(60);
/// How long a caller whose tasks are all claimed looks for their end before it parks: tasks of a
/// region end within about one of each other.
const AWAIT: Duration = Duration::from_micros(30);
/// Looks between two readings of the clock.
const LOOKS: usize = 16;

/// [`Board::state`]: how many workers are inside the region.
const INSIDE: u64 = (1 << 16) - 1;
/// [`Board::state`]: workers may enter.
const OPEN: u64 = 1 << 16;
/// [`Board::state`]: the pool is being dropped.
const ENDED: u64 = 1 << 17;
/// [`Board::state`]: one region; the bits above count them, so that a worker enters none twice.
const REGION: u64 = 1 << 18;

/// A fixed number of threads, the calling one among them.
#[derive(Debug)]
pub(super) struct Pool {
    board: Arc<Board>,
    workers: Vec<JoinHandle<()>>,
    /// Whether a caller has the workers.
    taken: AtomicBool,
}

#[derive(Debug)]
struct Board {
    state: AtomicU64,
    /// The open region; lives on its caller's stack, who leaves only when the region is closed and
    /// no worker is inside.
    region: AtomicPtr<Region<'static>>,
}

struct Region<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    tasks: usize,
    next: AtomicUsize,
    /// What the first worker's panic carried.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    caller: Thread,
}

impl Pool {
    /// A pool in which `threads` compute, `threads - 1` of them its own.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(super) fn new(threads: usize) -> io::Result<Self> {
        let mut pool = Self::alone();
        // `INSIDE` counts no further; the rest would find no work anyway.
        for index in 1..threads.min(INSIDE as usize) {
            let board = Arc::clone(&pool.board);
            pool.workers.push(
                thread::Builder::new()
                    .name(format!("compute-{index}"))
                    .spawn(move || board.work())?,
            );
        }
        Ok(pool)
    }

    /// A pool in which only the calling thread computes.
    pub(super) fn alone() -> Self {
        let board =
            Arc::new(Board { state: AtomicU64::new(0), region: AtomicPtr::new(ptr::null_mut()) });
        Self { board, workers: Vec::new(), taken: AtomicBool::new(false) }
    }

    /// How many threads compute.
    pub(super) fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once for each index below `tasks` and returns when all calls have. Where
    /// another caller has the workers, or this is called from a task, the calling thread computes
    /// alone.
    ///
    /// # Panics
    /// When a task does; other tasks may then not be called.
    pub(super) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() || self.taken.swap(true, Ordering::Acquire) {
            return (0..tasks).for_each(task);
        }
        let region = Region {
            task,
            tasks,
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            caller: thread::current(),
        };
        self.open(&region);
        let own = panic::catch_unwind(AssertUnwindSafe(|| region.claim()));
        self.close();
        self.taken.store(false, Ordering::Release);
        let panicked = region.panic.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = own.err().or(panicked) {
            panic::resume_unwind(panic);
        }
    }

    fn open(&self, region: &Region<'_>) {
        self.board.region.store(ptr::from_ref(region).cast_mut().cast(), Ordering::Relaxed);
        let state = self.board.state.load(Ordering::Relaxed);
        self.board.state.store(((state & !OPEN) + REGION) | OPEN, Ordering::Release);
        // Beyond the tasks that the caller leaves there is nothing to wake for.
        for worker in self.workers.iter().take(region.tasks - 1) {
            worker.thread().unpark();
        }
    }

    /// Lets nobody in any more and waits for those inside.
    fn close(&self) {
        let inside = |state: u64| state & INSIDE != 0;
        if inside(self.board.state.fetch_and(!OPEN, Ordering::AcqRel)) {
            let left = || !inside(self.board.state.load(Ordering::Acquire));
            if !look(AWAIT, left) {
                while !left() {
                    thread::park();
                }
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.board.state.fetch_or(ENDED, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker never panics: tasks' panics are caught.
            let _ = worker.join();
        }
    }
}

impl Board {
    /// A worker's life.
    fn work(&self) {
        let mut seen = 0;
        loop {
            let news = || {
                let state = self.state.load(Ordering::Acquire);
                (state & ENDED != 0 || state & OPEN != 0 && state / REGION != seen).then_some(state)
            };
            let mut state = None;
            look(LINGER, || {
                state = news();
                state.is_some()
            });
            let state = state.unwrap_or_else(|| {
                loop {
                    thread::park();
                    if let Some(state) = news() {
                        break state;
                    }
                }
            });
            if state & ENDED != 0 {
                return;
            }
            if self
                .state
                .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                seen = state / REGION;
                self.help();
            }
        }
    }

    /// Computes inside the open region, which this worker has entered, and leaves.
    fn help(&self) {
        // SAFETY: the caller wrote the pointer before it opened the region, and keeps the region
        // alive until no worker is inside; this one is.
        #[allow(unsafe_code)]
        let region = unsafe { &*self.region.load(Ordering::Relaxed) };
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| region.claim())) {
            region.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        let caller = region.caller.clone();
        // The region may be gone from here on.
        let state = self.state.fetch_sub(1, Ordering::AcqRel);
        if state & OPEN == 0 && state & INSIDE == 1 {
            caller.unpark();
        }
    }
}

impl Region<'_> {
    /// Claims tasks and runs them until none is left.
    fn claim(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.tasks {
                return;
            }
            (self.task)(index);
        }
    }
}

/// Looks for `found` for about `time`; whether it was found.
fn look(time: Duration, mut found: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if found() {
                return true;
            }
            hint::spin_loop();
        }
        if start.elapsed() > time {
            return false;
        }
    }
}
