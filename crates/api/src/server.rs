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

/// Answers requests on `listener` until `stop` is done; then takes no more, and gives those under way [`Limits::drain`] to end.
///
/// Where the listener is on loopback, requests must name a host that is allowed (see [`ServiceConfig`](crate::ServiceConfig)).
///
/// # Errors
/// When the listener's address cannot be told.
pub async fn serve(listener: TcpListener, service: Service, stop: impl Future<Output = ()> + Send) -> std::io::Result<()> {
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
        // Tokens are small packets that somebody waits for; where that cannot be said, they come a little later.
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
    let engine = service.engine.shutdown(limits.drain);
    // A connection that is still busy after the engine's last word is left behind.
    let connections = timeout(limits.drain + ACCEPT_PAUSE, graceful.shutdown());
    let _ = tokio::join!(engine, connections);
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
