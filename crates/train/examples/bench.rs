//! Temporary.
#![allow(missing_docs, clippy::unwrap_used)]
use std::time::Instant;
use tricorn_model::dense::{Packed, transposed_product};
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn time(name: &str, mflop: f64, mut f: impl FnMut()) {
    f();
    let n = 20;
    let t = Instant::now();
    for _ in 0..n {
        f();
    }
    let s = t.elapsed().as_secs_f64() / n as f64;
    println!("{name:30} {:8.3} ms {:8.1} GFLOP/s", s * 1e3, mflop / 1e3 / s);
}
fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let v = |n: usize| (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect::<Vec<f32>>();
    let (t, d, vocab) = (512usize, 256usize, 4096usize);
    let x = v(t * d);
    let w = Packed::transposed(&v(d * d), d);
    time("x W^T 512x256x256", 2.0 * (t * d * d) as f64 / 1e6, || {
        std::hint::black_box(w.times(&x));
    });
    let head = Packed::new(&v(vocab * d), d);
    let p = v(256 * vocab);
    time("G head 256x4096x256", 2.0 * (256 * d * vocab) as f64 / 1e6, || {
        std::hint::black_box(head.times(&p));
    });
    let h2 = Packed::transposed(&v(vocab * d), d);
    time("logits 512x256x4096", 2.0 * (t * d * vocab) as f64 / 1e6, || {
        std::hint::black_box(h2.times(&x));
    });
    time("x^T x 256x512x256", 2.0 * (t * d * d) as f64 / 1e6, || {
        std::hint::black_box(transposed_product(&x, d, &x, d));
    });
    let k = v(t * 64);
    let q = v(128 * 64);
    let s = v(128 * t);
    time("pack k^T 512x64", 0.0, || {
        std::hint::black_box(Packed::transposed(&k, 64));
    });
    time("q k^T 128x64x512", 2.0 * (128 * 64 * t) as f64 / 1e6, || {
        std::hint::black_box(Packed::transposed(&k, 64).times(&q));
    });
    time("p v 128x512x64", 2.0 * (128 * 64 * t) as f64 / 1e6, || {
        std::hint::black_box(Packed::new(&k, 64).times(&s));
    });
    time("p^T d 512x128x64", 2.0 * (128 * 64 * t) as f64 / 1e6, || {
        std::hint::black_box(transposed_product(&s, t, &q, 64));
    });
}
