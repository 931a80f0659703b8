//! Lane of one earlier stage: how many rows a later stage holds of each of its sessions.

use std::collections::BTreeMap;

use super::entry::{Admitted, EntryError, StageEntry};

/// The sessions of one earlier stage.
#[derive(Debug)]
pub(super) struct Lane {
    context: usize,
    limit: usize,
    sessions: BTreeMap<u64, Session>,
}

#[derive(Debug)]
struct Session {
    /// Rows held.
    len: usize,
    name: u64,
}

impl Lane {
    /// No session yet; of those to come at most `limit` at a time, of at most `context` positions
    /// each.
    pub(super) fn new(context: usize, limit: usize) -> Self {
        Self { context, limit, sessions: BTreeMap::new() }
    }

    /// Forgets a session; its name.
    pub(super) fn remove(&mut self, session: u64) -> Option<u64> {
        self.sessions.remove(&session).map(|session| session.name)
    }

    /// The names of all sessions.
    pub(super) fn into_names(self) -> Vec<u64> {
        self.sessions.into_values().map(|session| session.name).collect()
    }

    /// Counts the rows of `entry` as held from now on. A new session gets the next of the `names`.
    pub(super) fn admit(
        &mut self,
        entry: &StageEntry,
        names: &mut u64,
    ) -> Result<Admitted, EntryError> {
        let StageEntry { session, pos, rows, .. } = *entry;
        let (context, limit) = (self.context, self.limit);
        let is_full = self.sessions.len() >= limit;
        let known = self.sessions.get_mut(&session);
        if known.is_none() && is_full {
            return Err(EntryError::Full { limit });
        }
        let held = known.as_ref().map_or(0, |known| known.len);
        if pos > held {
            return Err(EntryError::Gap { held, pos });
        }
        let end = pos.saturating_add(rows);
        if end > context {
            return Err(EntryError::BeyondContext { pos, rows, context });
        }
        match known {
            Some(known) => {
                known.len = end;
                Ok(Admitted { name: known.name, is_new: false, context })
            }
            None => {
                *names += 1;
                self.sessions.insert(session, Session { len: end, name: *names });
                Ok(Admitted { name: *names, is_new: true, context })
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admit(lane: &mut Lane, session: u64, pos: usize, rows: usize) -> Result<u64, EntryError> {
        let entry = StageEntry { session, pos, rows, answer_rows: 0 };
        lane.admit(&entry, &mut (session + 99)).map(|admitted| admitted.name)
    }

    #[test]
    fn positions_are_held_to_what_is_there() {
        let mut lane = Lane::new(16, 2);
        assert_eq!(admit(&mut lane, 1, 0, 4), Ok(101));
        assert_eq!(admit(&mut lane, 1, 4, 2), Ok(101));
        assert_eq!(admit(&mut lane, 1, 1, 1), Ok(101));
        // Two rows are left of it.
        assert_eq!(admit(&mut lane, 1, 3, 1), Err(EntryError::Gap { held: 2, pos: 3 }));
        let beyond = EntryError::BeyondContext { pos: 0, rows: 17, context: 16 };
        assert_eq!(admit(&mut lane, 1, 0, 17), Err(beyond));
        assert_eq!(admit(&mut lane, 2, 1, 1), Err(EntryError::Gap { held: 0, pos: 1 }));
        assert_eq!(lane.into_names(), [101]);
    }

    #[test]
    fn sessions_are_bounded_and_given_back() {
        let mut lane = Lane::new(16, 2);
        assert_eq!((admit(&mut lane, 1, 0, 1), admit(&mut lane, 2, 0, 1)), (Ok(101), Ok(102)));
        assert_eq!(admit(&mut lane, 3, 0, 1), Err(EntryError::Full { limit: 2 }));
        assert_eq!((lane.remove(1), lane.remove(9)), (Some(101), None));
        assert_eq!(admit(&mut lane, 3, 0, 1), Ok(103));
    }
}
