//! Server of a later stage, from its start to its end.

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::info;
use tricorn_wire::{limits::max_stage_message_bytes, transport};

use super::{
    Joined, Place,
    refuse::RefuseDevices,
    service::{StageService, UpstreamContext},
    worker::{Command, Worker},
};
use crate::{
    CloudConfig, CloudError, Figures, MiddleModel, Served,
    clock::Clock,
    connections::Connections,
    executor::Executor,
    serving::{COMMANDS, FAREWELL, driver_outcome, log_end},
};

/// Messages of devices are refused as soon as they are too long to be an `Open`.
const DEVICE_MESSAGE: usize = 4096;

/// Serves the stage before until `shutdown` completes, then tells it and returns.
///
/// # Errors
/// When the model fails; every upstream is told first.
pub(crate) async fn serve<M: MiddleModel>(
    config: CloudConfig,
    served: Served,
    place: Place,
    connections: Connections,
    joined: Option<Joined>,
    model: M,
    shutdown: impl Future<Output = ()>,
) -> Result<Figures, CloudError> {
    let (commands, received) = mpsc::channel(COMMANDS);
    let behind = joined.as_ref().map_or(0, Joined::stages);
    let clock = Clock::start();
    let context = UpstreamContext {
        served,
        held: place.held.clone(),
        hidden: model.hidden(),
        context: config.limits.context,
        max_sessions: config.max_sessions,
        max_batch_rows: config.max_batch_rows(),
        // As many as the stage before may have out: one for each stage from here on, and one on its
        // way.
        window: behind + 2,
        open_timeout: config.open_timeout,
        clock,
        commands: commands.clone(),
    };
    let next = joined.map(|joined| joined.keep(commands.clone()));
    let executor = Executor::new(model, next, clock, config.throttle);
    let mut worker = tokio::spawn(Worker::new(executor, received, place.middle.end).run());
    let max_message =
        max_stage_message_bytes(context.max_batch_rows, context.max_sessions, context.hidden);
    let refuse = RefuseDevices { held: place.held, first: place.middle.start };
    let (stop, stopped) = oneshot::channel::<()>();
    let server = transport::server()
        .add_service(transport::stage_service(StageService::new(context), max_message))
        .add_service(transport::service(refuse, DEVICE_MESSAGE))
        .serve_with_incoming_shutdown(connections, async {
            // Either way it is time to stop.
            let _ = stopped.await;
        });
    tokio::pin!(server);

    let ended = tokio::select! {
        ended = &mut server => return Ok(ended.map(|()| Figures::default())?),
        ended = &mut worker => ended,
        () = shutdown => {
            info!("cloud drains");
            // Fails only when the worker has ended, which is what is waited for next.
            let _ = commands.send(Command::Drain).await;
            match timeout(config.drain_timeout, &mut worker).await {
                Ok(ended) => ended,
                // Whoever is not done by then is cut off.
                Err(_) => return Ok(Figures::default()),
            }
        }
    };
    drop(stop);
    // The reason is known already; an upstream that stays connected must not hold it back.
    let _ = timeout(FAREWELL, server).await;
    driver_outcome(ended).inspect(|figures| log_end(*figures))
}
