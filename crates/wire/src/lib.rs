//! Tricorn's wire: the gRPC contract and the hidden-state codecs shared by both ends.
//!
//! [`Uplink`] and [`Downlink`] are the messages as either end uses them: every number, length and
//! enumeration checked. They convert to and from the generated types in [`proto`], which go over
//! the wire. Hidden rows stay encoded until [`Append::decode`] or [`Deep::decode`]. [`StageUp`] and
//! [`StageDown`] are the same between clouds that share a middle.

#![forbid(unsafe_code)]

pub mod codec;
mod convert;
mod describe;
mod downlink;
mod error;
mod formats;
#[allow(missing_docs, unreachable_pub, clippy::all)]
#[rustfmt::skip]
mod generated;
pub mod limits;
mod load;
mod stage;
mod timing;
pub mod transport;
mod uplink;

/// The types and the gRPC client and server generated from `proto/tricorn/v1/tricorn.proto`.
pub mod proto {
    pub use crate::generated::*;
}

pub use describe::Description;
pub use downlink::{Deep, Downlink, Failure, Opened};
pub use error::WireError;
pub use load::Load;
pub use proto::ErrorCode;
pub use stage::{StageBatch, StageDone, StageDown, StageOpen, StageOpened, StageUp};
pub use uplink::{Append, Open, Uplink};

#[cfg(test)]
mod tests {
    /// Must equal the function of the same name in tools/protogen.
    fn fnv1a64(text: &str) -> u64 {
        text.bytes().filter(|&byte| byte != b'\r').fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    #[test]
    fn generated_code_is_up_to_date() {
        let hash = fnv1a64(include_str!("../../../proto/tricorn/v1/tricorn.proto"));
        let written = include_str!("generated.rs")
            .lines()
            .find_map(|line| line.strip_prefix("// proto-fnv1a64: "))
            .unwrap();
        assert_eq!(
            written,
            format!("{hash:016x}"),
            "tricorn.proto changed; run `cargo run --manifest-path tools/protogen/Cargo.toml` and \
             commit generated.rs"
        );
    }
}
