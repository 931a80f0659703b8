//! A hub with one repository, `org/model`, that can be told to misbehave.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How a file is served.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The connection ends after so many bytes of the file.
    CutAfter(usize),
    /// One byte is another.
    Corrupt,
    /// The head comes, the file never.
    Silent,
    /// Another entity tag.
    Tag(String),
    /// A redirect that does not say where to.
    Redirect,
}

#[derive(Default)]
struct Recorded {
    files: Vec<(String, Vec<u8>)>,
    faults: Mutex<HashMap<String, Fault>>,
    asked: Mutex<Vec<(String, String)>>,
}

pub(crate) struct Server {
    shared: Arc<Recorded>,
    port: u16,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let files =
            files.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect();
        let shared = Arc::new(Recorded { files, ..Recorded::default() });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/api/models/org/model/revision/main", get(info))
            .route("/org/model/resolve/main/{file}", get(file))
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { shared, port, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn fail(&self, file: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().insert(file.to_owned(), fault);
    }

    pub(crate) fn forget(&self) {
        self.shared.asked.lock().unwrap().clear();
    }

    /// The ranges that were asked for of a file, in order.
    pub(crate) fn asked(&self, file: &str) -> Vec<String> {
        self.shared
            .asked
            .lock()
            .unwrap()
            .iter()
            .filter(|(name, _)| name == file)
            .map(|(_, range)| range.clone())
            .collect()
    }
}

async fn info(State(shared): State<Arc<Recorded>>) -> Json<serde_json::Value> {
    let siblings: Vec<_> =
        shared.files.iter().map(|(name, _)| serde_json::json!({ "rfilename": name })).collect();
    Json(serde_json::json!({ "siblings": siblings, "sha": COMMIT }))
}

async fn file(
    State(shared): State<Arc<Recorded>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some((_, content)) = shared.files.iter().find(|(file, _)| *file == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let range = headers.get(header::RANGE).unwrap().to_str().unwrap().to_owned();
    shared.asked.lock().unwrap().push((name.clone(), range.clone()));
    let fault = shared.faults.lock().unwrap().get(&name).cloned().unwrap_or(Fault::None);
    let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to: usize = to.parse().map_or(content.len(), |to: usize| to + 1).min(content.len());
    let sum: String =
        digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut part = content[from..to].to_vec();
    let whole = to == content.len();
    let tag = if let Fault::Tag(tag) = &fault { tag.clone() } else { sum };
    let head = Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::ETAG, format!("\"{tag}\""))
        .header("x-repo-commit", COMMIT)
        .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{}", to - 1, content.len()))
        .header(header::CONTENT_LENGTH, part.len());
    let body = match fault {
        Fault::Redirect => return StatusCode::FOUND.into_response(),
        Fault::Silent if whole => {
            Body::from_stream(tokio_stream::pending::<Result<Bytes, std::io::Error>>())
        }
        Fault::CutAfter(bytes) if whole => {
            part.truncate(bytes.saturating_sub(from));
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(async move {
                let _ = sender.send(Ok(Bytes::from(part))).await;
                // The server flushes what it has when nothing more is there.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = sender.send(Err(std::io::Error::other("cut"))).await;
            });
            Body::from_stream(ReceiverStream::new(receiver))
        }
        Fault::Corrupt if whole => {
            part[0] ^= 1;
            Body::from(part)
        }
        _ => Body::from(part),
    };
    head.body(body).unwrap()
}
