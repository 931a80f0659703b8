//! Matching of one turn's text against its grammar.

use super::error::one_line;
use llguidance::Matcher;
use std::{fmt, sync::Arc};
use tricorn_core::{Constraint, ConstraintFailed, TokenMask};

/// A matcher that is taken from path to path: what they share stays, the rest is rolled back.
pub(super) struct Matching {
    /// At the empty path.
    start: Matcher,
    matcher: Matcher,
    path: Vec<u32>,
    mask: TokenMask,
    end: u32,
    stop_tokens: Arc<[u32]>,
}

impl Matching {
    pub(super) fn new(start: Matcher, end: u32, stop_tokens: Arc<[u32]>) -> Self {
        Self {
            matcher: start.deep_clone(),
            start,
            path: Vec::new(),
            mask: TokenMask::default(),
            end,
            stop_tokens,
        }
    }

    /// The matcher's word after `path`.
    fn at<T>(
        &mut self,
        path: &[u32],
        ask: impl Fn(&mut Matcher) -> Result<T, ConstraintFailed>,
    ) -> Result<T, ConstraintFailed> {
        self.seek(path).and_then(|()| ask(&mut self.matcher)).or_else(|_| {
            // A matcher stays in error, and its bounds count what earlier paths cost: those of
            // drafts must not fail the text.
            self.matcher = self.start.deep_clone();
            self.path.clear();
            self.seek(path)?;
            ask(&mut self.matcher)
        })
    }

    fn seek(&mut self, path: &[u32]) -> Result<(), ConstraintFailed> {
        let common = self.path.iter().zip(path).take_while(|(held, wanted)| held == wanted).count();
        let refused = self.path.len() - common;
        if refused > 0 {
            self.path.truncate(common);
            self.matcher.rollback(refused).map_err(|error| failed(&error))?;
        }
        for &token in &path[common..] {
            self.matcher.consume_token(token).map_err(|error| failed(&error))?;
            self.path.push(token);
        }
        Ok(())
    }
}

impl Constraint for Matching {
    fn allowed(&mut self, path: &[u32]) -> Result<&TokenMask, ConstraintFailed> {
        let mask =
            self.at(path, |matcher| matcher.compute_mask_or_eos().map_err(|error| failed(&error)))?;
        self.mask = TokenMask::from_words(mask.as_slice().to_vec());
        let may_end = self.mask.contains(self.end);
        self.mask.remove(self.end);
        for &stop in &*self.stop_tokens {
            if may_end {
                self.mask.insert(stop);
            } else {
                self.mask.remove(stop);
            }
        }
        Ok(&self.mask)
    }

    fn is_complete(&mut self, path: &[u32]) -> Result<bool, ConstraintFailed> {
        if path.last().is_some_and(|last| self.stop_tokens.contains(last)) {
            return Ok(true);
        }
        self.at(path, |matcher| Ok(matcher.is_stopped()))
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(Self {
            start: self.start.deep_clone(),
            matcher: self.matcher.deep_clone(),
            path: self.path.clone(),
            mask: self.mask.clone(),
            end: self.end,
            stop_tokens: Arc::clone(&self.stop_tokens),
        })
    }
}

impl fmt::Debug for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matching").field("path", &self.path).finish_non_exhaustive()
    }
}

fn failed(error: &impl fmt::Display) -> ConstraintFailed {
    ConstraintFailed { problem: one_line(error) }
}
