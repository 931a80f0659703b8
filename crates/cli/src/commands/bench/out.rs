//! The folder that a report goes to.

use crate::error::CliError;
use std::{fs, path::Path};

/// Makes the folder and writes a file into it, which is taken away again: a long measurement is not
/// to be lost to a wrong `--out`.
pub(super) fn prepare(out: Option<&Path>) -> Result<(), CliError> {
    let Some(out) = out else { return Ok(()) };
    let probe = out.join(format!(".tricorn-{}", std::process::id()));
    fs::create_dir_all(out)
        .and_then(|()| fs::write(&probe, "can this be written?"))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| CliError::Folder(out.to_owned(), error))
}
