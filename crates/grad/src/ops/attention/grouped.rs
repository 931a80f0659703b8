//! Causal attention of grouped query heads (Ainslie et al. 2023, arXiv 2305.13245) over a ragged
//! batch.
//!
//! Attention weights are never kept: the backward pass makes them again, for one block of query
//! rows at a time. Sequences and key-value heads run in parallel; the query heads that share a
//! key-value head add to its gradient in order.

use std::ops::Range;

use rayon::prelude::*;

use super::{BLOCK, HeadAttention, KeyGradients, Keys};
use crate::ops::heads::{column, set_column};

/// How rows fall into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub dim: usize,
    /// How many rows a query sees, its own included; `None` for all.
    pub window: Option<usize>,
}

/// Rotated queries (`rows x heads * dim`), rotated keys and values (`rows x kv_heads * dim`).
#[derive(Clone, Copy, Debug)]
pub struct Projected<'a> {
    /// Queries.
    pub q: &'a [f32],
    /// Keys.
    pub k: &'a [f32],
    /// Values.
    pub v: &'a [f32],
}

/// The gradients of what is in [`Projected`].
#[derive(Clone, Debug)]
pub struct ProjectedGradients {
    /// Of the queries.
    pub q: Vec<f32>,
    /// Of the keys.
    pub k: Vec<f32>,
    /// Of the values.
    pub v: Vec<f32>,
}

/// One key-value head of one sequence.
struct Group {
    rows: Range<usize>,
    head: usize,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl HeadShape {
    /// Width of all query heads.
    fn query_width(self) -> usize {
        self.heads * self.dim
    }

    /// Width of all key heads.
    fn kv_width(self) -> usize {
        self.kv_heads * self.dim
    }

    /// The outputs of all heads, `rows x heads * dim`. `sequences` are the rows of each sequence;
    /// rows of different sequences do not see each other.
    #[must_use]
    pub fn forward(self, sequences: &[Range<usize>], x: Projected<'_>) -> Vec<f32> {
        let mut output = vec![0.0; x.q.len()];
        let outputs = self.each_group(sequences, x, |group| {
            self.query_heads(group)
                .map(|head| {
                    let q = self.queries(x.q, group, head);
                    let mut output = Vec::with_capacity(q.len());
                    for (start, q) in self.blocks(&q) {
                        output.extend(self.seen(group, start).forward(q).0);
                    }
                    output
                })
                .collect::<Vec<_>>()
        });
        for (group, outputs) in outputs {
            for (head, values) in self.query_heads(&group).zip(outputs) {
                self.write(&mut output, &group.rows, self.query_width(), head, &values);
            }
        }
        output
    }

    /// The gradients of queries, keys and values, given that of the outputs.
    #[must_use]
    pub fn backward(
        self,
        sequences: &[Range<usize>],
        x: Projected<'_>,
        d_output: &[f32],
    ) -> ProjectedGradients {
        let mut gradients = ProjectedGradients {
            q: vec![0.0; x.q.len()],
            k: vec![0.0; x.k.len()],
            v: vec![0.0; x.v.len()],
        };
        let parts = self.each_group(sequences, x, |group| {
            let mut keys = KeyGradients::zero(group.k.len());
            let queries: Vec<Vec<f32>> = self
                .query_heads(group)
                .map(|head| {
                    let q = self.queries(x.q, group, head);
                    let d_output = self.queries(d_output, group, head);
                    let mut d_query = Vec::with_capacity(q.len());
                    for ((start, q), (_, d_output)) in self.blocks(&q).zip(self.blocks(&d_output)) {
                        let seen = self.seen(group, start);
                        let (_, weights) = seen.forward(q);
                        d_query.extend(seen.backward(q, &weights, d_output, &mut keys, &mut []));
                    }
                    d_query
                })
                .collect();
            (queries, keys)
        });
        for (group, (queries, keys)) in parts {
            for (head, values) in self.query_heads(&group).zip(queries) {
                self.write(&mut gradients.q, &group.rows, self.query_width(), head, &values);
            }
            let width = self.kv_width();
            self.write(&mut gradients.k, &group.rows, width, group.head, &keys.k);
            self.write(&mut gradients.v, &group.rows, width, group.head, &keys.v);
        }
        gradients
    }

    fn each_group<T: Send>(
        self,
        sequences: &[Range<usize>],
        x: Projected<'_>,
        task: impl Fn(&Group) -> T + Sync,
    ) -> Vec<(Group, T)> {
        let pairs: Vec<(&Range<usize>, usize)> = sequences
            .iter()
            .flat_map(|rows| (0..self.kv_heads).map(move |head| (rows, head)))
            .collect();
        let width = self.kv_width();
        pairs
            .into_par_iter()
            .map(|(rows, head)| {
                let values = rows.start * width..rows.end * width;
                let group = Group {
                    rows: rows.clone(),
                    head,
                    k: column(&x.k[values.clone()], width, self.dim, head),
                    v: column(&x.v[values], width, self.dim, head),
                };
                let result = task(&group);
                (group, result)
            })
            .collect()
    }

    /// The query heads that share a key-value head.
    fn query_heads(self, group: &Group) -> Range<usize> {
        let sharing = self.heads / self.kv_heads;
        group.head * sharing..(group.head + 1) * sharing
    }

    fn queries(self, x: &[f32], group: &Group, head: usize) -> Vec<f32> {
        let width = self.query_width();
        column(&x[group.rows.start * width..group.rows.end * width], width, self.dim, head)
    }

    /// Blocks of query rows with their first rows.
    fn blocks(self, q: &[f32]) -> impl Iterator<Item = (usize, &[f32])> {
        q.chunks(BLOCK * self.dim).enumerate().map(|(index, q)| (index * BLOCK, q))
    }

    fn seen(self, group: &Group, start: usize) -> HeadAttention<'_> {
        HeadAttention {
            dim: self.dim,
            start,
            window: self.window,
            sequence: Keys { k: &group.k, v: &group.v },
            unrolled: Vec::new(),
        }
    }

    fn write(self, x: &mut [f32], rows: &Range<usize>, width: usize, head: usize, values: &[f32]) {
        let place = rows.start * width..rows.end * width;
        set_column(&mut x[place], width, self.dim, head, values);
    }
}
