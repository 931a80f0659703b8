//! The bytes of one file of weights: read by position, or built into the program.

use std::{
    borrow::Cow,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::error::ModelError;

/// A file of weights.
///
/// Files are read, not mapped: weights are packed into the kernels' layout anyway, reading costs
/// one copy from the page cache, the process holds no pages of the file, and a file that shrinks
/// under the reader is an error where a mapping would end the process.
#[derive(Debug)]
pub(crate) struct Storage {
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File { file: File, path: PathBuf, length: u64 },
    Static(&'static [u8]),
}

impl Storage {
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let io = |source| ModelError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Ok(Self {
            name: path.display().to_string(),
            content: Content::File { file, path: path.to_owned(), length },
        })
    }

    pub(crate) fn from_static(name: &str, bytes: &'static [u8]) -> Self {
        Self { name: name.to_owned(), content: Content::Static(bytes) }
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes it had when it was opened.
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::File { length, .. } => *length,
            Content::Static(bytes) => bytes.len() as u64,
        }
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    /// When the file ends before, or cannot be read.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Cow<'static, [u8]>, ModelError> {
        let truncated =
            |found| ModelError::Truncated { file: self.name.clone(), expected: range.end, found };
        // Before anything is allocated: a header may announce any length.
        if range.end > self.len() {
            return Err(truncated(self.len()));
        }
        match &self.content {
            // Inside the slice, so inside the address space.
            Content::Static(bytes) => {
                Ok(Cow::Borrowed(&bytes[range.start as usize..range.end as usize]))
            }
            Content::File { file, path, .. } => {
                let length =
                    usize::try_from(range.end - range.start).map_err(|_| truncated(self.len()))?;
                let mut bytes = vec![0; length];
                match read_exact_at(file, &mut bytes, range.start) {
                    Ok(()) => Ok(Cow::Owned(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        Err(truncated(file.metadata().map_or(0, |now| now.len())))
                    }
                    Err(source) => Err(ModelError::Io { path: path.clone(), source }),
                }
            }
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
