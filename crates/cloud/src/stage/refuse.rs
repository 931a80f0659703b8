//! Refusal of devices that connect to a later stage.

use std::ops::Range;

use tokio_stream::Once;
use tonic::{Request, Response, Status, Streaming, async_trait};
use tricorn_wire::{Downlink, ErrorCode, Failure, proto};

/// Takes no device.
pub(crate) struct RefuseDevices {
    /// The layers that are here, and the middle's first.
    pub(crate) held: Range<usize>,
    pub(crate) first: usize,
}

impl RefuseDevices {
    fn failure(&self) -> Failure {
        let Self { held, first } = self;
        let message = format!(
            "this cloud holds layers {}..{}, a later stage of the middle; connect to the cloud \
             that holds layer {first}",
            held.start, held.end
        );
        Failure { code: ErrorCode::NotFirstStage, message }
    }
}

#[async_trait]
impl proto::middle_server::Middle for RefuseDevices {
    type SessionStream = Once<Result<proto::Downlink, Status>>;

    async fn describe(
        &self,
        _: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeResponse>, Status> {
        Err(Status::failed_precondition(self.failure().message))
    }

    async fn session(
        &self,
        _: Request<Streaming<proto::Uplink>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Ok(Response::new(tokio_stream::once(Ok(Downlink::Failed(self.failure()).into()))))
    }
}
