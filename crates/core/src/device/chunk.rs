//! How a prompt is cut for the upload.

/// The size of a prompt's chunks, in rows. Smaller ones let the cloud compute while the link still carries the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkPolicy {
    /// As large as the cloud accepts.
    #[default]
    Whole,
    /// This many rows; 0 counts as 1.
    Fixed(usize),
}

impl ChunkPolicy {
    /// Rows of the next chunk when `left` are still to be sent and the cloud accepts `most` at a time: at least 1, so that uploads advance
    /// whatever a cloud states.
    #[must_use]
    pub fn rows(self, left: usize, most: usize) -> usize {
        let wish = match self {
            Self::Whole => left,
            Self::Fixed(rows) => rows.min(left),
        };
        wish.min(most).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_holds_what_all_bounds_allow() {
        assert_eq!(ChunkPolicy::Whole.rows(100, 64), 64);
        assert_eq!(ChunkPolicy::Whole.rows(10, 64), 10);
        assert_eq!(ChunkPolicy::Fixed(7).rows(100, 64), 7);
        assert_eq!(ChunkPolicy::Fixed(7).rows(3, 64), 3);
        assert_eq!(ChunkPolicy::Fixed(0).rows(3, 0), 1);
    }
}
