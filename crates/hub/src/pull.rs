//! Pull: the download of a model.

use crate::{HubError, ModelName, checksum::Checksum, files, name::is_plain};
use hf_hub::{
    Cache, Repo, RepoType,
    api::{
        Progress,
        sync::{Api, ApiBuilder, ApiError, ApiRepo},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Silence after which a download is given up.
const STALL: Duration = Duration::from_secs(60);
/// Tries after a connection that broke.
const RETRIES: usize = 3;
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// A hub and the cache on this machine.
#[derive(Debug)]
pub struct Hub {
    endpoint: String,
    cache: Cache,
    token: Option<String>,
    offline: bool,
    stall: Duration,
}

/// What a pull does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many files make the model.
    Files(usize),
    /// A file is begun; what an earlier pull got of it is not fetched again.
    File {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
    },
    /// More of the file is there.
    Bytes(u64),
    /// A file is compared with the hub's checksum: one that was fetched, or that was there already.
    Checking {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
    },
    /// More of the file was compared.
    Compared(u64),
    /// The file was fetched and has the hub's checksum.
    Checked,
    /// The file was there already and has the hub's checksum.
    Present(String),
    /// The file that was there is not what the hub says it is, and is fetched again.
    Spoilt(String),
}

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The folder, or the GGUF file; what `--model` takes.
    pub path: PathBuf,
    /// The commit that it is.
    pub commit: String,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Hub {
    /// The hub and cache that the environment names, as other tools read it: `HF_ENDPOINT`,
    /// `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`.
    #[must_use]
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let cache =
            variable("HF_HUB_CACHE").map_or_else(Cache::from_env, |path| Cache::new(path.into()));
        let token = variable("HF_TOKEN").or_else(|| cache.token());
        let offline = variable("HF_HUB_OFFLINE").is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
        });
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token,
            offline,
            stall: STALL,
        }
    }

    /// A hub at `endpoint`, its files under `cache`.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, cache: PathBuf) -> Self {
        Self {
            endpoint: endpoint.into(),
            cache: Cache::new(cache),
            token: None,
            offline: false,
            stall: STALL,
        }
    }

    /// The same, giving a download up after another silence than a minute's.
    #[must_use]
    pub fn with_stall(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    /// The same, never using the network.
    #[must_use]
    pub fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    /// A model that an earlier pull, or another tool, has put into the cache.
    ///
    /// # Errors
    /// When it is not there, or not all of it.
    pub fn cached(&self, name: &ModelName) -> Result<Pulled, HubError> {
        let missing = || {
            let (name, cache) = (name.clone(), self.cache.path().clone());
            if self.offline {
                HubError::Offline { name, cache }
            } else {
                HubError::NotCached { name, cache }
            }
        };
        // The cache's own lookup goes by file; the config or the file asked for leads to the
        // folder.
        let repository = self.cache.repo(repo(name));
        let known = name.file().unwrap_or("config.json");
        let folder = match repository.get(known) {
            Some(path) => path.parent().map(Path::to_owned),
            None if name.file().is_none() => self.only_folder(name),
            None => None,
        };
        let folder = folder.ok_or_else(missing)?;
        let present = plain_files(&folder)?;
        let (files, single) = files::choose(name, &present).map_err(|_| missing())?;
        let bytes = files
            .iter()
            .map(|file| folder.join(file).metadata().map_or(0, |metadata| metadata.len()))
            .sum();
        let commit =
            folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Pulled { path: single.map_or(folder.clone(), |file| folder.join(file)), commit, bytes })
    }

    /// Fetches a model; what is in the cache already and has the hub's checksum is not fetched
    /// again. `on_event` hears how it goes. A hub that never uses the network gives what is
    /// [`cached`](Self::cached).
    ///
    /// # Errors
    /// When the hub does not have it or cannot be reached, a file does not have its checksum, or
    /// the disk is full. What was fetched stays.
    pub fn pull(
        &self,
        name: &ModelName,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Pulled, HubError> {
        if self.offline {
            return self.cached(name);
        }
        let builder = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone());
        let api = builder
            .with_retries(RETRIES)
            .with_progress(false)
            .with_user_agent("tricorn", env!("CARGO_PKG_VERSION"))
            .build();
        let api = api.map_err(|error| self.failed(name, name.repository(), error))?;
        let asked = api.clone();
        let repository = repo(name);
        let info = self.watched(
            name,
            name.repository(),
            move |_| asked.repo(repository).info(),
            on_event,
        )?;
        let present: Vec<String> =
            info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        let (wanted, single) = files::choose(name, &present)?;
        let commit = info.sha;
        if !is_plain(&commit) {
            return Err(HubError::Untrusted {
                file: name.repository().to_owned(),
                problem: "its commit is none",
            });
        }
        on_event(Event::Files(wanted.len()));
        let folder = self.cache.repo(repo(name)).pointer_path(&commit);
        let mut bytes = 0;
        for file in &wanted {
            bytes += self.bring(name, &api, &commit, file, on_event)?;
        }
        // Where all files were present nothing has written down which commit the revision is.
        self.cache
            .repo(repo(name))
            .create_ref(&commit)
            .map_err(|error| HubError::Io { path: self.cache.path().clone(), error })?;
        Ok(Pulled {
            path: single.map_or_else(|| folder.clone(), |file| folder.join(file)),
            commit,
            bytes,
        })
    }

    /// Sees to it that a file is there and has the hub's checksum, and gives its size. The client
    /// puts a file in its place before anybody has compared it, so one that is there may be what an
    /// interrupted pull has left.
    fn bring(
        &self,
        name: &ModelName,
        api: &Api,
        commit: &str,
        file: &str,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<u64, HubError> {
        let handle: ApiRepo = api.repo(repo(name));
        let (url, asked) = (handle.url(file), api.clone());
        let metadata = self.watched(name, file, move |_| asked.metadata(&url), on_event)?;
        if metadata.commit_hash() != commit {
            return Err(HubError::Changed { name: name.clone() });
        }
        // It becomes a file's name in the cache.
        let checksum = Checksum::parse(metadata.etag()).ok_or_else(|| HubError::Untrusted {
            file: file.to_owned(),
            problem: "its tag is no checksum",
        })?;
        let repository = self.cache.repo(repo(name));
        let (path, blob) =
            (repository.pointer_path(commit).join(file), repository.blob_path(metadata.etag()));
        if path.exists() {
            if let Some(bytes) = compare(checksum, file, &path, on_event)? {
                on_event(Event::Present(file.to_owned()));
                return Ok(bytes);
            }
            on_event(Event::Spoilt(file.to_owned()));
        }
        remove(&path);
        let wanted = file.to_owned();
        let fetched = self.watched(
            name,
            file,
            move |report| handle.download_with_progress(&wanted, report),
            on_event,
        )?;
        if fetched != path {
            return Err(HubError::Changed { name: name.clone() });
        }
        if let Some(bytes) = compare(checksum, file, &path, on_event)? {
            on_event(Event::Checked);
            return Ok(bytes);
        }
        remove(&path);
        remove(&blob);
        Err(HubError::Checksum { file: file.to_owned() })
    }

    /// Runs `work` in a thread and gives it up when nothing comes for too long: the client has no
    /// deadlines of its own. The thread then ends with its connection, or with the program. One
    /// that panics over what a server sent is an answer that makes no sense.
    fn watched<T: Send + 'static>(
        &self,
        name: &ModelName,
        file: &str,
        work: impl FnOnce(Report<T>) -> Result<T, ApiError> + Send + 'static,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<T, HubError> {
        let (sender, receiver) = mpsc::channel();
        let report = Report(sender.clone());
        let started = thread::Builder::new().name("pull".to_owned()).spawn(move || {
            // Nobody listens any more once the pull is given up.
            let _ = sender.send(Message::Over(work(report)));
        });
        started.map_err(|error| HubError::Io { path: self.cache.path().clone(), error })?;
        loop {
            match receiver.recv_timeout(self.stall) {
                Ok(Message::Event(event)) => on_event(event),
                Ok(Message::Over(result)) => {
                    return result.map_err(|error| self.failed(name, file, error));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(HubError::Stalled { file: file.to_owned(), waited: self.stall });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(self.unreachable(name, "its answer makes no sense".to_owned()));
                }
            }
        }
    }

    fn failed(&self, name: &ModelName, file: &str, error: ApiError) -> HubError {
        match error {
            ApiError::TooManyRetries(error) => self.failed(name, file, *error),
            ApiError::RequestError(error)
                if matches!(*error, ureq::Error::StatusCode(401 | 403 | 404)) =>
            {
                HubError::NotFound { name: name.clone(), url: self.endpoint.clone() }
            }
            ApiError::IoError(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::PermissionDenied
                ) =>
            {
                HubError::Io { path: self.cache.path().clone(), error }
            }
            ApiError::LockAcquisition(_) => HubError::Locked { file: file.to_owned() },
            error => self.unreachable(name, error.to_string()),
        }
    }

    fn unreachable(&self, name: &ModelName, reason: String) -> HubError {
        let reason =
            reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        HubError::Unreachable { name: name.clone(), url: self.endpoint.clone(), reason }
    }

    /// The snapshot of a revision that holds GGUF files alone.
    fn only_folder(&self, name: &ModelName) -> Option<PathBuf> {
        let root = self.cache.path().join(repo(name).folder_name());
        let commit = std::fs::read_to_string(root.join("refs").join(name.revision())).ok()?;
        let folder = is_plain(commit.trim()).then(|| root.join("snapshots").join(commit.trim()))?;
        folder.is_dir().then_some(folder)
    }
}

fn repo(name: &ModelName) -> Repo {
    Repo::with_revision(name.repository().to_owned(), RepoType::Model, name.revision().to_owned())
}

fn plain_files(folder: &Path) -> Result<Vec<String>, HubError> {
    let io = |error| HubError::Io { path: folder.to_owned(), error };
    let entries = std::fs::read_dir(folder).map_err(io)?;
    // A link into the cache whose file is gone is no file.
    let present = entries.filter_map(|entry| entry.ok()).filter(|entry| entry.path().is_file());
    Ok(present.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The size of a file if it has its checksum.
fn compare(
    checksum: Checksum<'_>,
    file: &str,
    path: &Path,
    on_event: &mut dyn FnMut(Event),
) -> Result<Option<u64>, HubError> {
    let io = |error| HubError::Io { path: path.to_owned(), error };
    let bytes = path.metadata().map_err(io)?.len();
    on_event(Event::Checking { name: file.to_owned(), bytes });
    let matches =
        checksum.matches(path, &mut |read| on_event(Event::Compared(read as u64))).map_err(io)?;
    Ok(matches.then_some(bytes))
}

/// Removes a file that is not what it should be, or a link to none; where there is nothing, nothing
/// is to be done.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// From the thread that downloads.
enum Message<T> {
    Event(Event),
    Over(Result<T, ApiError>),
}

/// Sends on what the client reports.
struct Report<T>(mpsc::Sender<Message<T>>);

impl<T> Progress for Report<T> {
    fn init(&mut self, size: usize, filename: &str) {
        let _ = self
            .0
            .send(Message::Event(Event::File { name: filename.to_owned(), bytes: size as u64 }));
    }

    fn update(&mut self, size: usize) {
        let _ = self.0.send(Message::Event(Event::Bytes(size as u64)));
    }

    fn finish(&mut self) {}
}
