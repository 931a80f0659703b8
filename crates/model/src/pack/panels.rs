//! Writes matrices as the kernels want them, one at a time.

use super::cannot;
use crate::{
    error::ModelError,
    formats::bundle::manifest::Matrix,
    source::{ModelSource, packed_name},
    weights::{Stored, TensorInfo},
};
use serde_json::json;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};
use tricorn_kernels::packed_bytes;

/// What kernels want their weights aligned to, in bytes.
const ALIGNMENT: usize = 64;

/// A matrix that is to be packed.
pub(super) struct Panel {
    pub(super) name: String,
    pub(super) matrix: Matrix,
    bytes: usize,
}

impl Panel {
    pub(super) fn new(
        source: &ModelSource,
        name: &str,
        info: &TensorInfo,
    ) -> Result<Self, ModelError> {
        let unsupported = || ModelError::UnsupportedDtype {
            name: name.to_owned(),
            dtype: info.stored.to_string(),
        };
        let (Stored::Known(stored), &[outputs, inputs]) = (info.stored, info.shape.as_slice())
        else {
            return Err(unsupported());
        };
        let matrix = Matrix { dtype: source.held_as(name, stored, inputs), outputs, inputs };
        let bytes = packed_bytes(matrix.dtype, inputs, outputs).ok_or_else(unsupported)?;
        Ok(Self { name: name.to_owned(), matrix, bytes })
    }
}

/// Writes a safetensors file whose data begins at a multiple of 64, as each matrix then does;
/// returns the bytes of the matrices.
pub(super) fn write(
    source: &ModelSource,
    panels: &[Panel],
    path: &Path,
) -> Result<usize, ModelError> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for panel in panels {
        let start = end;
        end += panel.bytes;
        let entry = json!({ "dtype": "U8", "shape": [panel.bytes], "data_offsets": [start, end] });
        header.insert(packed_name(&panel.name).to_owned(), entry);
    }
    let mut header = serde_json::Value::from(header).to_string();
    while !(8 + header.len()).is_multiple_of(ALIGNMENT) {
        header.push(' ');
    }
    let mut file = BufWriter::new(File::create(path).map_err(cannot(path))?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(cannot(path))?;
    file.write_all(header.as_bytes()).map_err(cannot(path))?;
    for Panel { name, matrix, .. } in panels {
        let linear = source.linear(&[(name.clone(), matrix.outputs)], matrix.inputs, None)?;
        for part in linear.parts() {
            file.write_all(&part.bytes).map_err(cannot(path))?;
        }
    }
    file.flush().map_err(cannot(path))?;
    Ok(end)
}
