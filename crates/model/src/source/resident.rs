//! The memory that weights take once they are loaded, from the headers alone.

use super::ModelSource;
use crate::formats::bundle::manifest::Matrix;
use crate::{
    formats::names::{EMBEDDING, head_name, layer_of},
    weights::Stored,
};
use std::collections::BTreeMap;
use tricorn_kernels::packed_bytes;

/// Matrices that are stacked in one dense layer, in this order.
const STACKS: [&[&str]; 2] = [&["q_proj", "k_proj", "v_proj"], &["gate_proj", "up_proj"]];

/// Bytes of every tensor that stays in memory, with the decoder layer it belongs to; `None` for
/// final norm and head.
pub(crate) fn resident(source: &ModelSource) -> Vec<(Option<usize>, usize)> {
    let layers = source.config().layers;
    let head = head_name(source.config().tied);
    let mut sizes = Vec::new();
    let mut stacks: BTreeMap<(usize, usize), Vec<(usize, Matrix)>> = BTreeMap::new();
    for (name, info) in source.weights().iter() {
        let layer = layer_of(name);
        if layer.is_some_and(|layer| layer >= layers)
            || layer.is_none() && name != head && name != "model.norm.weight"
        {
            continue;
        }
        let (&[outputs, inputs], Stored::Known(stored)) = (info.shape.as_slice(), info.stored)
        else {
            sizes.push((layer, info.shape.iter().product::<usize>() * size_of::<f32>()));
            continue;
        };
        let dtype = source.held_as(name, stored, inputs);
        let place = STACKS.iter().enumerate().find_map(|(stack, parts)| {
            let part = parts.iter().position(|part| name.split('.').any(|word| word == *part))?;
            Some((stack, part))
        });
        match (layer, place) {
            (Some(layer), Some((stack, part))) => stacks
                .entry((layer, stack))
                .or_default()
                .push((part, Matrix { dtype, outputs, inputs })),
            // Of a packed model the table is there for its rows only.
            _ if source.is_packed() && name == EMBEDDING => {}
            _ => sizes.push((layer, packed_bytes(dtype, inputs, outputs).unwrap_or_default())),
        }
    }
    for ((layer, _), mut parts) in stacks {
        parts.sort_unstable_by_key(|(part, ..)| *part);
        // Neighbours of one format share panels.
        for run in parts.chunk_by(|(_, a), (_, b)| a.dtype == b.dtype) {
            let outputs = run.iter().map(|(_, matrix)| matrix.outputs).sum();
            let bytes = run
                .first()
                .and_then(|(_, matrix)| packed_bytes(matrix.dtype, matrix.inputs, outputs));
            sizes.push((Some(layer), bytes.unwrap_or_default()));
        }
    }
    sizes.extend(source.packed().map(|(name, _, bytes)| (layer_of(name), bytes)));
    sizes
}
