//! Progress of a measurement on the terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;
use tricorn_bench::Observer;

/// A progress bar on a terminal, nothing for programs.
pub(super) struct View {
    bar: ProgressBar,
}

impl View {
    /// `unit` is what is counted, in the plural.
    pub(super) fn new(json: bool, unit: &str) -> Self {
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(0) };
        // The template's placeholders are indicatif's own; the default style is a fair second.
        let style = ProgressStyle::with_template(&format!(
            "{{bar:30}} {{pos}}/{{len}} {unit}, {{elapsed}} gone, {{eta}} left  {{msg}}"
        ));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("loading");
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for View {
    fn planned(&self, requests: usize) {
        self.bar.inc_length(requests as u64);
    }

    fn measuring(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    fn request_done(&self) {
        self.bar.inc(1);
    }
}
