//! Server of a cloud: binds, connects to the next stage, serves and stops.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::info;
use tricorn_core::HiddenCodec;
use tricorn_wire::{StageOpen, limits::max_message_bytes, transport};

use crate::{
    CloudConfig, CloudError, Figures, MiddleModel, Served,
    calibrate::calibrate,
    clock::Clock,
    command::Command,
    connections::Connections,
    driver::Driver,
    executor::Executor,
    load::LoadGauge,
    service::Service,
    serving::{COMMANDS, FAREWELL, driver_outcome, log_end},
    session::SessionContext,
    stage::{self, DialError, Joined, NextConfig, Place},
};

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
        let CloudConfig { limits, calibration, throttle, .. } = self.config;
        let measured = if self.place.is_first() {
            calibrate(model, limits.context, calibration, throttle)
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
        let Self { config, served, place, next, calibrated, warn, listener, local_addr } = self;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(CloudError::Start)?;
        let connections = Connections::new(listener, &config, warn);
        let (start, end) = (place.held.start, place.held.end);
        info!(address = %local_addr, layers = format_args!("{start}..{end}"), "cloud serves");
        if !place.is_first() {
            return stage::serve(config, served, place, connections, next, model, shutdown).await;
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let (clock, hidden) = (Clock::start(), model.hidden());
        let load = LoadGauge::new(config.max_sessions, clock);
        let next = next.map(|next| next.keep(commands.clone()));
        let executor = Executor::new(model, next, clock, config.throttle);
        let calibrated = calibrated.unwrap_or_default();
        let driver = Driver::new(&config, executor, calibrated, received, Arc::clone(&load));
        let mut driver = tokio::spawn(driver.run());

        let sessions = Arc::new(SessionContext {
            served,
            hidden,
            limits: config.limits,
            idle_timeout: config.idle_timeout,
            open_timeout: config.open_timeout,
            clock,
            load: Arc::clone(&load),
            commands,
            draining: AtomicBool::new(false),
        });
        let service = Service::new(Arc::clone(&sessions), config.outbox_rows);
        let max_message = max_message_bytes(config.limits, HiddenCodec::F32, hidden);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = transport::server()
            .add_service(transport::service(service, max_message))
            .serve_with_incoming_shutdown(connections, async {
                // Either way it is time to stop.
                let _ = stopped.await;
            });
        tokio::pin!(server);

        let outcome = tokio::select! {
            ended = &mut server => Ok(ended?),
            ended = &mut driver => {
                drop(stop);
                // The reason is known already; a device that stays connected must not hold it back.
                let _ = timeout(FAREWELL, server).await;
                driver_outcome(ended)
            }
            () = shutdown => {
                info!("cloud drains");
                sessions.draining.store(true, Ordering::Release);
                let drained = timeout(config.drain_timeout, async {
                    // Fails only when the driver has ended, which is what is waited for next.
                    let _ = sessions.commands.send(Command::Drain).await;
                    let ended = (&mut driver).await;
                    drop(stop);
                    server.await?;
                    driver_outcome(ended)
                });
                // Whoever is not done by then is cut off.
                drained.await.unwrap_or(Ok(()))
            }
        };
        let figures = load.figures();
        log_end(figures);
        outcome.map(|()| figures)
    }
}
