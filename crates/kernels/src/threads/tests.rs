use super::pool::Pool;
use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

thread_local! {
    static SUBSTITUTE: RefCell<Option<Arc<Pool>>> = const { RefCell::new(None) };
}

/// What [`with`] has put in the place of the process's pool.
pub(super) fn substitute() -> Option<Arc<Pool>> {
    SUBSTITUTE.with_borrow(Clone::clone)
}

/// Calls `computation` with this many threads to compute on.
pub(crate) fn with<R>(threads: usize, computation: impl FnOnce() -> R) -> R {
    SUBSTITUTE.set(Some(Arc::new(pool(threads))));
    let result = computation();
    SUBSTITUTE.set(None);
    result
}

fn pool(threads: usize) -> Pool {
    match Pool::new(threads) {
        Ok(pool) => pool,
        Err(error) => panic!("{error}"),
    }
}

fn every_index_once(pool: &Pool, tasks: usize) {
    let calls: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(tasks, &|index| {
        calls[index].fetch_add(1, Ordering::Relaxed);
    });
    for (index, calls) in calls.iter().enumerate() {
        assert_eq!(calls.load(Ordering::Relaxed), 1, "task {index} of {tasks}");
    }
}

#[test]
fn every_task_is_called_once_whatever_their_number() {
    for threads in [1, 2, 3, 8] {
        let pool = pool(threads);
        assert_eq!(pool.count(), threads);
        (0..40).chain([1000]).for_each(|tasks| every_index_once(&pool, tasks));
        (0..2000).for_each(|_| every_index_once(&pool, 5));
    }
}

#[test]
fn workers_take_part_also_after_they_parked() {
    let pool = pool(3);
    for pause in [0, 0, 20, 20] {
        thread::sleep(Duration::from_millis(pause));
        let together = Barrier::new(3);
        pool.run(3, &|_| {
            together.wait();
        });
    }
}

#[test]
fn a_call_from_a_task_is_computed_where_it_is_made() {
    let pool = pool(3);
    let calls = AtomicUsize::new(0);
    pool.run(12, &|_| {
        let caller = thread::current().id();
        pool.run(7, &|_| {
            assert_eq!(thread::current().id(), caller);
            calls.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(calls.into_inner(), 12 * 7);
}

#[test]
fn callers_do_not_disturb_each_other() {
    let pool = pool(3);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|round| every_index_once(&pool, round % 9)));
        }
    });
}

#[test]
fn a_panic_reaches_the_caller_and_leaves_the_pool_whole() {
    let pool = pool(3);
    let caller = thread::current().id();
    for in_caller in [true, false] {
        let together = Barrier::new(3);
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            pool.run(3, &|_| {
                // All three threads are inside before one of them panics.
                together.wait();
                if (thread::current().id() == caller) == in_caller {
                    panic!("of task");
                }
            });
        }));
        let message = result.err().and_then(|panic| panic.downcast_ref::<&str>().copied());
        assert_eq!(message, Some("of task"));
        every_index_once(&pool, 100);
    }
}

#[test]
fn a_pool_ends_its_threads() {
    let calls = Arc::new(AtomicUsize::new(0));
    let pool = pool(4);
    let held = Arc::clone(&calls);
    pool.run(4, &move |_| {
        held.fetch_add(1, Ordering::Relaxed);
    });
    drop(pool);
    assert_eq!((Arc::strong_count(&calls), calls.load(Ordering::Relaxed)), (1, 4));
}

#[test]
fn a_computation_has_the_threads_that_were_asked_for() {
    assert_eq!(with(5, super::count), 5);
    let calls = AtomicUsize::new(0);
    with(2, || {
        super::run(9, |_| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(calls.into_inner(), 9);
}
