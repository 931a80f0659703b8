//! What a later stage remembers of one upstream's sessions.

use std::collections::BTreeMap;

use tricorn_wire::{ErrorCode, Failure, StageEntry};

use crate::middle::MiddleModel;

/// The sessions of one upstream.
#[derive(Debug)]
pub(crate) struct Sessions<Kv> {
    context: usize,
    limit: usize,
    held: BTreeMap<u64, Held<Kv>>,
}

/// One session here.
#[derive(Debug)]
pub(crate) struct Held<Kv> {
    pub(crate) kv: Kv,
    /// Rows held.
    len: usize,
    /// Its name at the next stage, where the names of several upstreams meet.
    pub(crate) name: u64,
}

impl<Kv> Sessions<Kv> {
    /// No session yet; of those to come at most `limit` at a time, of at most `context` positions
    /// each.
    pub(crate) fn new(context: usize, limit: usize) -> Self {
        Self { context, limit, held: BTreeMap::new() }
    }

    /// Forgets a session, and says what the next stage called it.
    pub(crate) fn remove(&mut self, session: u64) -> Option<u64> {
        self.held.remove(&session).map(|held| held.name)
    }

    /// What the next stage called them all.
    pub(crate) fn names(&self) -> impl Iterator<Item = u64> {
        self.held.values().map(|held| held.name)
    }

    /// Makes room for the rows of `entry`; its session, if new, is named `name`.
    ///
    /// # Errors
    /// When the entry does not fit what is held, or there is no memory for it. The session is then
    /// forgotten; with the failure comes what the next stage called it.
    pub(crate) fn prepare<M>(
        &mut self,
        model: &M,
        entry: &StageEntry,
        name: u64,
    ) -> Result<(), (Option<u64>, Failure)>
    where
        M: MiddleModel<Kv = Kv>,
    {
        let StageEntry { session, pos, rows, .. } = *entry;
        if !self.held.contains_key(&session) && self.held.len() >= self.limit {
            let message =
                format!("all {} sessions of a later stage are taken; try again later", self.limit);
            return Err((None, Failure { code: ErrorCode::Busy, message }));
        }
        let context = self.context;
        let held = self.held.entry(session).or_insert_with(|| Held {
            kv: model.new_kv(context),
            len: 0,
            name,
        });
        let prepared = if pos > held.len {
            // As after a loss that the upstream has not heard of yet.
            let message = format!(
                "a later stage holds {} of the {pos} rows before these; reconnect and replay",
                held.len
            );
            Err((ErrorCode::StageLost, message))
        } else if pos.saturating_add(rows) > context {
            Err((
                ErrorCode::BadAppend,
                format!("{rows} rows at position {pos} end beyond the context of {context} tokens"),
            ))
        } else {
            model
                .prepare(&mut held.kv, pos, rows)
                .map_err(|error| (ErrorCode::Busy, one_short_line(&error.to_string())))
        };
        match prepared {
            Ok(()) => {
                held.len = pos + rows;
                Ok(())
            }
            Err((code, message)) => Err((self.remove(session), Failure { code, message })),
        }
    }

    /// Takes a session out, so that several can run at once.
    pub(crate) fn take(&mut self, session: u64) -> Option<Held<Kv>> {
        self.held.remove(&session)
    }

    /// Puts back what [`take`](Self::take) gave.
    pub(crate) fn put_back(&mut self, session: u64, held: Held<Kv>) {
        self.held.insert(session, held);
    }
}

/// What fits a message for every session of a batch.
pub(crate) fn one_short_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::middle::BatchEntry;

    /// Memory for eight positions.
    struct Small;

    impl MiddleModel for Small {
        type Kv = ();
        type Error = String;

        fn hidden(&self) -> usize {
            1
        }

        fn new_kv(&self, _: usize) {}

        fn prepare(&self, (): &mut (), pos: usize, rows: usize) -> Result<(), String> {
            if pos + rows > 8 { Err("full\nof rows".to_owned()) } else { Ok(()) }
        }

        fn forward(&self, _: &mut [BatchEntry<'_, ()>], _: &mut [f32]) -> Result<(), String> {
            Ok(())
        }
    }

    fn run(
        sessions: &mut Sessions<()>,
        session: u64,
        pos: usize,
        rows: usize,
    ) -> Result<u64, (Option<u64>, ErrorCode)> {
        let entry = StageEntry { session, pos, rows, answer_rows: 0 };
        sessions.prepare(&Small, &entry, session + 100).map_err(|(name, failure)| {
            assert!(!failure.message.contains('\n'));
            (name, failure.code)
        })?;
        let held = sessions.take(session).unwrap();
        let name = held.name;
        sessions.put_back(session, held);
        Ok(name)
    }

    #[test]
    fn positions_are_held_to_what_is_there() {
        let mut sessions = Sessions::new(16, 2);
        assert_eq!(run(&mut sessions, 1, 0, 4), Ok(101));
        assert_eq!(run(&mut sessions, 1, 4, 2), Ok(101));
        assert_eq!(run(&mut sessions, 1, 1, 1), Ok(101));
        // Two rows are left of it.
        assert_eq!(run(&mut sessions, 1, 3, 1), Err((Some(101), ErrorCode::StageLost)));
        assert_eq!(run(&mut sessions, 1, 0, 17), Err((Some(101), ErrorCode::BadAppend)));
        assert_eq!(run(&mut sessions, 1, 0, 9), Err((Some(101), ErrorCode::Busy)));
        assert_eq!(sessions.names().count(), 0);
    }

    #[test]
    fn sessions_are_bounded_and_given_back() {
        let mut sessions = Sessions::new(16, 2);
        assert_eq!((run(&mut sessions, 1, 0, 1), run(&mut sessions, 2, 0, 1)), (Ok(101), Ok(102)));
        assert_eq!(run(&mut sessions, 3, 0, 1), Err((None, ErrorCode::Busy)));
        assert_eq!((sessions.remove(1), sessions.remove(9)), (Some(101), None));
        assert_eq!(run(&mut sessions, 3, 0, 1), Ok(103));
    }
}
