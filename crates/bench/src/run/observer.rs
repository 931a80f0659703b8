//! Observers of a run: they are told of its progress.

/// Hears how far a run is; called from several threads.
pub trait Observer: Sync {
    /// So many requests will be run from now on, warm-ups included.
    fn planned(&self, requests: usize);
    /// What is being measured now, for example `paper-proportions, mid, hat`.
    fn measuring(&self, what: &str);
    /// One of the requests is done, whatever it ended in.
    fn request_done(&self);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn planned(&self, _: usize) {}
    fn measuring(&self, _: &str) {}
    fn request_done(&self) {}
}
