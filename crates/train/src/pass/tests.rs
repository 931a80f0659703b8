use half::bf16;
use serde_json::{Value, json};
use tricorn_model::{KvPool, OutputPart};

use super::*;
use crate::{
    loss::{Loss, Losses},
    rng::Rng,
    testing::{SPLIT, TempDir, tiny_model, written_drafter},
};

const ROWS: usize = 150;
const FIRST: usize = 3;

fn noise(count: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::new(5, stream);
    (0..count).map(|_| rng.normal()).collect()
}

#[test]
fn forward_equals_the_drafter_in_use() {
    let cases: [Value; 3] = [
        json!({}),
        json!({"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
        // Heads that do not divide the hidden width: the drafter's are narrower, and start random.
        json!({"head_dim": 12}),
    ];
    for extra in cases {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &extra);
        let mut weights = Tensors::initial(&source, 1, 1).unwrap();
        for values in weights.all_mut() {
            values.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
        }
        let drafter = written_drafter(&dir, &source, &weights);
        let shallow = noise(ROWS * 16, 0);
        let expected = drafter.forward_at(&mut drafter.new_kv(&KvPool::new(usize::MAX), ROWS), 0, &shallow, &[]).unwrap();
        let (found, _) = Pass::new(source.config(), &weights).forward(&shallow, FIRST);
        assert_eq!(found.len(), (ROWS - FIRST) * 16);
        for (a, b) in found.iter().zip(&expected[FIRST * 16..]) {
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} is not {b}, {extra}");
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let dir = TempDir::new();
    let source = tiny_model(&dir, &json!({}));
    let output = OutputPart::load(&source, SPLIT).unwrap();
    let loss = Loss::new(&source, 0.7).unwrap();
    let weights = Tensors::initial(&source, 1, 1).unwrap();
    let (shallow, target) = (noise(ROWS * 16, 0), noise((ROWS - FIRST) * 16, 1));
    let of = |weights: &Tensors| -> (Losses, Tensors) {
        let pass = Pass::new(source.config(), weights);
        let (guess, trace) = pass.forward(&shallow, FIRST);
        let (losses, gradient) = loss.of(&output, &guess, &target, ROWS - FIRST);
        (losses, pass.backward(&trace, &gradient))
    };
    let (_, gradients) = of(&weights);
    for tensor in 0..5 {
        let direction = noise(weights.all()[tensor].len(), 2 + tensor as u64);
        let moved = |by: f32| {
            let mut weights = weights.clone();
            weights.all_mut()[tensor].iter_mut().zip(&direction).for_each(|(w, d)| *w += by * d);
            loss.total(of(&weights).0)
        };
        let by = 1e-3;
        let measured = (moved(by) - moved(-by)) / (2.0 * f64::from(by));
        let computed: f64 = gradients.all()[tensor].iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
        let size = gradients.all()[tensor].iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        assert!((measured - computed).abs() < 0.01 * size, "tensor {tensor}: {measured} measured, {computed} computed, size {size}");
    }
}
