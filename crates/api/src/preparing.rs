//! Preparation of requests on threads of their own: JSON read, templates rendered, texts tokenised,
//! grammars compiled. A large request takes a second of computing, and the runtime's threads - of
//! which a device has one - carry all connections, those to the cloud as well.

use crate::{ApiError, Limits, clock::Clock};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tricorn_device::DeviceError;

/// Places in which requests are prepared.
#[derive(Debug)]
pub(crate) struct Preparing {
    small: Arc<Semaphore>,
    /// Small requests do not wait for large ones.
    large: Arc<Semaphore>,
    patience: Duration,
}

impl Preparing {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            small: Arc::new(Semaphore::new(limits.preparing)),
            large: Arc::new(Semaphore::new(limits.preparing_large)),
            patience: limits.body_deadline,
        }
    }

    /// What `work` comes to, which prepares a request of so many bytes.
    ///
    /// # Errors
    /// As `work`; and when there is no place in time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        clock: Clock,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let places = if bytes > Limits::SMALL_BODY { &self.large } else { &self.small };
        let patience = clock.left().map_or(self.patience, |left| left.min(self.patience));
        let place = match timeout(patience, Arc::clone(places).acquire_owned()).await {
            Ok(place) => place.map_err(|_| ApiError::Closed)?,
            Err(_) if clock.left().is_some_and(|left| left.is_zero()) => {
                return Err(ApiError::Device(clock.over()));
            }
            Err(_) => return Err(ApiError::Crowded),
        };
        let prepared = spawn_blocking(move || {
            let prepared = work();
            // The place is taken for as long as the work is done, also where its client has gone.
            drop(place);
            prepared
        });
        prepared.await.unwrap_or(Err(ApiError::Device(DeviceError::Fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LARGE: usize = Limits::SMALL_BODY + 1;
    /// Ends what would otherwise hang.
    const LIMIT: Duration = Duration::from_secs(30);

    fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// Work that is done when the gate is opened.
    fn gate() -> (mpsc::Sender<()>, impl FnOnce() -> Result<(), ApiError> + Send) {
        let (open, opened) = mpsc::channel();
        (open, move || opened.recv_timeout(LIMIT).map_err(|_| ApiError::Closed))
    }

    #[test]
    fn the_runtime_goes_on_while_requests_are_prepared() {
        on_one_thread(async {
            let preparing = Preparing::new(&Limits::default());
            let clock = Clock::start(None);
            let (open, large) = gate();
            let others = async {
                // What is small finds its place beside what is large.
                let small = preparing.run(1, clock, || Ok("small")).await.unwrap();
                open.send(()).unwrap();
                small
            };
            let (large, small) = tokio::join!(biased; preparing.run(LARGE, clock, large), others);
            assert_eq!((large.unwrap(), small), ((), "small"));
        });
    }

    #[test]
    fn no_more_are_prepared_at_a_time_than_there_are_places() {
        on_one_thread(async {
            let limits = Limits { preparing_large: 1, ..Limits::default() };
            let preparing = Preparing::new(&limits);
            let clock = Clock::start(None);
            let (begun, work) = mpsc::channel();
            let (open, large) = gate();
            let second = begun.clone();
            let first = preparing.run(LARGE, clock, move || {
                begun.send(1).unwrap();
                large()
            });
            let next = preparing.run(LARGE, clock, move || {
                second.send(2).unwrap();
                Ok(())
            });
            let opened = async {
                assert_eq!(work.recv_timeout(LIMIT).unwrap(), 1);
                open.send(()).unwrap();
                Ok(())
            };
            tokio::try_join!(biased; first, next, opened).unwrap();
            assert_eq!(work.recv_timeout(LIMIT).unwrap(), 2);
        });
    }

    #[test]
    fn the_wait_for_a_place_is_part_of_the_requests_time() {
        on_one_thread(async {
            let none =
                Preparing::new(&Limits { preparing: 0, body_deadline: LIMIT, ..Limits::default() });
            let clock = Clock::start(Some(Duration::from_millis(20)));
            let late = none.run(1, clock, || Ok(())).await.unwrap_err();
            assert!(
                matches!(
                    late,
                    ApiError::Device(DeviceError::Deadline(limit))
                        if limit == Duration::from_millis(20)
                ),
                "{late:?}"
            );
            assert_eq!(clock.left(), Some(Duration::ZERO));
            let impatient = Preparing::new(&Limits {
                preparing: 0,
                body_deadline: Duration::from_millis(1),
                ..Limits::default()
            });
            let crowded = impatient.run(1, Clock::start(None), || Ok(())).await.unwrap_err();
            assert!(matches!(crowded, ApiError::Crowded), "{crowded:?}");
        });
    }

    #[test]
    fn a_fault_in_one_request_leaves_its_place() {
        on_one_thread(async {
            let preparing = Preparing::new(&Limits { preparing: 1, ..Limits::default() });
            let clock = Clock::start(None);
            let fault = preparing
                .run(1, clock, || -> Result<(), ApiError> { panic!("a fault") })
                .await
                .unwrap_err();
            assert!(matches!(fault, ApiError::Device(DeviceError::Fault)), "{fault:?}");
            preparing.run(1, clock, || Ok(())).await.unwrap();
        });
    }
}
