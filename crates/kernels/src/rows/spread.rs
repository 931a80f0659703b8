//! Rows of a matrix spread over threads where there is enough of it.

use crate::threads::{self, Disjoint};

/// Numbers below which waking another thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 18;

/// Calls `task` with runs of whole rows of `matrix`, `width` wide, and the index of each run's
/// first row. Runs are disjoint and cover all rows; what is done to a row must not depend on its
/// run.
pub fn spread_rows(matrix: &mut [f32], width: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = matrix.len() / width;
    if matrix.len() < PARALLEL_FROM || threads::count() == 1 {
        return task(0, &mut matrix[..rows * width]);
    }
    // Several runs a thread, so that a thread that loses its core for a while leaves work to take
    // over.
    let run = rows.div_ceil(threads::count() * 4);
    let matrix = Disjoint::new(&mut matrix[..rows * width]);
    threads::run(rows.div_ceil(run), |index| {
        let first = index * run;
        // SAFETY: runs are disjoint, and each index is called once.
        #[allow(unsafe_code)]
        let rows = unsafe { matrix.part(first * width..rows.min(first + run) * width) };
        task(first, rows);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_taken_once() {
        for (rows, width) in [(0, 3), (1, 7), (5, 1), (1025, 513), (3, 100_000)] {
            let mut matrix = vec![0.0; rows * width];
            spread_rows(&mut matrix, width, |first, run| {
                for (index, row) in run.chunks_exact_mut(width).enumerate() {
                    row.iter_mut().for_each(|v| *v += (first + index + 1) as f32);
                }
            });
            assert!(
                matrix
                    .chunks_exact(width)
                    .enumerate()
                    .all(|(index, row)| row.iter().all(|&v| v == (index + 1) as f32))
            );
        }
    }
}
