//! Description: what a cloud serves, at which limits.

use tricorn_core::{Fingerprint, Formats, HiddenCodec, SessionLimits, Split};

use crate::{Load, WireError, convert, formats::formats, proto};

/// The answer to `Describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The model whose middle is served.
    pub fingerprint: Fingerprint,
    /// Where the model is cut.
    pub split: Split,
    /// Values in one hidden row.
    pub hidden: usize,
    /// Decoder layers of the whole model.
    pub layers: usize,
    /// Codecs the cloud can speak, in its order of preference.
    pub codecs: Vec<HiddenCodec>,
    /// What each session is held to.
    pub limits: SessionLimits,
    /// Load and throughput of the cloud now.
    pub load: Load,
    /// What it holds its numbers in.
    pub formats: Formats,
}

impl From<Description> for proto::DescribeResponse {
    fn from(description: Description) -> Self {
        Self {
            model_fingerprint: convert::fingerprint_bytes(description.fingerprint),
            split: Some(convert::proto_split(description.split)),
            hidden: convert::to_u64(description.hidden),
            layers: convert::to_u64(description.layers),
            codecs: convert::proto_codecs(&description.codecs),
            limits: Some(convert::proto_limits(description.limits)),
            load: Some(description.load.into()),
            formats: Some(description.formats.into()),
        }
    }
}

impl TryFrom<proto::DescribeResponse> for Description {
    type Error = WireError;

    fn try_from(response: proto::DescribeResponse) -> Result<Self, WireError> {
        Ok(Self {
            fingerprint: convert::fingerprint(
                "describe.model_fingerprint",
                &response.model_fingerprint,
            )?,
            split: convert::split(convert::required("describe.split", response.split)?)?,
            hidden: convert::to_usize("describe.hidden", response.hidden)?,
            layers: convert::to_usize("describe.layers", response.layers)?,
            codecs: convert::known_codecs(&response.codecs),
            limits: convert::limits(convert::required("describe.limits", response.limits)?)?,
            load: response.load.unwrap_or_default().try_into()?,
            formats: formats(response.formats)?,
        })
    }
}
