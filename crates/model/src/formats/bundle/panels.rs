//! Panels, matrices that were packed before: mapped from their file in the layout of the kernels,
//! so that loading them is no work.

use super::manifest::{Matrix, Packed};
use crate::{error::ModelError, formats::hf};
use memmap2::Mmap;
use std::{collections::BTreeMap, fs::File, ops::Range, path::Path, sync::Arc};
use tricorn_kernels::{PackedPart, PanelBytes, packed_bytes};

/// The file of packed matrices: safetensors, each tensor the bytes of one matrix and at a multiple
/// of 64.
pub(crate) const PANELS_FILE: &str = "panels.safetensors";

/// The packed matrices of a directory.
#[derive(Debug)]
pub(crate) struct Panels {
    map: Arc<Mmap>,
    matrices: BTreeMap<String, (Matrix, Range<usize>)>,
}

impl Panels {
    /// Maps the file and checks that it holds what the manifest promises, and nothing about the
    /// numbers.
    pub(crate) fn open(dir: &Path, packed: &Packed) -> Result<Self, ModelError> {
        let path = dir.join(PANELS_FILE);
        let weights = hf::open_file(&path)?;
        let map = map(&path)?;
        let mut matrices = BTreeMap::new();
        for (name, matrix) in &packed.panels {
            let info = weights.iter().find_map(|(found, info)| (found == name).then_some(info));
            let info = info.ok_or_else(|| ModelError::MissingTensor { name: name.clone() })?;
            let bytes = packed_bytes(matrix.dtype, matrix.inputs, matrix.outputs);
            // The file may have shrunk since its header was read.
            let range = usize::try_from(info.range.start)
                .ok()
                .zip(usize::try_from(info.range.end).ok())
                .map(|(start, end)| start..end);
            match range.filter(|range| range.end <= map.len() && Some(range.len()) == bytes) {
                Some(range) => matrices.insert(name.clone(), (*matrix, range)),
                None => {
                    let problem =
                        format!("tensor {name} does not have the bytes of its shape and format");
                    return Err(ModelError::Corrupt { file: path.display().to_string(), problem });
                }
            };
        }
        Ok(Self { map, matrices })
    }

    /// A matrix of this shape, ready for a kernel.
    pub(crate) fn part(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<PackedPart, ModelError> {
        let (matrix, range) = self
            .matrices
            .get(name)
            .ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        if (matrix.outputs, matrix.inputs) != (outputs, inputs) {
            let found = vec![matrix.outputs, matrix.inputs];
            return Err(ModelError::WrongShape {
                name: name.to_owned(),
                found,
                expected: vec![outputs, inputs],
            });
        }
        let bytes = PanelBytes::Mapped { map: Arc::clone(&self.map), range: range.clone() };
        Ok(PackedPart { dtype: matrix.dtype, outputs, bytes })
    }

    /// All matrices with their bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Matrix, usize)> {
        self.matrices.iter().map(|(name, (matrix, range))| (name.as_str(), *matrix, range.len()))
    }
}

/// Read-only mapping of a whole file.
#[allow(unsafe_code)]
fn map(path: &Path) -> Result<Arc<Mmap>, ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    // SAFETY: the mapping is read-only, and numbers of any bit pattern are valid. That nobody
    // changes or shrinks the file meanwhile, no program can enforce: as with every loader of mapped
    // weights, packed files must not be edited in place while they are in use.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    // Only a hint: the system reads the file while the rest is set up.
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::WillNeed);
    Ok(Arc::new(map))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::manifest::LAYOUT;
    use tricorn_kernels::{Dtype, Linear, RawTensor, quant::encode};

    /// Whoever changes what panels look like must change [`LAYOUT`], so that files of the old one
    /// are refused and not misread.
    #[test]
    fn a_layout_has_one_number() {
        let (inputs, outputs) = (256, 40);
        let values: Vec<f32> =
            (0..inputs * outputs).map(|i| ((i * 7919) % 1021) as f32 / 512.0 - 1.0).collect();
        let mut hasher = blake3::Hasher::new();
        for dtype in Dtype::ALL {
            let mut bytes = vec![0; dtype.bytes(values.len()).unwrap()];
            encode(dtype, &values, &mut bytes).unwrap();
            for part in Linear::pack(&[RawTensor { dtype, bytes: &bytes }], inputs, None).parts() {
                hasher.update(&part.bytes);
            }
        }
        let found = hasher.finalize().to_hex();
        assert_eq!((LAYOUT, &found[..16]), (1, "1df1e25d6de1ea9d"));
    }
}
