//! The bytes before the weights, every length checked before it is believed.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    MAGIC,
    metadata::{Metadata, Scalar, Value},
};
use crate::{
    error::{ModelError, one_line},
    weights::{Stored, TensorInfo, storage::Storage},
};
use tricorn_kernels::Dtype;

/// Several times the largest vocabulary with its merges.
const MAX_HEADER: u64 = 128 << 20;
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;

/// What a file announces.
pub(super) struct Header {
    pub(super) metadata: Metadata,
    /// By the file's names, shapes outputs first; every range is checked to lie inside the file and
    /// outside the others.
    pub(super) tensors: Vec<(String, TensorInfo)>,
}

pub(super) fn read(storage: &Storage) -> Result<Header, ModelError> {
    let mut reader = Reader { storage, at: 0, chunk: Cow::Borrowed(&[]), chunk_start: 0 };
    if reader.array()? != *MAGIC {
        return Err(reader.bad("it does not begin with GGUF"));
    }
    match reader.u32()? {
        2 | 3 => {}
        version if matches!(version.swap_bytes(), 1..=3) => {
            return Err(reader.bad("it is written for big-endian machines"));
        }
        version => {
            return Err(reader.bad(&format!("its version is {version}; 2 and 3 are supported")));
        }
    }
    let (tensor_count, value_count) = (reader.u64()?, reader.u64()?);

    let mut values = BTreeMap::new();
    for _ in 0..value_count {
        let key = reader.name()?;
        let value = reader.value()?;
        if let Some(twice) = values.insert(key.clone(), value).map(|_| key) {
            return Err(reader.bad(&format!("{twice} is there twice")));
        }
    }
    let metadata = Metadata::new(storage.name(), values);

    let mut entries = Vec::new();
    for _ in 0..tensor_count {
        entries.push(reader.tensor()?);
    }
    let alignment = metadata.count("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() {
        return Err(
            reader.bad(&format!("general.alignment is {alignment}; it must be a power of two"))
        );
    }
    let data = reader
        .at
        .checked_next_multiple_of(alignment)
        .ok_or_else(|| reader.bad("general.alignment is beyond the file"))?;
    place(&reader, &mut entries, data, alignment)?;
    Ok(Header { metadata, tensors: entries })
}

/// Makes the tensors' offsets positions in the file, and checks them.
fn place(
    reader: &Reader<'_>,
    tensors: &mut [(String, TensorInfo)],
    data: u64,
    alignment: u64,
) -> Result<(), ModelError> {
    let found = reader.storage.len();
    for (name, info) in tensors.iter_mut() {
        if !info.range.start.is_multiple_of(alignment) {
            return Err(reader.bad(&format!("tensor {name} is not aligned to {alignment} bytes")));
        }
        match (data.checked_add(info.range.start), data.checked_add(info.range.end)) {
            (Some(start), Some(end)) if end <= found => info.range = start..end,
            (_, Some(expected)) => {
                return Err(ModelError::Truncated {
                    file: reader.storage.name().to_owned(),
                    expected,
                    found,
                });
            }
            (_, None) => {
                return Err(reader.bad(&format!("tensor {name} is beyond the end of any file")));
            }
        }
    }
    let mut ranges: Vec<_> =
        tensors.iter().map(|(name, info)| (info.range.clone(), name)).collect();
    ranges.sort_unstable_by_key(|(range, _)| (range.start, range.end));
    match ranges.iter().zip(ranges.iter().skip(1)).find(|((a, _), (b, _))| a.end > b.start) {
        Some(((_, first), (_, second))) => {
            Err(reader.bad(&format!("tensors {first} and {second} overlap")))
        }
        None => Ok(()),
    }
}

/// Reads forward through the header.
struct Reader<'a> {
    storage: &'a Storage,
    at: u64,
    chunk: Cow<'static, [u8]>,
    chunk_start: u64,
}

impl Reader<'_> {
    fn bad(&self, problem: &str) -> ModelError {
        ModelError::Gguf { file: self.storage.name().to_owned(), problem: problem.to_owned() }
    }

    fn bytes(&mut self, count: u64) -> Result<&[u8], ModelError> {
        let found = self.storage.len();
        let end = self.at.checked_add(count).filter(|&end| end <= MAX_HEADER || end > found);
        let end = end.ok_or_else(|| {
            self.bad(&format!("its header is longer than {} MiB", MAX_HEADER >> 20))
        })?;
        if end > found {
            return Err(ModelError::Truncated {
                file: self.storage.name().to_owned(),
                expected: end,
                found,
            });
        }
        if end > self.chunk_start + self.chunk.len() as u64 {
            self.chunk = self.storage.read(self.at..end.max(self.at + CHUNK).min(found))?;
            self.chunk_start = self.at;
        }
        let from = (self.at - self.chunk_start) as usize;
        self.at = end;
        Ok(&self.chunk[from..from + count as usize])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let bytes = self.bytes(N as u64)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, ModelError> {
        let length = self.u64()?;
        let start = self.at;
        let text = std::str::from_utf8(self.bytes(length)?).map(str::to_owned);
        text.map_err(|_| self.bad(&format!("the text at byte {start} is not UTF-8")))
    }

    /// A text that errors may repeat.
    fn name(&mut self) -> Result<String, ModelError> {
        let name = self.text()?;
        if name.contains(char::is_control) {
            Err(self.bad(&format!("the name {} has control characters", one_line(&name))))
        } else {
            Ok(name)
        }
    }

    fn value(&mut self) -> Result<Value, ModelError> {
        match self.u32()? {
            8 => self.text().map(Value::Text),
            9 => match self.u32()? {
                8 => {
                    let count = self.u64()?;
                    let mut texts = Vec::new();
                    for _ in 0..count {
                        texts.push(self.text()?);
                    }
                    Ok(Value::Texts(texts))
                }
                9 => Err(self.bad("it has arrays of arrays, which are not supported")),
                kind => {
                    let scalar = self.scalar(kind)?;
                    let count = self.u64()?;
                    let bytes = count.saturating_mul(scalar.bytes() as u64);
                    Ok(Value::Numbers(scalar, self.bytes(bytes)?.to_vec()))
                }
            },
            kind => {
                let scalar = self.scalar(kind)?;
                Ok(Value::Number(scalar, self.bytes(scalar.bytes() as u64)?.to_vec()))
            }
        }
    }

    fn scalar(&self, kind: u32) -> Result<Scalar, ModelError> {
        Scalar::from_kind(kind).ok_or_else(|| {
            self.bad(&format!("a value before byte {} has the unknown type {kind}", self.at))
        })
    }

    /// A tensor whose range is relative to the data.
    fn tensor(&mut self) -> Result<(String, TensorInfo), ModelError> {
        let name = self.name()?;
        let dimensions = self.u32()?;
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(self.bad(&format!(
                "tensor {name} has {dimensions} dimensions; from 1 to {MAX_DIMENSIONS} are \
                 possible"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(usize::try_from(self.u64()?).unwrap_or(usize::MAX));
        }
        let kind = self.u32()?;
        let dtype = dtype(kind)
            .map_err(|dtype| ModelError::UnsupportedDtype { name: name.clone(), dtype })?;
        let offset = self.u64()?;
        let row = shape[0];
        let length = shape
            .iter()
            .try_fold(1_usize, |count, &size| count.checked_mul(size))
            .filter(|&count| count > 0 && row.is_multiple_of(dtype.block_len()))
            .and_then(|count| dtype.bytes(count))
            .ok_or_else(|| {
                self.bad(&format!("tensor {name} of {dtype} cannot have the shape {shape:?}"))
            })?;
        let end = offset
            .checked_add(length as u64)
            .ok_or_else(|| self.bad(&format!("tensor {name} is beyond the end of any file")))?;
        // ggml counts dimensions from the innermost.
        shape.reverse();
        Ok((
            name,
            TensorInfo {
                shape,
                stored: Stored::Known(dtype),
                range: offset..end,
                file: 0,
                rotary: None,
            },
        ))
    }
}

/// The formats of `enum ggml_type`; the name of one that is not supported is the error.
fn dtype(kind: u32) -> Result<Dtype, String> {
    let other = match kind {
        0 => return Ok(Dtype::F32),
        1 => return Ok(Dtype::F16),
        2 => return Ok(Dtype::Q4_0),
        8 => return Ok(Dtype::Q8_0),
        12 => return Ok(Dtype::Q4K),
        13 => return Ok(Dtype::Q5K),
        14 => return Ok(Dtype::Q6K),
        30 => return Ok(Dtype::Bf16),
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return Err(format!("the unknown type {kind}")),
    };
    Err(other.to_owned())
}
