//! Configuration of an endpoint, and its limits.

use std::time::Duration;
use tricorn_core::DraftPolicy;
use tricorn_device::CloudProbe;

/// What an endpoint is told about itself.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The model's name in requests and answers.
    pub model: String,
    /// How texts are drafted.
    pub draft: DraftPolicy,
    /// Origins whose web pages may read answers, such as `http://localhost:5173`; none by default.
    pub allowed_origins: Vec<String>,
    /// Names by which the endpoint may be called while it listens on loopback, beside `localhost`
    /// and addresses.
    pub allowed_hosts: Vec<String>,
    /// The cloud that requests need; none where the middle is in this process.
    pub cloud: Option<CloudBehind>,
    /// Bounds.
    pub limits: Limits,
}

/// The cloud behind an endpoint, as `/ready` asks it.
#[derive(Clone, Debug)]
pub struct CloudBehind {
    /// Asks it.
    pub probe: CloudProbe,
    /// Whether requests are answered without it, too.
    pub offline_fallback: bool,
}

impl ServiceConfig {
    /// An endpoint for a model of this name, with the default bounds and no other origins.
    #[must_use]
    pub fn new(model: impl Into<String>, draft: DraftPolicy) -> Self {
        Self {
            model: model.into(),
            draft,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            cloud: None,
            limits: Limits::default(),
        }
    }
}

/// Bounds that keep slow and hostile clients from harming others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections held; those beyond wait until one ends.
    pub connections: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Bodies above [`Limits::SMALL_BODY`] that are read at a time.
    pub large_bodies: usize,
    /// Requests with small bodies that are prepared at a time: read, rendered, tokenised. Others
    /// wait.
    pub preparing: usize,
    /// Requests with bodies above [`Limits::SMALL_BODY`] that are prepared at a time, beside them.
    pub preparing_large: usize,
    /// Time for a request's head, counted from when the connection is idle: so idle connections are
    /// closed after it, too.
    pub head_deadline: Duration,
    /// Time for a request's body, and as long again for its turn to be prepared.
    pub body_deadline: Duration,
    /// A client that takes no byte of an answer for so long is cut off.
    pub write_deadline: Duration,
    /// Time between comments that keep a silent stream of events alive.
    pub keep_alive: Duration,
    /// Time that requests under way are given to end when the endpoint stops.
    pub drain: Duration,
    /// The longest that a request may take, its wait for a slot included; `None` for as long as it
    /// takes.
    pub request_deadline: Option<Duration>,
}

impl Limits {
    /// Bytes up to which a body is read whatever else is.
    pub const SMALL_BODY: usize = 256 << 10;
    /// Bytes of a request's head.
    pub(crate) const HEAD: usize = 32 << 10;
    /// Header fields of a request.
    pub(crate) const HEADERS: usize = 64;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            body: 4 << 20,
            large_bodies: 16,
            preparing: 2,
            preparing_large: 1,
            head_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            drain: Duration::from_secs(10),
            request_deadline: None,
        }
    }
}
