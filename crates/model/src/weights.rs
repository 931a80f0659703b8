//! Tensors by name: only the bytes of the tensors asked for are ever read. The formats of
//! [`formats`](crate::formats) fill them in.

pub(crate) mod storage;

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};

use crate::error::{ModelError, one_line};
use storage::Storage;
use tricorn_kernels::{Dtype, RawTensor, quant::decode};

/// A tensor as it is stored, with its bytes; see [`RawTensor`].
#[derive(Clone, Debug)]
pub struct StoredTensor<'a> {
    /// Format of the numbers.
    pub dtype: Dtype,
    /// All the numbers; borrowed where the weights are built into the program.
    pub bytes: Cow<'a, [u8]>,
}

impl StoredTensor<'_> {
    /// The numbers, borrowed.
    #[must_use]
    pub fn view(&self) -> RawTensor<'_> {
        RawTensor { dtype: self.dtype, bytes: &self.bytes }
    }
}

/// A number format found in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// One that models can be computed from.
    Known(Dtype),
    /// Any other; [`Weights::raw`] refuses it.
    Other(::safetensors::Dtype),
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(dtype) => dtype.fmt(f),
            Self::Other(other) => write!(f, "{other:?}"),
        }
    }
}

/// One stored tensor's description.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Shape, outputs first.
    pub shape: Vec<usize>,
    /// Format in the file.
    pub stored: Stored,
    pub(crate) range: Range<u64>,
    pub(crate) file: usize,
    pub(crate) rotary: Option<Interleaved>,
}

/// Rows that the file keeps in ggml's order for rotary positions: of a head's pairs `(i, i + width
/// / 2)` the halves side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interleaved {
    /// Rows of one head, an even number that divides all rows.
    pub(crate) head_dim: usize,
}

impl Interleaved {
    /// Where the file has row `row`.
    fn stored_row(self, row: usize) -> usize {
        let (head, within) = (row / self.head_dim, row % self.head_dim);
        let half = self.head_dim / 2;
        head * self.head_dim + within % half * 2 + within / half
    }
}

impl TensorInfo {
    /// Bytes in the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// Where the file has row `row`.
    fn stored_row(&self, row: usize) -> usize {
        self.rotary.map_or(row, |rotary| rotary.stored_row(row))
    }
}

/// A model's tensors, from one file or several shards.
#[derive(Debug)]
pub struct Weights {
    files: Vec<Storage>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Weights {
    /// Whether a tensor of this name exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors with their descriptions, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// Reads the stored numbers of a tensor, which must have this shape. Rows come in the order of
    /// Hugging Face transformers, whatever the file's.
    ///
    /// # Errors
    /// When the tensor is missing, has another shape, is stored in a format that is no [`Dtype`],
    /// or cannot be read.
    pub fn raw(&self, name: &str, shape: &[usize]) -> Result<StoredTensor<'_>, ModelError> {
        let (info, dtype) = self.known(name, shape)?;
        Ok(StoredTensor { dtype, bytes: self.read(info)? })
    }

    /// The numbers of a tensor as `f32`.
    ///
    /// # Errors
    /// As [`Weights::raw`].
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        Ok(self.raw(name, shape)?.view().to_f32())
    }

    /// Checks that [`Weights::raw`] would find the tensor, without reading it.
    ///
    /// # Errors
    /// As [`Weights::raw`], short of reading.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), ModelError> {
        self.known(name, shape).map(|_| ())
    }

    /// Reads the row of `token` of a table and appends its numbers to `out` as `f32`.
    ///
    /// # Errors
    /// As [`Weights::raw`], and when the table has no such row.
    pub fn row(
        &self,
        name: &str,
        table: [usize; 2],
        token: u32,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let (info, dtype) = self.known(name, &table)?;
        let row = usize::try_from(token)
            .ok()
            .filter(|row| *row < table[0])
            .ok_or(ModelError::Token { token, vocab: table[0] })?;
        let bytes = info.bytes() / table[0];
        let stored = info.stored_row(row) * bytes;
        decode(dtype, &self.read_stored(info, stored..stored + bytes)?, out);
        Ok(())
    }

    /// Reads a tensor of this source, rows in the order of Hugging Face transformers.
    ///
    /// # Errors
    /// When the file cannot be read, or has shrunk.
    pub fn read(&self, info: &TensorInfo) -> Result<Cow<'_, [u8]>, ModelError> {
        let stored = self.read_stored(info, 0..info.bytes())?;
        if info.rotary.is_none() {
            return Ok(stored);
        }
        let rows = info.shape.first().copied().unwrap_or(1);
        let width = stored.len() / rows;
        let mut bytes = Vec::with_capacity(stored.len());
        for row in 0..rows {
            bytes.extend_from_slice(&stored[info.stored_row(row) * width..][..width]);
        }
        Ok(Cow::Owned(bytes))
    }

    /// Reads some of a tensor's bytes, numbered and ordered as in the file.
    pub(crate) fn read_stored(
        &self,
        info: &TensorInfo,
        bytes: Range<usize>,
    ) -> Result<Cow<'_, [u8]>, ModelError> {
        let start = info.range.start;
        self.files[info.file].read(start + bytes.start as u64..start + bytes.end as u64)
    }

    /// Takes a tensor of plain bytes for a matrix in a format that the file has no name for.
    pub(crate) fn take_as(
        &mut self,
        name: &str,
        dtype: Dtype,
        shape: [usize; 2],
    ) -> Result<(), ModelError> {
        let info = self
            .tensors
            .get_mut(name)
            .ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        if shape[0].checked_mul(shape[1]).and_then(|count| dtype.bytes(count)) != Some(info.bytes())
        {
            return Err(ModelError::WrongShape {
                name: name.to_owned(),
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        (info.stored, info.shape) = (Stored::Known(dtype), shape.to_vec());
        Ok(())
    }

    pub(crate) fn empty() -> Self {
        Self { files: Vec::new(), tensors: BTreeMap::new() }
    }

    /// Adds a file and what it holds.
    pub(crate) fn add(
        &mut self,
        storage: Storage,
        tensors: Vec<(String, TensorInfo)>,
    ) -> Result<(), ModelError> {
        for (name, mut info) in tensors {
            if name.contains(char::is_control) {
                let problem =
                    format!("tensor {} has control characters in its name", one_line(&name));
                return Err(ModelError::Corrupt { file: storage.name().to_owned(), problem });
            }
            info.file = self.files.len();
            if let Some(twice) = self.tensors.insert(name.clone(), info).map(|_| name) {
                let problem = format!("tensor {twice} is there twice, or also in another shard");
                return Err(ModelError::Corrupt { file: storage.name().to_owned(), problem });
            }
        }
        self.files.push(storage);
        Ok(())
    }

    fn known(&self, name: &str, shape: &[usize]) -> Result<(&TensorInfo, Dtype), ModelError> {
        let info = self
            .tensors
            .get(name)
            .ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        if info.shape != shape {
            return Err(ModelError::WrongShape {
                name: name.to_owned(),
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        match info.stored {
            Stored::Known(dtype) => Ok((info, dtype)),
            Stored::Other(_) => Err(ModelError::UnsupportedDtype {
                name: name.to_owned(),
                dtype: info.stored.to_string(),
            }),
        }
    }
}
