//! `tricorn cloud` as a process.

use std::{ffi::OsString, net::TcpListener, path::Path};

use serde_json::Value;

use super::{Finished, Running, tricorn, until};

/// A cloud that serves; dropping it kills it.
pub(crate) struct Cloud {
    running: Running,
    pub(crate) port: u16,
}

impl Cloud {
    /// On any free port.
    pub(crate) fn start(model: &Path, split: &str) -> Self {
        Self::start_with(model, split, 0, &[])
    }

    pub(crate) fn start_with(model: &Path, split: &str, port: u16, more: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let mut arguments: Vec<OsString> =
            vec!["cloud".into(), "--model".into(), model.into(), "--json".into()];
        arguments.extend(["--split", split, "--listen", &listen].map(OsString::from));
        arguments.extend(more.iter().map(OsString::from));
        let mut running = Running::spawn(&mut tricorn(arguments));
        let ready: Value = serde_json::from_str(&running.line()).unwrap();
        let address = ready["address"].as_str().unwrap();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { running, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.running.signal(signal);
    }

    pub(crate) fn freeze(&self) {
        self.running.freeze();
    }

    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.running.close_stdin();
    }

    pub(crate) fn finish(self) -> Finished {
        self.running.finish()
    }

    /// Kills this one and starts another on its port.
    pub(crate) fn replace(&mut self, model: &Path, split: &str) {
        self.kill();
        *self = Self::start_at(model, split, self.port);
    }

    /// On a port that another cloud had before.
    pub(crate) fn start_at(model: &Path, split: &str, port: u16) -> Self {
        Self::start_at_with(model, split, port, &[])
    }

    pub(crate) fn start_at_with(model: &Path, split: &str, port: u16, more: &[&str]) -> Self {
        // Some connection elsewhere on this machine may hold the port for a moment.
        until("the port is free again", || TcpListener::bind(("127.0.0.1", port)).ok());
        Self::start_with(model, split, port, more)
    }
}
