//! The same model on an accelerator, through candle: decoder layers, KV caches and the head live on
//! a GPU; embedding, norms for trainers, drafters and everything else stay on the processor.
//!
//! Between the parts of a model rows are in host memory, because that is where they are sent from,
//! so each part uploads its rows and downloads the result. Matrices compute in the format they are
//! stored in, all else in f32.
//!
//! Row independence is not promised here: the vendor's libraries choose kernels by the shape of a
//! call, so a row's last bits may depend on how many rows share it.

#[cfg(feature = "candle")]
mod attention;
#[cfg_attr(not(feature = "candle"), path = "accelerator/absent_head.rs")]
mod head;
#[cfg_attr(not(feature = "candle"), path = "accelerator/absent_layers.rs")]
mod layers;
#[cfg(feature = "candle")]
mod matrix;

pub(crate) use head::Head;
pub(crate) use layers::Layers;
