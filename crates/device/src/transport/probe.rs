//! Cloud probe: asks a cloud whether it would take this device.

use super::{error::TransportError, status::describe};
use crate::parts::DeviceParts;
use std::time::{Duration, Instant};
use tokio::{runtime::Handle, time::timeout};
use tonic::transport::Channel;
use tricorn_core::{Fingerprint, Formats, SessionLimits, Split};
use tricorn_wire::{
    Description, ErrorCode, Failure,
    limits::max_message_bytes,
    proto::{DescribeRequest, middle_client::MiddleClient},
    transport::{client, endpoint},
};

/// Asks a cloud what it serves, over one connection that is kept and opened again where it was
/// lost. No session is opened.
#[derive(Clone, Debug)]
pub struct CloudProbe {
    client: MiddleClient<Channel>,
    url: String,
    fingerprint: Fingerprint,
    split: Split,
    formats: Formats,
}

impl CloudProbe {
    /// A probe of the cloud at `url`, not yet connected.
    ///
    /// # Errors
    /// [`TransportError::Wire`] when `url` is no address.
    pub fn new(url: &str, parts: &DeviceParts, runtime: &Handle) -> Result<Self, TransportError> {
        let _inside = runtime.enter();
        let channel = endpoint(url)?.connect_lazy();
        // A description is shorter than any message with rows.
        let limits = SessionLimits {
            context: parts.context,
            max_append_rows: parts.context,
            max_queued_rows: parts.context,
        };
        let client = client(channel, max_message_bytes(limits, parts.codec, parts.hidden));
        Ok(Self {
            client,
            url: url.to_owned(),
            fingerprint: parts.fingerprint,
            split: parts.split,
            formats: parts.formats,
        })
    }

    /// The cloud's description, if it serves what this device needs.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] when no cloud answers within `limit`,
    /// [`TransportError::Refused`] when it serves another model or split, or in other formats.
    pub async fn ask(&self, limit: Duration) -> Result<Description, TransportError> {
        let asked = Instant::now();
        let unreachable = |reason: String| TransportError::Unreachable {
            url: self.url.clone(),
            attempts: 1,
            waited: asked.elapsed(),
            reason,
        };
        let response = match timeout(limit, self.client.clone().describe(DescribeRequest {})).await
        {
            Ok(answer) => answer.map_err(|status| unreachable(describe(&status)))?,
            Err(_) => return Err(unreachable(format!("no answer within {limit:?}"))),
        };
        let description = Description::try_from(response.into_inner())?;
        let refuse = |code, message| Err(Failure { code, message }.into());
        if description.fingerprint != self.fingerprint {
            let message = format!(
                "it serves model {}, this device holds {}; use the same model",
                description.fingerprint, self.fingerprint
            );
            return refuse(ErrorCode::WrongModel, message);
        }
        if description.split != self.split {
            let message = format!(
                "it splits the model at {}, this device at {}; use the same split",
                description.split, self.split
            );
            return refuse(ErrorCode::WrongSplit, message);
        }
        if let Some(message) = self.formats.mismatch("this device", description.formats, "it") {
            return refuse(ErrorCode::WrongModel, message);
        }
        Ok(description)
    }
}
