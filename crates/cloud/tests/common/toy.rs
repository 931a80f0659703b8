//! A middle without weights whose rows depend on every row before them, so that a wrong truncation
//! shows.

use std::sync::{Arc, Condvar, Mutex};

use tricorn_cloud::{BatchEntry, MiddleModel};

use super::HIDDEN;

/// A first value at which the toy panics.
pub const POISON: f32 = 666.0;
/// A context for which the toy panics.
pub const POISON_CONTEXT: usize = 13;

/// A door that the toy goes through before each forward pass.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    /// A closed door.
    pub fn closed() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((true, 0)), changed: Condvar::new() })
    }

    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Blocks until the toy stands at the door for the `n`th time.
    pub fn wait_for_visitor(&self, n: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |(_, visits)| *visits < n).unwrap());
    }

    /// How often the toy stood there.
    pub fn visits(&self) -> usize {
        self.state.lock().unwrap().1
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(closed, _)| *closed).unwrap());
    }
}

/// See [`Toy::answer`].
#[derive(Clone)]
pub struct Toy {
    pub hidden: usize,
    pub gate: Option<Arc<Gate>>,
    /// Positions one session may hold, whatever its context.
    pub memory: usize,
}

impl Toy {
    pub fn new(hidden: usize) -> Self {
        Self { hidden, gate: None, memory: usize::MAX }
    }

    /// What the cloud should say to the rows of a whole sequence: each value plus a hash of all
    /// rows' first values up to its own.
    pub fn answer(hidden: usize, rows: &[f32]) -> Vec<f32> {
        let mut kv = Vec::new();
        let mut x = rows.to_vec();
        run(&mut kv, hidden, &mut x);
        x
    }
}

fn run(kv: &mut Vec<f32>, hidden: usize, x: &mut [f32]) {
    for row in x.chunks_mut(hidden) {
        kv.push(row[0]);
        // Whole numbers below 2048 survive f16.
        let hash = kv.iter().fold(1.0, |hash: f32, value| (hash * 3.0 + value) % 257.0);
        row.iter_mut().for_each(|value| *value += hash);
    }
}

impl MiddleModel for Toy {
    type Kv = Vec<f32>;
    type Error = String;

    fn hidden(&self) -> usize {
        self.hidden
    }

    fn new_kv(&self, context: usize) -> Vec<f32> {
        assert_ne!(context, POISON_CONTEXT, "poisoned");
        Vec::new()
    }

    fn prepare(&self, kv: &mut Vec<f32>, pos: usize, rows: usize) -> Result<(), String> {
        assert!(pos <= kv.len(), "rows at {pos} after {}", kv.len());
        if pos + rows > self.memory {
            return Err("no memory".to_owned());
        }
        kv.truncate(pos);
        Ok(())
    }

    fn forward(
        &self,
        batch: &mut [BatchEntry<'_, Vec<f32>>],
        mut x: &mut [f32],
    ) -> Result<(), String> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        for entry in batch {
            assert_eq!(entry.pos, entry.kv.len());
            let (rows, rest) = x.split_at_mut(entry.rows * self.hidden);
            assert!(rows[0] != POISON, "the toy was poisoned");
            run(entry.kv, self.hidden, rows);
            x = rest;
        }
        Ok(())
    }
}

/// A toy of the usual size.
pub fn toy() -> Toy {
    Toy::new(HIDDEN)
}

/// The same, behind a gate.
pub fn gated(gate: &Arc<Gate>) -> Toy {
    Toy { gate: Some(Arc::clone(gate)), ..toy() }
}

/// Waits until a model stands at its gate for the `n`th time.
pub async fn visitor(gate: &Arc<Gate>, n: usize) {
    let gate = Arc::clone(gate);
    tokio::task::spawn_blocking(move || gate.wait_for_visitor(n)).await.unwrap();
}
