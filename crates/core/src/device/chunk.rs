//! Chunk policy: how a prompt is cut for the upload.

use super::{
    overlap::{best_rows, window_rows},
    pipeline::Pipeline,
};
use crate::monitor::Conditions;

/// The size of a prompt's chunks, in rows. Smaller ones let the cloud compute while the link still
/// carries the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkPolicy {
    /// As large as the cloud accepts.
    #[default]
    Whole,
    /// This many rows; 0 counts as 1.
    Fixed(usize),
    /// As large as is best by what is known of device, link and cloud, decided again for every
    /// chunk; and no more under way than link and cloud can hold. See [`best_rows`] and
    /// [`window_rows`].
    Dynamic,
}

impl ChunkPolicy {
    /// Rows of the next chunk when `left` are still to be sent, the cloud accepts `most` at a time
    /// and `in_flight` are under way, as far as `pipeline` says: at least 1, so that uploads
    /// advance whatever a cloud states. `None` when enough is under way already.
    pub(super) fn rows<'c>(
        self,
        left: usize,
        most: usize,
        in_flight: usize,
        pipeline: impl FnOnce() -> Option<Pipeline<'c>>,
        conditions: &'c Conditions,
    ) -> Option<usize> {
        let wish = match self {
            Self::Whole => left,
            Self::Fixed(rows) => rows.min(left),
            Self::Dynamic => best_rows(left, most, pipeline(), conditions),
        };
        let rows = wish.min(most).max(1);
        let enough = self == Self::Dynamic
            && in_flight > 0
            && in_flight + rows > window_rows(rows, conditions);
        (!enough).then_some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_holds_what_all_bounds_allow() {
        let rows = |policy: ChunkPolicy, left, most, in_flight| {
            policy.rows(left, most, in_flight, || None, &Conditions::default())
        };
        assert_eq!(rows(ChunkPolicy::Whole, 100, 64, 0), Some(64));
        assert_eq!(rows(ChunkPolicy::Whole, 10, 64, 500), Some(10));
        assert_eq!(rows(ChunkPolicy::Fixed(7), 100, 64, 500), Some(7));
        assert_eq!(rows(ChunkPolicy::Fixed(7), 3, 64, 0), Some(3));
        assert_eq!(rows(ChunkPolicy::Fixed(0), 3, 0, 0), Some(1));
        assert_eq!(rows(ChunkPolicy::Dynamic, 1000, 512, 192), Some(64));
        assert_eq!(rows(ChunkPolicy::Dynamic, 1000, 512, 193), None);
        assert_eq!(rows(ChunkPolicy::Dynamic, 3, 0, 0), Some(1));
    }
}
