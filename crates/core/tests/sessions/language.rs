//! A language of token sequences in which what may follow depends on every token before.

use tricorn_core::{Constraint, ConstraintFailed, TokenMask};

use crate::sessions::model::hash;

/// Of every path about every second token may follow, and one of eight paths is complete.
#[derive(Clone, Debug)]
pub(crate) struct Language {
    seed: u64,
    vocab: u32,
    mask: TokenMask,
}

impl Language {
    pub(crate) fn new(seed: u64, vocab: u32) -> Self {
        Self { seed, vocab, mask: TokenMask::default() }
    }

    fn state(&self, path: &[u32]) -> u64 {
        path.iter().fold(self.seed, |state, &token| hash(state, u64::from(token)))
    }

    fn complete(&self, path: &[u32]) -> bool {
        !path.is_empty() && self.state(path).is_multiple_of(8)
    }
}

impl Constraint for Language {
    fn allowed(&mut self, path: &[u32]) -> Result<&TokenMask, ConstraintFailed> {
        let state = self.state(path);
        self.mask = TokenMask::default();
        if !self.complete(path) {
            let always = (state % u64::from(self.vocab)) as u32;
            let follows =
                |&token: &u32| token == always || hash(state, u64::from(token)).is_multiple_of(2);
            (0..self.vocab).filter(follows).for_each(|token| self.mask.insert(token));
        }
        Ok(&self.mask)
    }

    fn is_complete(&mut self, path: &[u32]) -> Result<bool, ConstraintFailed> {
        Ok(self.complete(path))
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}
