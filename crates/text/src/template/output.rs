//! Output of a template, up to a limit.

use std::io;

use super::failed;
use crate::error::TextError;

#[derive(Debug)]
pub(super) struct Limited {
    written: Vec<u8>,
    limit: usize,
}

impl Limited {
    pub(super) fn new(limit: usize) -> Self {
        Self { written: Vec::new(), limit }
    }

    pub(super) fn into_text(self) -> Result<String, TextError> {
        String::from_utf8(self.written).map_err(|e| failed(e.to_string()))
    }
}

impl io::Write for Limited {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.limit - self.written.len() < piece.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
