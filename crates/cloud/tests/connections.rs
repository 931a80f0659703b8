//! Connections that say nothing, and too many of them.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::common::{HIDDEN, SERVED, Toy, config, connect, stage, start, toy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tricorn_cloud::{Cloud, CloudConfig, CloudError};

const INPUT: [f32; 2 * HIDDEN] = [3.0; 2 * HIDDEN];

/// Waits until the other side has ended the connection, whatever it says before.
async fn until_closed(mut stream: TcpStream) {
    let end = async {
        loop {
            match stream.read(&mut [0; 256]).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(Duration::from_secs(30), end).await.expect("the connection stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_never_begin_are_closed_and_quiet_devices_are_not() {
    let first_bytes = Duration::from_millis(300);
    for config in [
        CloudConfig { open_timeout: first_bytes, ..config() },
        CloudConfig { open_timeout: first_bytes, ..stage(4..5, None) },
    ] {
        let is_first = config.held.is_none();
        let cloud = start(config, toy());
        let mut device = None;
        if is_first {
            device = Some(connect(cloud.addr).await);
        }
        let begun = Instant::now();
        let silent = TcpStream::connect(cloud.addr).await.unwrap();
        let mut stuck = TcpStream::connect(cloud.addr).await.unwrap();
        stuck.write_all(b"PRI * HTTP/2.0").await.unwrap();
        until_closed(silent).await;
        until_closed(stuck).await;
        assert!(begun.elapsed() >= first_bytes);
        if let Some(mut device) = device {
            device.converse(&INPUT, 2).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_and_there_is_room_when_another_ends() {
    let cloud = start(CloudConfig { max_connections: 2, ..config() }, Toy::new(HIDDEN));
    let mut first = connect(cloud.addr).await;
    let second = connect(cloud.addr).await;
    until_closed(TcpStream::connect(cloud.addr).await.unwrap()).await;
    first.converse(&INPUT, 2).await;
    drop(second);
    let rejoined = timeout(Duration::from_secs(30), async { while !answers(cloud.addr).await {} });
    rejoined.await.expect("the place is never given back");
}

/// Whether a connection stays open long enough to be greeted: a server's first frame follows the
/// preface and settings of its client.
async fn answers(addr: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let greeting =
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    stream.write_all(&greeting).await.is_ok()
        && matches!(stream.read(&mut [0; 9]).await, Ok(count) if count > 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_stage_that_accepts_and_says_nothing_is_given_up_soon() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let next = Some(silent.local_addr().unwrap());
    let mut cloud = Cloud::bind(stage(2..4, next), SERVED).unwrap();
    // Far below the deadline of a batch.
    let joined =
        timeout(Duration::from_secs(20), cloud.connect_next(HIDDEN)).await.expect("it waits on");
    assert!(
        matches!(
            &joined,
            Err(CloudError::NextUnreachable { reason, .. })
                if reason.contains("no answer within")
        ),
        "{joined:?}"
    );
}

#[tokio::test]
async fn a_cloud_that_is_its_own_next_stage_is_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = CloudConfig { listen: free, ..stage(2..4, Some(free)) };
    let joined = Cloud::bind(config, SERVED).unwrap().connect_next(HIDDEN).await;
    assert!(matches!(&joined, Err(CloudError::NextIsSelf { end: 4, .. })), "{joined:?}");
}
