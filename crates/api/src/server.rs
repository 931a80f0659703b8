//! Connections: taken, bounded, held to their deadlines, and let end when the endpoint stops.

mod stall;

use crate::{Limits, Service, router::router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use stall::StallGuard;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

/// The wait after a connection could not be taken, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time to write the engine's last words once it has spoken them.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Answers requests on `listener` until `stop` is done; then takes no more, and gives those under
/// way [`Limits::drain`] to end. Those that do not are ended with an error that says so, after the
/// step that they are in.
///
/// Where the listener is on loopback, requests must name a host that is allowed (see
/// [`ServiceConfig`](crate::ServiceConfig)).
///
/// # Errors
/// When the listener's address cannot be told.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    stop: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let limits = service.config.limits;
    let service = Arc::new(service);
    let router = TowerToHyperService::new(router(&service, loopback));
    let http = builder(&limits);
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let taken = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = &mut stop => break,
            taken = taken => taken,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Tokens are small packets that somebody waits for; where that cannot be said, they come a
        // little later.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(StallGuard::new(stream, limits.write_deadline));
        let connection = graceful.watch(http.serve_connection(stream, router.clone()));
        tokio::spawn(async move {
            // How a connection ends is the client's affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    // Idle connections end at once, the others once their answers are written.
    let mut connections = pin!(graceful.shutdown());
    let mut engine = pin!(service.engine.shutdown(limits.drain));
    tokio::select! {
        () = &mut engine => {
            // A connection that is still busy then is left behind.
            let _ = timeout(LAST_WRITE, connections).await;
        }
        () = &mut connections => engine.await,
    }
    Ok(())
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_headers(Limits::HEADERS)
        .max_header_size(Limits::HEAD)
        .max_buf_size(2 * Limits::HEAD);
    http
}
