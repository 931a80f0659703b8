//! A GGUF file's keys and values, with access whose errors name the file, the key and what it
//! should be.

use std::collections::BTreeMap;

use crate::{config::MAX_LAYERS, error::ModelError};

/// A value as the file has it.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Number(Scalar, Vec<u8>),
    Numbers(Scalar, Vec<u8>),
    Text(String),
    Texts(Vec<String>),
}

/// The types of numbers, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

impl Scalar {
    /// By the number of `enum gguf_metadata_value_type`.
    pub(super) fn from_kind(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// A whole number, signs included; `None` for floats and booleans.
    fn integer(self, bytes: &[u8]) -> Option<i128> {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let (unsigned, unused) = (u64::from_le_bytes(wide), 64 - 8 * bytes.len() as u32);
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Some(unsigned.into()),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => {
                Some((((unsigned << unused) as i64) >> unused).into())
            }
            Self::F32 | Self::F64 | Self::Bool => None,
        }
    }

    /// A finite float or a whole number.
    fn float(self, bytes: &[u8]) -> Option<f64> {
        let float = match self {
            Self::F32 => f32::from_le_bytes(*bytes.first_chunk()?).into(),
            Self::F64 => f64::from_le_bytes(*bytes.first_chunk()?),
            _ => self.integer(bytes)? as f64,
        };
        float.is_finite().then_some(float)
    }
}

/// All keys of a file.
#[derive(Debug)]
pub(super) struct Metadata {
    file: String,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    pub(super) fn new(file: &str, values: BTreeMap<String, Value>) -> Self {
        Self { file: file.to_owned(), values }
    }

    pub(super) fn bad(&self, problem: String) -> ModelError {
        ModelError::Gguf { file: self.file.clone(), problem }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, ModelError> {
        self.get(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&[String]>, ModelError> {
        self.get(key, "a list of texts", |value| match value {
            Value::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.get(key, "true or false", |value| match value {
            Value::Number(Scalar::Bool, bytes) if bytes[0] < 2 => Some(bytes[0] == 1),
            _ => None,
        })
    }

    /// A whole number, or a list that holds the same one for every layer.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, ModelError> {
        self.get(key, "a whole number, the same for every layer", |value| match value {
            Value::Number(scalar, bytes) => u64::try_from(scalar.integer(bytes)?).ok(),
            Value::Numbers(scalar, bytes) => {
                let mut layers = bytes.chunks_exact(scalar.bytes());
                let first = layers.next()?;
                layers
                    .all(|layer| layer == first)
                    .then(|| scalar.integer(first).and_then(|n| u64::try_from(n).ok()))?
            }
            _ => None,
        })
    }

    /// Whole numbers that may differ from layer to layer: one number where all are equal, as
    /// `config.json` would have it.
    pub(super) fn counts(&self, key: &str) -> Result<Option<serde_json::Value>, ModelError> {
        let uneven = self.get(key, "a whole number, or a list of them", |value| match value {
            Value::Number(..) => Some(None),
            Value::Numbers(scalar, bytes) => {
                // More than any model has layers: a hostile list must not fill the memory.
                if bytes.len() / scalar.bytes() > MAX_LAYERS {
                    return None;
                }
                let count = |one| scalar.integer(one).and_then(|n| u64::try_from(n).ok());
                let counts: Vec<u64> =
                    bytes.chunks_exact(scalar.bytes()).map(count).collect::<Option<_>>()?;
                let first = *counts.first()?;
                Some(counts.iter().any(|count| *count != first).then_some(counts))
            }
            _ => None,
        })?;
        match uneven.flatten() {
            Some(counts) => Ok(Some(counts.into())),
            None => Ok(self.count(key)?.map(Into::into)),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.get(key, "a number", |value| match value {
            Value::Number(scalar, bytes) => scalar.float(bytes),
            _ => None,
        })
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, ModelError> {
        self.get(key, "a list of numbers", |value| match value {
            Value::Numbers(scalar, bytes) => {
                bytes.chunks_exact(scalar.bytes()).map(|one| scalar.float(one)).collect()
            }
            _ => None,
        })
    }

    /// The value of a key that the file must have.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, ModelError> {
        value.ok_or_else(|| self.bad(format!("{key} is missing")))
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(self.bad(format!("{key} must be {what}"))),
            },
        }
    }
}
