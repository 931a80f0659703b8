//! `tricorn pull`

use super::print_json;
use crate::{args::PullArgs, error::CliError, ui};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;
use tricorn_hub::{Event, Hub};

pub(crate) fn run(args: &PullArgs) -> Result<(), CliError> {
    let mut view = View { bar: ProgressBar::hidden(), done: 0, of: 0 };
    let pulled = Hub::from_env().pull(&args.model, &mut |event| view.show(event))?;
    if args.json {
        return print_json(&serde_json::json!({
            "path": pulled.path, "commit": pulled.commit, "bytes": pulled.bytes
        }));
    }
    ui::note(format!(
        "{} in {}\n",
        ui::bytes(usize::try_from(pulled.bytes).unwrap_or(usize::MAX)),
        pulled.path.display()
    ));
    Ok(ui::print(format!("use it as --model {}\n", args.model))?)
}

/// One bar a file, and a line for each that is done.
struct View {
    bar: ProgressBar,
    done: usize,
    of: usize,
}

impl View {
    fn show(&mut self, event: Event) {
        match event {
            Event::Files(count) => self.of = count,
            // A retry begins the same file again, from where it was.
            Event::File { name, bytes } => self.begin(
                name,
                bytes,
                "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ),
            Event::Checking { name, bytes } => {
                self.begin(name, bytes, "{msg}: comparing [{wide_bar}] {bytes}/{total_bytes} {eta}")
            }
            Event::Bytes(bytes) | Event::Compared(bytes) => self.bar.inc(bytes),
            Event::Checked => {
                let name = self.bar.message();
                self.line(&name, "checked");
            }
            Event::Present(name) => self.line(&name, "there already, checked"),
            Event::Spoilt(name) => {
                self.bar.finish_and_clear();
                ui::note(format!(
                    "{name}: what was there does not have the hub's checksum, fetched again\n"
                ));
            }
        }
    }

    fn begin(&mut self, name: String, bytes: u64, template: &str) {
        self.bar.finish_and_clear();
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = ProgressBar::new(bytes).with_style(style).with_message(name);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn line(&mut self, name: &str, what: &str) {
        self.bar.finish_and_clear();
        self.done += 1;
        ui::note(format!("{}/{} {name}: {what}\n", self.done, self.of));
    }
}
