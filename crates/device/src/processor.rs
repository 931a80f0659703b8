//! Processor: leased by one conversation at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The device's processor, which its conversations share: one step at a time, in the order in
/// which they asked.
///
/// A step has all of the processor's threads to itself. So its time is a property of the device and
/// not of who else computes, and a conversation with a long prompt gets no more leases than one
/// that waits for its next token. Clones are handles to the same processor.
#[derive(Clone, Debug, Default)]
pub struct Processor(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    tickets: Mutex<Tickets>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    serving: u64,
}

/// The processor for one step, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Queue>);

impl Processor {
    /// One that nobody computes on yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the processor. A lease is for one step of a conversation, which ends by itself.
    pub(crate) fn lease(&self) -> Lease {
        let mut tickets = self.0.lock();
        let mine = tickets.next;
        tickets.next += 1;
        while tickets.serving != mine {
            tickets = self.0.done.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
        Lease(Arc::clone(&self.0))
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Tickets> {
        // Both numbers are written in one step each, so a panic elsewhere leaves them whole.
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.lock().serving += 1;
        self.0.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn leases_come_one_at_a_time_in_the_order_asked_for() {
        let processor = Processor::new();
        let (order, leases) = mpsc::channel();
        let asked = |count| {
            while processor.0.lock().next < count {
                thread::yield_now()
            }
        };
        thread::scope(|scope| {
            let first = processor.lease();
            for name in 0..8 {
                let (processor, order) = (&processor, order.clone());
                scope.spawn(move || {
                    let _lease = processor.lease();
                    order.send(name)
                });
                asked(name + 2);
            }
            drop(first);
        });
        drop(order);
        assert_eq!(leases.iter().collect::<Vec<u64>>(), (0..8).collect::<Vec<u64>>());
    }
}
