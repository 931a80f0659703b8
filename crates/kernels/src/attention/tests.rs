use super::*;

/// Sequences of a ragged batch: position of the first row, rows.
const RAGGED: [(usize, usize); 4] = [(0, 5), (60, 70), (200, 1), (126, 3)];
const KV_HEADS: usize = 2;

fn noise(seed: usize) -> impl FnMut() -> f32 {
    let mut state = seed as u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

struct Case {
    view: View,
    heads: usize,
    caches: Vec<Vec<KvData>>,
    queries: Vec<f32>,
}

impl Case {
    /// Caches of three uneven layers of which the second is looked at; slots that no row may see
    /// hold what is not a number.
    fn new(
        format: KvFormat,
        head_dim: usize,
        group: usize,
        window: Option<usize>,
        ragged: &[(usize, usize)],
    ) -> Self {
        let block = BlockLayout::new([
            KvLayout { kv_heads: 3, head_dim: 20 },
            KvLayout { kv_heads: KV_HEADS, head_dim },
            KvLayout { kv_heads: 1, head_dim: 6 },
        ]);
        let share = block.share(1);
        let mut noise = noise(head_dim * group);
        let caches = ragged.iter().map(|&(pos, rows)| {
            let seen = View { share, window }.seen(pos).start..pos + rows;
            let mut blocks = vec![KvData::zeroed(format, &block); seen.end.div_ceil(KV_BLOCK)];
            for p in 0..blocks.len() * KV_BLOCK {
                let mut random = || {
                    (0..KV_HEADS * head_dim)
                        .map(|_| if seen.contains(&p) { noise() } else { f32::NAN })
                        .collect::<Vec<_>>()
                };
                blocks[p / KV_BLOCK].write(share, p % KV_BLOCK, &random(), &random());
            }
            blocks
        });
        let caches = caches.collect();
        let rows: usize = ragged.iter().map(|(_, rows)| rows).sum();
        let heads = KV_HEADS * group;
        let queries = (0..rows * (heads * head_dim + 3)).map(|_| 3.0 * noise()).collect();
        Self { view: View { share, window }, heads, caches, queries }
    }

    fn width(&self) -> usize {
        self.heads * self.view.share.layout.head_dim
    }

    /// Runs rows of some sequences: position of the first row, rows, cache, and first row of the
    /// queries.
    fn attend(&self, isa: Isa, parts: &[(usize, usize, usize)], first: usize) -> Vec<f32> {
        let stride = self.width() + 3;
        let queries = Queries { rows: &self.queries[first * stride..], stride, heads: self.heads };
        let sequence = |&(pos, rows, cache): &(usize, usize, usize)| Sequence {
            blocks: self.caches[cache].iter().collect(),
            pos,
            rows,
        };
        let sequences: Vec<Sequence<'_>> = parts.iter().map(sequence).collect();
        let mut out =
            vec![f32::NAN; parts.iter().map(|(_, rows, _)| rows).sum::<usize>() * self.width()];
        attend_on(isa, self.view, &sequences, queries, &mut out);
        out
    }

    fn whole(&self, isa: Isa, ragged: &[(usize, usize)]) -> Vec<f32> {
        let parts: Vec<_> =
            ragged.iter().enumerate().map(|(cache, &(pos, rows))| (pos, rows, cache)).collect();
        self.attend(isa, &parts, 0)
    }

    /// `softmax(q k^T / sqrt(d)) v` in double precision over the numbers as the cache holds them.
    fn textbook(&self, cache: usize, pos: usize, row: usize) -> Vec<f64> {
        let View { share, .. } = self.view;
        let dim = share.layout.head_dim;
        let query = &self.queries[row * (self.width() + 3)..][..self.width()];
        let mut out = Vec::new();
        for (head, query) in query.chunks_exact(dim).enumerate() {
            let held = |p: usize, half: usize, d: usize| {
                let head = self.caches[cache][p / KV_BLOCK]
                    .head(share, head * KV_HEADS / self.heads)[half];
                let slot = p % KV_BLOCK;
                let at = if half == 0 { d * KV_BLOCK + slot } else { slot * dim + d };
                match head {
                    KvHead::F32(numbers) => f64::from(numbers[at]),
                    KvHead::F16(numbers) => numbers[at].to_f64(),
                    KvHead::Q8 { numbers, scales } => {
                        f64::from(numbers[at]) * f64::from(scales[slot])
                    }
                }
            };
            let weight = |p: usize| {
                ((0..dim).map(|d| f64::from(query[d]) * held(p, 0, d)).sum::<f64>()
                    / (dim as f64).sqrt())
                .exp()
            };
            let weights: Vec<(usize, f64)> = self.view.seen(pos).map(|p| (p, weight(p))).collect();
            let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
            out.extend((0..dim).map(|d| {
                weights.iter().map(|&(p, weight)| weight / total * held(p, 1, d)).sum::<f64>()
            }));
        }
        out
    }
}

fn cases(ragged: &'static [(usize, usize)]) -> impl Iterator<Item = (String, Case)> {
    let formats = KvFormat::ALL.into_iter();
    formats
        .flat_map(|format| [24, 64, 128].map(|dim| (format, dim)))
        .flat_map(|(format, dim)| [1, 4, 8].map(|group| (format, dim, group)))
        .flat_map(move |(format, dim, group)| {
            [None, Some(1), Some(70)].map(|window| {
                (
                    format!("{format}, {dim} dimensions, {group} heads a group, window {window:?}"),
                    Case::new(format, dim, group, window, ragged),
                )
            })
        })
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_row_equals_itself_alone_to_the_bit() {
    for (name, case) in cases(&RAGGED) {
        let together = case.whole(isa(), &RAGGED);
        let mut first = 0;
        for (cache, &(pos, rows)) in RAGGED.iter().enumerate() {
            for row in 0..rows {
                let alone = case.attend(isa(), &[(pos + row, 1, cache)], first);
                assert_eq!(
                    bits(&together[first * case.width()..][..case.width()]),
                    bits(&alone),
                    "{name}: row {row} from position {pos}"
                );
                first += 1;
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    const RAGGED: [(usize, usize); 2] = [(61, 7), (3, 1)];
    for (name, case) in cases(&RAGGED) {
        let expected = case.whole(Isa::Portable, &RAGGED);
        assert!(expected.iter().all(|value| value.is_finite()), "{name}");
        for isa in Isa::available() {
            assert_eq!(bits(&case.whole(isa, &RAGGED)), bits(&expected), "{name}: {isa:?}");
        }
    }
}

#[test]
fn equals_the_textbook_formula() {
    for (name, case) in cases(&RAGGED) {
        let out = case.whole(isa(), &RAGGED);
        let mut out = out.chunks_exact(case.width()).enumerate();
        for (cache, &(pos, rows)) in RAGGED.iter().enumerate() {
            for ((row, out), pos) in out.by_ref().take(rows).zip(pos..).step_by(9) {
                for (value, expected) in out.iter().zip(case.textbook(cache, pos, row)) {
                    assert!(
                        (f64::from(*value) - expected).abs() < 2e-6,
                        "{name}, position {pos}: {value} for {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn threads_and_chunks_do_not_change_a_bit() {
    for format in KvFormat::ALL {
        let case = Case::new(format, 64, 4, None, &[(0, 300)]);
        let whole = case.whole(isa(), &[(0, 300)]);
        for (threads, chunk) in [(1, 300), (3, 300), (3, 37)] {
            let mut chunks = Vec::new();
            for pos in (0..300).step_by(chunk) {
                chunks.extend(threads::with(threads, || {
                    case.attend(isa(), &[(pos, chunk.min(300 - pos), 0)], pos)
                }));
            }
            assert_eq!(
                bits(&chunks),
                bits(&whole),
                "{format}, {threads} threads, chunks of {chunk}"
            );
        }
    }
}

#[test]
fn what_is_written_is_rounded_to_the_nearest_and_saturates() {
    let block = BlockLayout::new([KvLayout { kv_heads: 1, head_dim: 4 }]);
    let written = |format, numbers: [f32; 4]| {
        let mut data = KvData::zeroed(format, &block);
        data.write(block.share(0), 5, &numbers, &numbers);
        data.head(block.share(0), 0).map(|head| match head {
            KvHead::F32(_) => Vec::new(),
            KvHead::F16(halves) => {
                halves.iter().map(|half| half.to_f32()).filter(|&value| value != 0.0).collect()
            }
            KvHead::Q8 { numbers, scales } => numbers
                .iter()
                .filter(|&&n| n != 0)
                .map(|&n| f32::from(n) * scales[5])
                .collect::<Vec<_>>(),
        })
    };
    let ulp = 2.0_f32.powi(-10);
    for half in written(KvFormat::F16, [1e30, f32::NEG_INFINITY, 1.0 + 0.5 * ulp, 1.0 + 1.5 * ulp])
    {
        assert_eq!(half, [65504.0, -65504.0, 1.0, 1.0 + 2.0 * ulp]);
    }
    for eighths in written(KvFormat::Q8, [254.0, -253.5, 2.0, -4.9]) {
        assert_eq!(eighths, [254.0, -254.0, 2.0, -4.0]);
    }
    assert_eq!(written(KvFormat::Q8, [0.0; 4]), [Vec::<f32>::new(), Vec::new()]);
}

#[test]
fn layers_of_different_shapes_share_a_block_without_touching_each_other() {
    let layouts = [(2, 4), (1, 10), (0, 0), (3, 2)]
        .map(|(kv_heads, head_dim)| KvLayout { kv_heads, head_dim });
    let block = BlockLayout::new(layouts);
    assert_eq!(block.layers().collect::<Vec<_>>(), layouts);
    for format in KvFormat::ALL {
        let mut data = KvData::zeroed(format, &block);
        assert_eq!(data.bytes(), format.bytes(1, layouts));
        for slot in [0, 63] {
            for (layer, layout) in layouts.iter().enumerate() {
                let [key, value] = [1.0, -1.0]
                    .map(|sign| vec![sign * (layer + 1) as f32; layout.kv_heads * layout.head_dim]);
                data.write(block.share(layer), slot, &key, &value);
            }
        }
        for (layer, layout) in layouts.iter().enumerate() {
            for head in 0..layout.kv_heads {
                let [keys, values] = data.head(block.share(layer), head).map(|held| {
                    (0..layout.head_dim * KV_BLOCK)
                        .map(|at| match held {
                            KvHead::F32(numbers) => numbers[at],
                            KvHead::F16(numbers) => numbers[at].to_f32(),
                            KvHead::Q8 { numbers, scales } => {
                                f32::from(numbers[at]) * scales.iter().copied().fold(0.0, f32::max)
                            }
                        })
                        .collect::<Vec<_>>()
                });
                let written = |numbers: &[f32], sign: f32| {
                    numbers
                        .iter()
                        .filter(|&&number| (number - sign * (layer + 1) as f32).abs() < 1e-6)
                        .count()
                };
                let expected = 2 * layout.head_dim;
                assert_eq!((written(&keys, 1.0), written(&values, -1.0)), (expected, expected));
            }
        }
    }
}
