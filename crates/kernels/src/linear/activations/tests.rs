use super::*;

#[test]
fn every_way_of_quantising_gives_the_same_words() {
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut blocks: Vec<[f32; BLOCK]> = (0..600).map(|_| [(); BLOCK].map(|()| noise())).collect();
    let special = [
        0.0,
        -0.0,
        3.0,
        -40.0,
        1e-38,
        2_f32.powi(-100),
        2_f32.powi(100),
        1e31,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
        -f32::NAN,
    ];
    for (index, block) in blocks.iter_mut().enumerate().skip(100) {
        block[index % BLOCK] = special[index % special.len()];
        block[index / 7 % BLOCK] = special[index / 11 % special.len()];
    }
    let constant = special.map(|value| [value; BLOCK]);
    blocks.extend(constant);
    for wanted in [(0, false, true), (32, true, false), (128, false, false)] {
        let wanted = Wanted { offset: wanted.0, halves: wanted.1, minimum: wanted.2 };
        let mut best = vec![Quantised::default(); blocks.len()];
        let mut others = best.clone();
        quantise_blocks(&blocks, wanted, &mut best);
        plain(&blocks, wanted, &mut others);
        assert_eq!(best, others);
        assert!(best.iter().any(|block| block.peaked) && best.iter().any(|block| !block.peaked));
    }
}
