//! Serving: what the first stage and later ones have in common from start to stop.

use std::time::Duration;

use tokio::task::JoinError;
use tracing::info;

use crate::{CloudError, Figures};

/// Commands on their way to the driver. Each session's rows are bounded on their own; this bounds
/// the rest.
pub(crate) const COMMANDS: usize = 1024;
/// How long devices get to read why the driver failed.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// What the owner of the model left.
pub(crate) fn driver_outcome<T>(
    ended: Result<Result<T, String>, JoinError>,
) -> Result<T, CloudError> {
    match ended {
        Ok(Ok(left)) => Ok(left),
        Ok(Err(message)) => Err(CloudError::Scheduler(message)),
        Err(_) => Err(CloudError::Scheduler("its task is gone".to_owned())),
    }
}

/// The server has ended.
pub(crate) fn log_end(figures: Figures) {
    let Figures { batches, rows, overruns } = figures;
    info!(batches, rows, overruns, "cloud ends");
}
