//! Pulls from a server on loopback that speaks the hub's protocol.

use crate::server::{COMMIT, Fault, Server};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;
use tricorn_hub::{Event, Hub, HubError, ModelName};

/// A cache of its own for each test, removed in the end.
struct Cache(TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn hub(&self, server: &Server) -> Hub {
        Hub::new(server.url(), self.path())
    }

    /// The file under way that an interrupted pull leaves.
    fn blobs(&self) -> PathBuf {
        self.path().join("models--org--model").join("blobs")
    }
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn model() -> Server {
    Server::start(&[
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{\"a\": 1}".to_vec()),
        ("model.safetensors", vec![7; 300_000]),
        ("README.md", b"no".to_vec()),
    ])
}

#[test]
fn a_model_is_fetched_once_and_then_found_without_a_network() {
    let (cache, server) = (Cache::new(), model());
    let hub = cache.hub(&server);
    let mut events = Vec::new();
    let pulled = hub.pull(&name("hf:org/model"), &mut |event| events.push(event)).unwrap();
    assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), vec![7; 300_000]);
    assert_eq!((pulled.commit.as_str(), pulled.bytes), (COMMIT, 300_000 + 2 + 8));
    assert!(!pulled.path.join("README.md").exists());
    assert_eq!(events.iter().filter(|event| **event == Event::Checked).count(), 3);
    let received: u64 =
        events.iter().map(|event| if let Event::Bytes(bytes) = event { *bytes } else { 0 }).sum();
    assert_eq!(received, pulled.bytes);

    let mut again = Vec::new();
    assert_eq!(hub.pull(&name("hf:org/model"), &mut |event| again.push(event)).unwrap(), pulled);
    assert!(
        !again.iter().any(|event| matches!(event, Event::File { .. } | Event::Bytes(_))),
        "nothing is fetched: {again:?}"
    );
    assert_eq!(again.iter().filter(|event| matches!(event, Event::Present(_))).count(), 3);
    let compared: u64 =
        again.iter().map(|event| if let Event::Compared(bytes) = event { *bytes } else { 0 }).sum();
    assert_eq!(compared, pulled.bytes, "what is there is read as a whole");

    drop(server);
    let offline = Hub::new("http://127.0.0.1:9", cache.path()).offline();
    assert_eq!(offline.cached(&name("hf:org/model")).unwrap(), pulled);
    assert_eq!(offline.pull(&name("hf:org/model"), &mut |_| {}).unwrap(), pulled);
    let error = offline.pull(&name("hf:org/other"), &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, HubError::Offline { .. })
            && error.to_string().contains("tricorn pull hf:org/other"),
        "{error}"
    );
}

#[test]
fn an_interrupted_download_goes_on_where_it_ended() {
    let (cache, server) = (Cache::new(), model());
    server.fail("model.safetensors", Fault::CutAfter(100_000));
    let error = cache.hub(&server).pull(&name("hf:org/model"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    let begun = std::fs::read_dir(cache.blobs())
        .unwrap()
        .filter_map(Result::ok)
        .find(|entry| entry.path().extension().is_some_and(|end| end == "part"));
    let begun = begun.unwrap().metadata().unwrap().len();
    assert!(begun >= 100_000, "{begun}");

    server.fail("model.safetensors", Fault::None);
    server.forget();
    let pulled = cache.hub(&server).pull(&name("hf:org/model"), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), vec![7; 300_000]);
    assert_eq!(server.asked("model.safetensors").last(), Some(&format!("bytes={begun}-")));
}

#[test]
fn a_file_with_another_checksum_is_removed() {
    let (cache, server) = (Cache::new(), model());
    server.fail("model.safetensors", Fault::Corrupt);
    let error = cache.hub(&server).pull(&name("hf:org/model"), &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, HubError::Checksum { file } if file == "model.safetensors"),
        "{error}"
    );
    server.fail("model.safetensors", Fault::None);
    let pulled = cache.hub(&server).pull(&name("hf:org/model"), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), vec![7; 300_000]);
}

#[test]
fn a_file_that_is_there_but_not_what_it_should_be_is_fetched_again() {
    let (cache, server) = (Cache::new(), model());
    let hub = cache.hub(&server);
    let pulled = hub.pull(&name("hf:org/model"), &mut |_| {}).unwrap();
    // As a pull leaves it that is killed after the download and before the comparison.
    let weights = pulled.path.join("model.safetensors");
    std::fs::write(std::fs::canonicalize(&weights).unwrap(), vec![8; 300_000]).unwrap();
    server.forget();
    let mut events = Vec::new();
    assert_eq!(hub.pull(&name("hf:org/model"), &mut |event| events.push(event)).unwrap(), pulled);
    assert_eq!(std::fs::read(&weights).unwrap(), vec![7; 300_000]);
    assert!(
        events.contains(&Event::Spoilt("model.safetensors".to_owned()))
            && events.contains(&Event::Checked),
        "{events:?}"
    );
    assert!(server.asked("model.safetensors").iter().any(|range| range != "bytes=0-0"));
    assert!(
        server.asked("config.json").iter().all(|range| range == "bytes=0-0"),
        "the others are not fetched"
    );
}

#[test]
fn a_link_whose_file_is_gone_is_no_obstacle() {
    let (cache, server) = (Cache::new(), model());
    let hub = cache.hub(&server);
    let pulled = hub.pull(&name("hf:org/model"), &mut |_| {}).unwrap();
    let weights = pulled.path.join("model.safetensors");
    std::fs::remove_file(std::fs::canonicalize(&weights).unwrap()).unwrap();
    assert!(matches!(hub.cached(&name("hf:org/model")), Err(HubError::NotCached { .. })));
    assert_eq!(hub.pull(&name("hf:org/model"), &mut |_| {}).unwrap(), pulled);
    assert_eq!(std::fs::read(&weights).unwrap(), vec![7; 300_000]);
}

#[test]
fn a_split_file_is_there_when_all_of_its_parts_are() {
    let cache = Cache::new();
    let server = Server::start(&[
        ("x-00001-of-00002.gguf", vec![1; 10]),
        ("x-00002-of-00002.gguf", vec![2; 10]),
    ]);
    let hub = cache.hub(&server);
    let pulled = hub.pull(&name("hf:org/model"), &mut |_| {}).unwrap();
    assert_eq!(hub.cached(&name("hf:org/model")).unwrap(), pulled);
    std::fs::remove_file(pulled.path.with_file_name("x-00002-of-00002.gguf")).unwrap();
    for asked in ["hf:org/model", "hf:org/model:x-00001-of-00002.gguf"] {
        assert!(matches!(hub.cached(&name(asked)), Err(HubError::NotCached { .. })), "{asked}");
    }
    assert_eq!(hub.pull(&name("hf:org/model"), &mut |_| {}).unwrap(), pulled);
    assert_eq!(hub.cached(&name("hf:org/model")).unwrap(), pulled);
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let (cache, server) = (Cache::new(), model());
    server.fail("model.safetensors", Fault::Silent);
    let hub = cache.hub(&server).with_stall(Duration::from_millis(300));
    let error = hub.pull(&name("hf:org/model"), &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, HubError::Stalled { file, .. } if file == "model.safetensors"),
        "{error}"
    );
}

#[test]
fn tags_that_are_no_checksums_never_become_paths() {
    let (cache, server) = (Cache::new(), model());
    server.fail("config.json", Fault::Tag("../../../../escaped".to_owned()));
    let error = cache.hub(&server).pull(&name("hf:org/model"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, HubError::Untrusted { .. }), "{error}");
}

#[test]
fn a_redirect_to_nowhere_is_an_error_and_not_a_panic() {
    let (cache, server) = (Cache::new(), model());
    server.fail("config.json", Fault::Redirect);
    let error = cache.hub(&server).pull(&name("hf:org/model"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
}

#[test]
fn what_is_not_there_is_said_in_one_line_with_the_mend() {
    let cache = Cache::new();
    let server = Server::start(&[("a.gguf", vec![1; 10]), ("b.gguf", vec![2; 10])]);
    let hub = cache.hub(&server);
    for (asked, expected) in [
        ("hf:org/nothing", "mend the name, or set HF_TOKEN"),
        ("hf:org/model", "hf:org/model:a.gguf"),
        ("hf:org/model:c.gguf", "it has a.gguf, b.gguf"),
    ] {
        let error = hub.pull(&name(asked), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{asked}: {error}");
    }
    let pulled = hub.pull(&name("hf:org/model:b.gguf"), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(&pulled.path).unwrap(), vec![2; 10]);
    assert_eq!(hub.cached(&name("hf:org/model:b.gguf")).unwrap(), pulled);

    let nobody = Hub::new("http://127.0.0.1:9", cache.path());
    let error = nobody.pull(&name("hf:org/model"), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:9") && error.contains("HF_ENDPOINT"), "{error}");
}
