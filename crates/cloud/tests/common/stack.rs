//! Stack of toys: what a chain of stages computes, in one place.

use tricorn_cloud::{BatchEntry, MiddleModel};

use super::Toy;

/// Toys one after the other.
pub struct Stack(pub Vec<Toy>);

impl MiddleModel for Stack {
    type Kv = Vec<Vec<f32>>;
    type Error = String;

    fn hidden(&self) -> usize {
        self.0[0].hidden
    }

    fn new_kv(&self, context: usize) -> Self::Kv {
        self.0.iter().map(|toy| toy.new_kv(context)).collect()
    }

    fn prepare(&self, kv: &mut Self::Kv, pos: usize, rows: usize) -> Result<(), String> {
        self.0.iter().zip(kv).try_for_each(|(toy, kv)| toy.prepare(kv, pos, rows))
    }

    fn forward(&self, batch: &mut [BatchEntry<'_, Self::Kv>], x: &mut [f32]) -> Result<(), String> {
        for (layer, toy) in self.0.iter().enumerate() {
            let mut one: Vec<BatchEntry<'_, Vec<f32>>> = batch
                .iter_mut()
                .map(|entry| BatchEntry {
                    kv: &mut entry.kv[layer],
                    pos: entry.pos,
                    rows: entry.rows,
                })
                .collect();
            toy.forward(&mut one, x)?;
        }
        Ok(())
    }
}
