//! Storage of packed weights: in memory of their own, or in a mapped file.

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use memmap2::{Mmap, MmapMut};

/// Alignment of packed weights: one cache line.
pub(crate) const ALIGNMENT: usize = 64;
/// From this size on, memory is taken from the system in huge pages: the processor then looks up
/// 512 times fewer addresses.
const PAGES_FROM: usize = 2 << 20;

/// Packed weights in memory of their own or in a mapped file, aligned to 64 bytes where they are
/// used.
pub enum PanelBytes {
    /// Memory of their own.
    Owned(Owned),
    /// A part of a mapped file.
    Mapped {
        /// The file.
        map: Arc<Mmap>,
        /// Which of its bytes; none where they lie outside it.
        range: Range<usize>,
    },
}

impl PanelBytes {
    /// Whether the bytes begin at a multiple of 64.
    pub fn is_aligned(&self) -> bool {
        self.as_ptr().addr().is_multiple_of(ALIGNMENT)
    }
}

impl Deref for PanelBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(owned) => owned,
            Self::Mapped { map, range } => map.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl std::fmt::Debug for PanelBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if matches!(self, Self::Owned(_)) { "owned" } else { "mapped" };
        write!(f, "{} bytes, {kind}", self.len())
    }
}

/// Zeroed, aligned memory.
pub enum Owned {
    /// From the allocator, which reuses what was freed: for matrices that live for one product.
    Heap { lines: Vec<CacheLine>, len: usize },
    /// From the system.
    Pages(MmapMut),
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct CacheLine([u8; ALIGNMENT]);

impl Owned {
    /// Memory from the allocator.
    pub fn heap(len: usize) -> Self {
        Self::Heap { lines: vec![CacheLine([0; ALIGNMENT]); len.div_ceil(ALIGNMENT)], len }
    }

    /// Memory for weights that stay: in huge pages where they are large and the system gives them.
    pub fn lasting(len: usize) -> Self {
        if len < PAGES_FROM {
            return Self::heap(len);
        }
        let Ok(pages) = MmapMut::map_anon(len) else { return Self::heap(len) };
        // Only a hint: without huge pages everything works, if slower.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Self::Pages(pages)
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap { lines, len } => {
                // SAFETY: lines are plain bytes without padding, as many as the vector holds; `len`
                // does not exceed them.
                #[allow(unsafe_code)]
                unsafe {
                    std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), *len)
                }
            }
            Self::Pages(pages) => pages,
        }
    }
}

impl Deref for Owned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap { lines, len } => {
                // SAFETY: as in `bytes_mut`.
                #[allow(unsafe_code)]
                unsafe {
                    std::slice::from_raw_parts(lines.as_ptr().cast(), *len)
                }
            }
            Self::Pages(pages) => pages,
        }
    }
}
