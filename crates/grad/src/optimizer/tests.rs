#![allow(clippy::unwrap_used)]

use super::*;

fn member(name: &str, len: usize, group: &str) -> Member {
    Member { name: name.to_owned(), len, group: group.to_owned() }
}

fn alone(len: usize, group: Group) -> AdamW {
    let settings = AdamWSettings { betas: (0.9, 0.95), epsilon: 1e-8 };
    let name = group.name.clone();
    AdamW::new(settings, vec![group], [member("w", len, &name)]).unwrap()
}

#[test]
fn the_first_step_is_the_learning_rate_against_the_gradients_sign() {
    let mut values = vec![1.0, -2.0, 3.0];
    alone(3, Group::new("all").clip_elements(0.5))
        .step(0.01, [values.as_mut_slice()], [[0.1, -7.0, 0.0].as_slice()])
        .unwrap();
    for (value, expected) in values.iter().zip([0.99, -1.99, 3.0]) {
        assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
    }
}

#[test]
fn finds_a_minimum() {
    let mut optimizer = alone(1, Group::new("all").clip_elements(0.5));
    let mut values = [5.0_f32];
    for _ in 0..2000 {
        let gradient = [2.0 * (values[0] - 1.5)];
        optimizer.step(0.02, [values.as_mut_slice()], [gradient.as_slice()]).unwrap();
    }
    assert!((values[0] - 1.5).abs() < 0.02, "{}", values[0]);
}

/// `torch.optim.AdamW([w], lr=0.1, betas=(0.9, 0.999), weight_decay=0.01)` over three gradients.
#[test]
fn equals_pytorch() {
    let mut optimizer = AdamW::new(
        AdamWSettings::default(),
        vec![Group::new("g").weight_decay(0.01)],
        [member("w", 3, "g")],
    )
    .unwrap();
    let mut values = [1.0_f32, -2.0, 0.5];
    for gradient in [[0.3, -0.1, 2.0], [-0.2, 0.4, 1.0], [0.05, 0.6, -3.0]] {
        optimizer.step(0.1, [values.as_mut_slice()], [gradient.as_slice()]).unwrap();
    }
    for (value, expected) in values.iter().zip(PYTORCH) {
        assert!((value - expected).abs() < 2e-6, "{value} is not {expected}");
    }
}

const PYTORCH: [f32; 3] = [0.862_917_9, -2.027_243_9, 0.313_774_35];

#[test]
fn groups_have_their_own_rate_decay_and_clipping() {
    let groups = vec![
        Group::new("still").rate_scale(0.0).weight_decay(0.5),
        Group::new("decays").weight_decay(0.5),
        Group::new("clipped").clip_norm(1.0),
    ];
    let members = [
        member("a", 1, "still"),
        member("b", 1, "decays"),
        member("c", 1, "clipped"),
        member("d", 1, "clipped"),
    ];
    let mut optimizer = AdamW::new(AdamWSettings::default(), groups, members).unwrap();
    let mut values = [[1.0_f32], [1.0], [1.0], [1.0]];
    let gradients = [[1.0_f32], [0.0], [30.0], [40.0]];
    optimizer
        .step(
            0.1,
            values.iter_mut().map(|v| v.as_mut_slice()),
            gradients.iter().map(|g| g.as_slice()),
        )
        .unwrap();
    assert_eq!(values[0], [1.0]);
    assert_eq!(values[1], [0.95]);
    let first: Vec<f32> = optimizer.moments().map(|(_, first, _)| first[0]).collect();
    // A tenth of (30, 40) over its norm of 50.
    assert!((first[2] - 0.06).abs() < 1e-7 && (first[3] - 0.08).abs() < 1e-7, "{first:?}");
}

#[test]
fn a_restored_state_goes_on_the_same() {
    let new = || alone(2, Group::new("all").weight_decay(0.1));
    let step = |optimizer: &mut AdamW, values: &mut [f32]| {
        let gradient = [values[0] - 3.0, 0.3 * values[1]];
        optimizer.step(0.05, [values], [gradient.as_slice()]).unwrap();
    };
    let (mut optimizer, mut values) = (new(), [1.0_f32, 2.0]);
    (0..5).for_each(|_| step(&mut optimizer, &mut values));
    let (saved, mut values_again) = (optimizer.to_safetensors().unwrap(), values);
    (0..5).for_each(|_| step(&mut optimizer, &mut values));

    let mut again = new();
    again.load_safetensors(&saved).unwrap();
    assert_eq!(again.steps(), 5);
    (0..5).for_each(|_| step(&mut again, &mut values_again));
    assert_eq!((again, values_again), (optimizer, values));
}

#[test]
fn what_does_not_fit_is_refused() {
    let unknown = AdamW::new(AdamWSettings::default(), vec![], [member("w", 1, "g")]);
    assert!(unknown.unwrap_err().to_string().contains("group g, which was not declared"));
    let mut optimizer = alone(2, Group::new("all"));
    let mut values = [0.0_f32; 2];
    let error = optimizer.step(0.1, [values.as_mut_slice()], [[1.0; 3].as_slice()]).unwrap_err();
    assert_eq!(error.to_string(), "gradients of parameter w: 3 numbers where 2 belong");
    let error = optimizer.step(0.1, [values.as_mut_slice()], []).unwrap_err();
    assert_eq!(error.to_string(), "0 tensors of gradients for 1 parameters");
    assert!(optimizer.load_safetensors(b"nothing").is_err());
    let other = alone(3, Group::new("all")).to_safetensors().unwrap();
    assert!(optimizer.load_safetensors(&other).is_err());
    assert_eq!(optimizer.steps(), 0);
}
