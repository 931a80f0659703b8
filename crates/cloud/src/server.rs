//! Binding, serving and stopping.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinError,
    time::timeout,
};
use tricorn_core::{Fingerprint, HiddenCodec, Split};
use tricorn_wire::{Formats, StageOpen, limits::max_message_bytes, transport};

use crate::{
    CloudConfig, CloudError, Figures, MiddleModel,
    calibrate::calibrate,
    connections::Connections,
    load::LoadGauge,
    scheduler::{Command, Scheduler},
    service::{Service, Shared},
    stage::{self, DialError, Joined, NextConfig, Place},
};

/// Commands on their way to the scheduler. Each session's rows are bounded on their own; this
/// bounds the rest.
pub(crate) const COMMANDS: usize = 1024;
/// How long devices get to read why the scheduler failed.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// What a device must hold as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The whole model's.
    pub fingerprint: Fingerprint,
    /// Where it is cut.
    pub split: Split,
    /// Its decoder layers.
    pub layers: usize,
    /// What its numbers are held in.
    pub formats: Formats,
}

/// A cloud that listens and does not yet serve.
#[derive(Debug)]
pub struct Cloud {
    config: CloudConfig,
    served: Served,
    place: Place,
    next: Option<Joined>,
    /// What batches take, once measured.
    calibrated: Option<Vec<(usize, Duration)>>,
    warn: fn(&str),
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl Cloud {
    /// Listens on `config.listen`. Devices that connect from now on wait until
    /// [`serve`](Self::serve) runs.
    ///
    /// # Errors
    /// When a setting makes no sense, layers of the middle are left to nobody, or the address
    /// cannot be listened on.
    pub fn bind(config: CloudConfig, served: Served) -> Result<Self, CloudError> {
        config.check()?;
        let place = Place::new(&config, served)?;
        let listen = config.listen;
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => CloudError::InUse(listen),
            _ => CloudError::Listen { listen, source },
        };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(CloudError::Start)?;
        let local_addr = listener.local_addr().map_err(CloudError::Start)?;
        Ok(Self {
            config,
            served,
            place,
            next: None,
            calibrated: None,
            warn: |_| (),
            listener,
            local_addr,
        })
    }

    /// Where it listens: `config.listen` with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The layers that run here, counted in the whole model.
    #[must_use]
    pub fn held(&self) -> Range<usize> {
        self.place.held.clone()
    }

    /// Has `warn` told, seldom and in one line, what an operator should know and no device can be
    /// told: that no connection can be taken.
    pub fn warn_by(&mut self, warn: fn(&str)) {
        self.warn = warn;
    }

    /// Connects to the next stage, if there is one, and agrees with it on hidden rows of `hidden`
    /// values. Gives the number of stages from this one to the last.
    ///
    /// # Errors
    /// When the next stage is this cloud itself, does not answer within some seconds, or does not
    /// fit: another model, split or format, or layers that do not follow.
    pub async fn connect_next(&mut self, hidden: usize) -> Result<usize, CloudError> {
        let Self { config, served, place, local_addr, .. } = self;
        let Some(url) = &config.next else { return Ok(1) };
        if stage::leads_to(url, *local_addr).await {
            return Err(CloudError::NextIsSelf { url: url.clone(), end: place.held.end });
        }
        let open = StageOpen {
            fingerprint: served.fingerprint,
            split: served.split,
            hidden,
            first_layer: place.held.end,
            context: config.limits.context,
            max_sessions: config.max_sessions,
            max_batch_rows: config.max_batch_rows(),
            formats: served.formats,
        };
        let next = NextConfig {
            url: url.clone(),
            open,
            end_layer: place.middle.end,
            deadline: config.next_deadline,
        };
        let joined = stage::join(next).await.map_err(|error| match error {
            DialError::Unreachable(reason) => {
                CloudError::NextUnreachable { url: url.clone(), reason, end: place.held.end }
            }
            DialError::Refused(reason) => CloudError::NextRefused { url: url.clone(), reason },
            DialError::Address(error) => CloudError::Address(error),
        })?;
        Ok(self.next.insert(joined).stages() + 1)
    }

    /// Measures what batches of `model` take, for about [`CloudConfig::calibration`], so that the
    /// first device is told. To be called within a runtime, whose thread it blocks. A stage that is
    /// not the first tells no device, and measures nothing.
    pub fn calibrate<M: MiddleModel>(&mut self, model: &M) {
        let CloudConfig { limits, calibration, pace, .. } = self.config;
        let measured = if self.place.is_first() {
            calibrate(model, limits.context, calibration, pace)
        } else {
            Vec::new()
        };
        self.calibrated = Some(measured);
    }

    /// Serves `model`, which runs the layers [`held`](Self::held), until `shutdown` completes; then
    /// tells every device, answers what was accepted and returns what was computed. A stage that is
    /// not the first serves the one before instead of devices.
    ///
    /// Before that it [connects](Self::connect_next) to the next stage and
    /// [measures](Self::calibrate) what batches take, where that has not been done.
    ///
    /// # Errors
    /// When the next stage is not there, or the scheduler fails; every session is told first.
    pub async fn serve<M: MiddleModel>(
        mut self,
        model: M,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Figures, CloudError> {
        if self.next.is_none() {
            self.connect_next(model.hidden()).await?;
        }
        if self.calibrated.is_none() {
            self.calibrate(&model);
        }
        let Self { config, served, place, next, calibrated, warn, listener, .. } = self;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(CloudError::Start)?;
        let connections = Connections::new(listener, &config, warn);
        if !place.is_first() {
            return stage::serve(config, served, place, connections, next, model, shutdown).await;
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let load = LoadGauge::new(config.max_sessions);
        let hidden = model.hidden();
        for (rows, delay) in calibrated.into_iter().flatten() {
            load.monitor().calibrated(rows, delay);
        }
        let next = next.map(|next| next.keep(commands.clone()));
        let scheduler = Scheduler::new(model, received, config.clone(), Arc::clone(&load), next);
        let mut scheduler = tokio::spawn(scheduler.run());

        let shared = Arc::new(Shared {
            served,
            hidden,
            limits: config.limits,
            outbox_rows: config.outbox_rows,
            idle_timeout: config.idle_timeout,
            open_timeout: config.open_timeout,
            load: Arc::clone(&load),
            commands,
            draining: AtomicBool::new(false),
            last_session: AtomicU64::new(0),
        });
        let max_message = max_message_bytes(config.limits, HiddenCodec::F32, hidden);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = transport::server()
            .add_service(transport::service(Service(Arc::clone(&shared)), max_message))
            .serve_with_incoming_shutdown(connections, async {
                // Either way it is time to stop.
                let _ = stopped.await;
            });
        tokio::pin!(server);

        let outcome = tokio::select! {
            ended = &mut server => Ok(ended?),
            ended = &mut scheduler => {
                drop(stop);
                // The reason is known already; a device that stays connected must not hold it back.
                let _ = timeout(FAREWELL, server).await;
                scheduler_outcome(ended)
            }
            () = shutdown => {
                shared.draining.store(true, Ordering::Release);
                let drained = timeout(config.drain_timeout, async {
                    // Fails only when the scheduler has ended, which is what is waited for next.
                    let _ = shared.commands.send(Command::Drain).await;
                    let ended = (&mut scheduler).await;
                    drop(stop);
                    server.await?;
                    scheduler_outcome(ended)
                });
                // Whoever is not done by then is cut off.
                drained.await.unwrap_or(Ok(()))
            }
        };
        outcome.map(|()| load.monitor().figures())
    }
}

/// What the owner of the model left.
pub(crate) fn scheduler_outcome<T>(
    ended: Result<Result<T, String>, JoinError>,
) -> Result<T, CloudError> {
    match ended {
        Ok(Ok(left)) => Ok(left),
        Ok(Err(message)) => Err(CloudError::Scheduler(message)),
        Err(_) => Err(CloudError::Scheduler("its task is gone".to_owned())),
    }
}
