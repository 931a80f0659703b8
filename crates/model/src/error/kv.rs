//! Errors of KV caches.

use tricorn_kernels::KvFormat;

/// Reason why a cache cannot hold more positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The sequence is as long as the cache may grow.
    #[error(
        "a sequence of {wanted} tokens is over the context of {context}; shorten the prompt or \
         ask for fewer tokens"
    )]
    Context {
        /// Positions asked for.
        wanted: usize,
        /// Positions allowed.
        context: usize,
    },
    /// The pool that all sequences share has no memory left.
    #[error(
        "all {limit_bytes} bytes of KV memory are used up; try shorter texts, or give the cloud \
         more --kv-memory"
    )]
    Exhausted {
        /// The pool's size.
        limit_bytes: usize,
    },
    /// The accelerator has no memory for the positions asked for.
    #[error(
        "the accelerator has no room for the KV cache ({problem}); close sessions or limit their \
         memory"
    )]
    Device {
        /// What its driver said.
        problem: String,
    },
    /// The format is not one for accelerators.
    #[error("an accelerator has no KV cache in {format}; use --kv f16 or f32")]
    DeviceFormat {
        /// The pool's format.
        format: KvFormat,
    },
    /// Rows were addressed beyond the cache's end, which would leave a gap.
    #[error("rows at position {pos} leave a gap after the {len} positions held")]
    Gap {
        /// Position of the first row.
        pos: usize,
        /// Positions held.
        len: usize,
    },
}
