//! The plain batch policy: which sessions' appends run in the next forward pass.

use crate::AppendKind;

/// The append at the head of one session's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Ticket drawn when the append was accepted; lower came earlier.
    pub arrival: u64,
    /// Rows it carries.
    pub rows: usize,
    /// What it is for.
    pub kind: AppendKind,
}

/// Chooses the candidates that run now, as indices into `candidates` in the order they were chosen.
///
/// Verifications come first, then prompts, each in order of arrival, while they fit into `budget` rows. The candidate that has waited
/// longest is always taken, whatever its size, so that nothing starves and a batch holds at most `budget` rows plus one append. Empty only
/// when there are no candidates.
#[must_use]
pub fn choose_batch(candidates: &[Candidate], budget: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&i| (candidates[i].kind != AppendKind::Verify, candidates[i].arrival));
    let Some(oldest) = (0..candidates.len()).min_by_key(|&i| candidates[i].arrival) else {
        return order;
    };
    let (mut rows, mut full) = (0_usize, [false; 2]);
    order.retain(|&i| {
        // The first that does not fit closes its class: a smaller one behind it must not overtake.
        let full = &mut full[usize::from(candidates[i].kind != AppendKind::Verify)];
        *full |= rows.saturating_add(candidates[i].rows) > budget;
        let take = i == oldest || !*full;
        if take {
            rows = rows.saturating_add(candidates[i].rows);
        }
        take
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(arrival: u64, rows: usize) -> Candidate {
        Candidate { arrival, rows, kind: AppendKind::Verify }
    }

    fn prompt(arrival: u64, rows: usize) -> Candidate {
        Candidate { arrival, rows, kind: AppendKind::Prompt }
    }

    #[test]
    fn verifications_come_first() {
        let heads = [prompt(3, 16), verify(5, 4), prompt(2, 16), verify(1, 4)];
        assert_eq!(choose_batch(&heads, 64), [3, 1, 2, 0]);
        assert_eq!(choose_batch(&heads, 24), [3, 1, 2]);
        assert_eq!(choose_batch(&heads, 8), [3, 1]);
    }

    #[test]
    fn nothing_overtakes_its_own_kind() {
        assert_eq!(choose_batch(&[verify(0, 4), prompt(1, 16), prompt(2, 1)], 8), [0]);
    }

    #[test]
    fn the_oldest_always_runs() {
        assert_eq!(choose_batch(&[prompt(0, 512)], 64), [0]);
        assert_eq!(choose_batch(&[verify(1, 4), prompt(0, 512), verify(2, 4)], 64), [0, 2, 1]);
        assert!(choose_batch(&[], 64).is_empty());
    }

    #[test]
    fn a_prompt_behind_endless_verifications_is_served() {
        let mut heads = [verify(1, 8), verify(2, 8), prompt(3, 8)];
        let served = (4..8).any(|arrival| {
            let chosen = choose_batch(&heads, 16);
            for &i in &chosen {
                heads[i].arrival = arrival;
            }
            chosen.contains(&2)
        });
        assert!(served);
    }
}
