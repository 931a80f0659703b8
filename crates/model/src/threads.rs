//! How one operation is spread over the processor's cores.

use rayon::prelude::*;

/// How many threads compute.
pub(crate) fn count() -> usize {
    rayon::current_num_threads()
}

/// Calls `task` once for each index below `tasks`, on as many threads as compute, and returns when all calls have.
///
/// Which thread takes which index is not defined, so tasks must be independent; several a thread let one that loses its core for a while
/// leave work to the others.
pub(crate) fn run(tasks: usize, task: impl Fn(usize) + Sync) {
    if tasks <= 1 {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().for_each(&task);
    }
}
