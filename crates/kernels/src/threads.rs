//! Threads: spread one operation over the processor's cores.

mod disjoint;
mod pool;
#[cfg(test)]
mod tests;

pub(crate) use disjoint::Disjoint;
use pool::Pool;
use std::{io, num::NonZero, sync::OnceLock, thread};

#[cfg(test)]
pub(crate) use tests::with;

static POOL: OnceLock<Pool> = OnceLock::new();

/// Reason why a number of threads cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// The system gives no more.
    #[error("cannot start {threads} threads ({source}); ask for fewer")]
    Spawn {
        /// How many were asked for.
        threads: usize,
        /// What the system says.
        source: io::Error,
    },
    /// Something was computed before.
    #[error("{running} threads compute already; choose their number before anything is computed")]
    Running {
        /// How many compute.
        running: usize,
    },
}

/// Chooses how many threads compute in this process; without it there is one a core. The thread
/// that calls for a computation is one of them.
///
/// # Errors
/// When the system gives no more threads, or something was computed already.
pub fn configure(threads: NonZero<usize>) -> Result<(), ThreadsError> {
    let threads = threads.get();
    let pool = Pool::new(threads).map_err(|source| ThreadsError::Spawn { threads, source })?;
    POOL.set(pool).map_err(|_| ThreadsError::Running { running: count() })
}

/// How many threads compute.
#[must_use]
pub fn count() -> usize {
    #[cfg(test)]
    if let Some(pool) = tests::substitute() {
        return pool.count();
    }
    pool().count()
}

/// Calls `task` once for each index below `tasks`, on as many threads as compute, and returns when
/// all calls have.
///
/// Which thread takes which index is not defined, so tasks must be independent; several a thread
/// let one that loses its core for a while leave work to the others. A call from a task, or beside
/// another caller's, is computed by its own thread alone.
pub fn run(tasks: usize, task: impl Fn(usize) + Sync) {
    #[cfg(test)]
    if let Some(pool) = tests::substitute() {
        return pool.run(tasks, &task);
    }
    pool().run(tasks, &task);
}

fn pool() -> &'static Pool {
    POOL.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        // Nobody asked for a number: where threads are short, the caller's own must do.
        Pool::new(cores).unwrap_or_else(|_| Pool::alone())
    })
}
