//! The fleet: devices as threads of this process, each with a link and a monitor of its own, and
//! the clouds that they share.

mod cloud_process;
mod setup;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::runtime::Runtime;
use tricorn_core::{DraftPolicy, DraftStop, FinishReason, SamplingParams, Schedule};
use tricorn_device::{
    Conversation, DeviceError, DeviceParts, Options, RemoteConfig, RemoteTransport, SharedMonitor,
    Turn, TurnReport, transport::Backoff,
};
use tricorn_netem::Emulator;

use crate::{
    error::BenchError,
    mode::Mode,
    run::{Observer, Stop},
    scenario::{DeviceClass, Scenario},
    workload::Request,
};

pub(crate) use cloud_process::CloudChain;
use cloud_process::{CloudEnd, schedule_name};
pub use cloud_process::{CloudProcess, CloudProgram};
pub use setup::Setup;

/// A request that takes longer has failed.
const REQUEST_LIMIT: Duration = Duration::from_secs(180);
/// An append that is not answered for so long is lost.
const APPEND_LIMIT: Duration = Duration::from_secs(30);
/// A cloud that has gone does not come back here.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), most: Duration::from_millis(400), retries: 2 };

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// [`Request::index`].
    pub(crate) request: usize,
    /// Where it ran.
    pub(crate) device: usize,
    /// From its arrival until its device turned to it.
    pub(crate) waited: Duration,
    /// Its figures.
    pub(crate) result: Result<TurnReport, Failure>,
}

/// Reason why a request has no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It took too long.
    #[error("not done within {REQUEST_LIMIT:?}")]
    Late,
    /// The run was stopped.
    #[error("stopped")]
    Stopped,
    /// The device gave up.
    #[error("{0}")]
    Device(String),
}

/// A cloud of each schedule that is needed, and the devices with their links to it.
#[derive(Debug)]
pub(crate) struct Fleet<'s> {
    setup: &'s Setup,
    runtime: Runtime,
    clouds: Vec<Side>,
    classes: Vec<Option<DeviceClass>>,
    /// What devices have measured, a device and mode: another mode uses the link and the cloud in
    /// another way.
    monitors: BTreeMap<String, Vec<SharedMonitor>>,
}

/// One cloud and every device's link to it.
#[derive(Debug)]
struct Side {
    schedule: Schedule,
    links: Vec<Emulator>,
    cloud: CloudChain,
}

/// How a cloud kept to its throttle.
#[derive(Clone, Debug, Serialize)]
pub struct CloudLoad {
    /// Its schedule.
    pub schedule: &'static str,
    /// Batches run, warm-ups included; those of every stage where there are several.
    pub batches: u64,
    /// Batches that took longer than the throttle.
    pub overruns: u64,
}

/// How a block of requests is run.
#[derive(Clone, Copy)]
pub(crate) struct Job<'j> {
    pub(crate) mode: &'j Mode,
    pub(crate) stop: &'j Stop,
    pub(crate) observer: &'j dyn Observer,
}

impl<'s> Fleet<'s> {
    /// Starts the clouds that `modes` need and a link from every device to each.
    ///
    /// # Errors
    /// When a cloud or a link does not start.
    pub(crate) fn start(
        setup: &'s Setup,
        scenario: &Scenario,
        modes: &[Mode],
    ) -> Result<Self, BenchError> {
        Self::with(setup, scenario, modes, |schedule| {
            setup.cloud.start(
                schedule,
                setup.plain().context,
                scenario.throttle.map(|throttle| throttle.cloud),
            )
        })
    }

    /// The same with clouds that `start` starts.
    ///
    /// # Errors
    /// When a cloud or a link does not start.
    pub(crate) fn with(
        setup: &'s Setup,
        scenario: &Scenario,
        modes: &[Mode],
        start: impl Fn(Schedule) -> Result<CloudChain, BenchError>,
    ) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(BenchError::Start)?;
        let mut clouds: Vec<Side> = Vec::new();
        for mode in modes {
            if clouds.iter().any(|side| side.schedule == mode.schedule) {
                continue;
            }
            let cloud = start(mode.schedule)?;
            let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
            let config = |device| scenario.link_config(device, setup.plain().hidden);
            let links = (0..scenario.devices)
                .map(|device| Emulator::start(anywhere, cloud.address(), config(device)));
            clouds.push(Side {
                schedule: mode.schedule,
                links: links.collect::<Result<_, _>>()?,
                cloud,
            });
        }
        let devices = 0..scenario.devices;
        let monitors = |mode: &Mode| {
            (mode.name.clone(), devices.clone().map(|_| SharedMonitor::new()).collect())
        };
        Ok(Self {
            setup,
            runtime,
            clouds,
            classes: devices.clone().map(|device| scenario.class(device)).collect(),
            monitors: modes.iter().map(monitors).collect(),
        })
    }

    /// Opens a session on every device that has a request, then runs them all.
    pub(crate) fn run(&self, job: Job<'_>, requests: &[Request]) -> Vec<Outcome> {
        self.open(job, requests).run()
    }

    /// Opens a session on every device that has a request, so that what is timed afterwards has no
    /// handshake in it.
    pub(crate) fn open<'r>(&'r self, job: Job<'r>, requests: &'r [Request]) -> Ready<'r> {
        let links = self
            .clouds
            .iter()
            .find(|side| side.schedule == job.mode.schedule)
            .map_or(&[][..], |side| &side.links);
        let devices: Vec<Device<'_>> = links
            .iter()
            .zip(&self.classes)
            .enumerate()
            .map(|(index, (link, class))| Device {
                job,
                options: Options {
                    monitor: self
                        .monitors
                        .get(&job.mode.name)
                        .and_then(|all| all.get(index))
                        .cloned(),
                    throttle: class
                        .map(|class| class.throttle(job.mode.drafts.map(|drafts| drafts.kind))),
                    ..Options::default()
                },
                parts: self.setup.parts(job.mode),
                link,
                runtime: &self.runtime,
                requests: requests.iter().filter(|request| request.device == index).collect(),
            })
            .filter(|device| !device.requests.is_empty())
            .collect();
        let sessions = each(devices.iter().map(|device| move || device.open()));
        Ready { devices, sessions }
    }

    /// A device's link to the cloud of this schedule, to change it under way.
    pub(crate) fn link(&self, schedule: Schedule, device: usize) -> Option<&Emulator> {
        self.clouds.iter().find(|side| side.schedule == schedule)?.links.get(device)
    }

    /// Stops everything and tells how the clouds kept to their throttle.
    pub(crate) fn stop(self) -> Vec<CloudLoad> {
        let load = |side: Side| {
            let CloudEnd { batches, overruns } = side.cloud.stop()?;
            Some(CloudLoad { schedule: schedule_name(side.schedule), batches, overruns })
        };
        self.clouds.into_iter().filter_map(load).collect()
    }
}

/// Requests whose devices are connected.
pub(crate) struct Ready<'r> {
    devices: Vec<Device<'r>>,
    sessions: Vec<Option<Session<'r>>>,
}

impl Ready<'_> {
    /// Starts the clock, runs the requests and waits for all of them; a device's requests run one
    /// after the other.
    pub(crate) fn run(self) -> Vec<Outcome> {
        let Self { devices, sessions } = self;
        let started = Instant::now();
        let outcomes = each(
            devices
                .iter()
                .zip(sessions)
                .map(|(device, session)| move || device.run(started, session)),
        );
        let all = outcomes
            .into_iter()
            .zip(&devices)
            .map(|(outcomes, device)| outcomes.unwrap_or_else(|| device.crashed()));
        let mut outcomes: Vec<Outcome> = all.flatten().collect();
        outcomes.sort_by_key(|outcome| outcome.request);
        outcomes
    }
}

/// One device during a block.
struct Device<'d> {
    job: Job<'d>,
    options: Options,
    parts: &'d DeviceParts,
    link: &'d Emulator,
    runtime: &'d Runtime,
    requests: Vec<&'d Request>,
}

type Session<'d> = Result<Conversation<'d, RemoteTransport>, DeviceError>;

impl<'d> Device<'d> {
    /// A session for one request, opened before the request may come: the handshake is no part of
    /// it.
    fn open(&self) -> Session<'d> {
        let config = RemoteConfig {
            deadline: APPEND_LIMIT,
            backoff: BACKOFF,
            ..RemoteConfig::new(self.link.addr().to_string())
        };
        let link = RemoteTransport::new(config, self.parts, self.runtime.handle().clone());
        Conversation::open_with(self.parts, link, self.options.clone())
    }

    fn run(&self, started: Instant, session: Option<Session<'d>>) -> Vec<Outcome> {
        let mut session = session;
        let mut outcomes = Vec::with_capacity(self.requests.len());
        for request in &self.requests {
            let due = started + request.arrival;
            // After the first request the next session is opened at once, be its request there or
            // not.
            let session = session.take().unwrap_or_else(|| self.open());
            if !self.job.stop.sleep_until(due) {
                break;
            }
            let waited = due.elapsed();
            let result = session
                .map_err(|error| Failure::Device(error.to_string()))
                .and_then(|session| self.turn(session, request));
            outcomes.push(Outcome {
                request: request.index,
                device: request.device,
                waited,
                result,
            });
            self.job.observer.request_done();
        }
        outcomes
    }

    /// What is left of a device whose thread panicked.
    fn crashed(&self) -> Vec<Outcome> {
        let failed = |request: &&Request| Outcome {
            request: request.index,
            device: request.device,
            waited: Duration::ZERO,
            result: Err(Failure::Device("the device panicked".to_owned())),
        };
        self.requests.iter().map(failed).collect()
    }

    fn turn(
        &self,
        mut session: Conversation<'d, RemoteTransport>,
        request: &Request,
    ) -> Result<TurnReport, Failure> {
        let turn = Turn {
            tokens: request.prompt.to_vec(),
            max_new_tokens: request.max_new_tokens,
            sampling: SamplingParams::greedy(),
            constraint: None,
            logprobs: None,
            draft: draft_policy(self.job.mode, self.parts),
            chunk: self.job.mode.chunk,
        };
        let started = Instant::now();
        let report = session.turn(turn, &mut |_| match self.job.stop.is_asked()
            || started.elapsed() > REQUEST_LIMIT
        {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        match report {
            Ok(report) if report.finish != FinishReason::Cancelled => Ok(report),
            Ok(_) if self.job.stop.is_asked() => Err(Failure::Stopped),
            Ok(_) => Err(Failure::Late),
            Err(error) => Err(Failure::Device(error.to_string())),
        }
    }
}

/// The drafting of `tricorn run`, with the mode's settings: at most as many drafts and the
/// threshold that was found best for the drafter.
fn draft_policy(mode: &Mode, parts: &DeviceParts) -> DraftPolicy {
    let (Some(drafts), Some(drafter)) = (mode.drafts, parts.drafter()) else {
        return DraftPolicy::OFF;
    };
    DraftPolicy {
        stop: DraftStop::Threshold(drafter.info().threshold),
        stream: drafts.streaming,
        parallel: drafts.parallel,
        ..DraftPolicy::default()
    }
}

/// Runs every task on a thread of its own and waits for all; `None` for one that panicked.
fn each<T: Send>(tasks: impl Iterator<Item = impl FnOnce() -> T + Send>) -> Vec<Option<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> = tasks.map(|task| scope.spawn(task)).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect()
    })
}
