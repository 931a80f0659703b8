//! Record of a run on disk: its history, and the picture of that.

use std::path::Path;

use crate::{error::TrainError, history::History, plot, student::export::write_atomically};

/// The name of the history in the output directory.
const HISTORY_FILE: &str = "history.json";
/// The name of its picture.
const PLOT_FILE: &str = "history.svg";

/// Writes a history and its picture into a directory.
pub(super) fn write(history: &History, out: &Path) -> Result<(), TrainError> {
    let path = out.join(HISTORY_FILE);
    let text = serde_json::to_vec_pretty(history)
        .map_err(|error| TrainError::write(&path)(error.into()))?;
    write_atomically(&path, &text)?;
    write_atomically(&out.join(PLOT_FILE), plot::svg(history).as_bytes())
}
