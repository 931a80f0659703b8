//! Device classes, and what each drafter costs them.

use tricorn_core::Cost;
use tricorn_device::DeviceThrottle;
use tricorn_model::DrafterKind;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceClass {
    /// What it is like.
    pub name: &'static str,
    /// The first layers, by rows.
    pub shallow: Cost,
    /// One draft step with HAT's adapter, by the continuations drafted together.
    pub draft: Cost,
    /// The last layers and the head, by the rows of an answer.
    pub head: Cost,
}

/// Matrix parameters of the 7B model whose times the scenarios stand for: Llama 2 7B with two
/// layers on the device.
mod parameters {
    use tricorn_model::DrafterKind;

    const HIDDEN: u64 = 4096;
    const INNER: u64 = 11_008;
    const VOCAB: u64 = 32_000;
    const SQUARE: u64 = HIDDEN * HIDDEN;
    /// Query, key, value and output projections.
    const ATTENTION: u64 = 4 * SQUARE;
    const MLP: u64 = 3 * HIDDEN * INNER;
    /// The fused drafter's projection of two rows to one.
    const FUSE: u64 = 2 * SQUARE;

    pub(super) const FIRST_LAYERS: u64 = 2 * (ATTENTION + MLP);

    const fn drafter(kind: DrafterKind) -> u64 {
        match kind {
            DrafterKind::Hat => ATTENTION,
            DrafterKind::Fused => FUSE + ATTENTION + MLP,
        }
    }

    /// All that a draft step reads: first layers, drafter, head.
    pub(super) const fn draft_step(kind: DrafterKind) -> u64 {
        FIRST_LAYERS + drafter(kind) + VOCAB * HIDDEN
    }

    /// What a drafter reads to take in rows of a prompt: all up to queries, keys and values.
    pub(super) const fn take_in(kind: DrafterKind) -> u64 {
        match kind {
            DrafterKind::Hat => 3 * SQUARE,
            DrafterKind::Fused => FUSE + 3 * SQUARE,
        }
    }
}

impl DeviceClass {
    /// How long it computes with this drafter: a draft step and the taking in of a prompt cost as
    /// many times more or less than what is known of them (HAT's step, the first layers) as they
    /// have parameters.
    #[must_use]
    pub fn throttle(&self, drafter: Option<DrafterKind>) -> DeviceThrottle {
        use parameters::{FIRST_LAYERS, draft_step, take_in};
        let Self { shallow, draft, head, .. } = *self;
        let (draft, take_in) = match drafter {
            Some(kind) => (
                times(draft, draft_step(kind), draft_step(DrafterKind::Hat)),
                times(shallow, take_in(kind), FIRST_LAYERS),
            ),
            None => Default::default(),
        };
        DeviceThrottle { shallow, take_in, draft, head }
    }
}

/// A cost times a fraction.
fn times(cost: Cost, over: u64, under: u64) -> Cost {
    let factor = over as f64 / under as f64;
    Cost { base: cost.base.mul_f64(factor), per_row: cost.per_row.mul_f64(factor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_drafter_costs_by_its_parameters() {
        let cost = |base_us, row_us| Cost {
            base: Duration::from_micros(base_us),
            per_row: Duration::from_micros(row_us),
        };
        let class = DeviceClass {
            name: "x",
            shallow: cost(1_200, 520),
            draft: cost(5_400, 240),
            head: cost(1_200, 50),
        };
        let [hat, fused] =
            [DrafterKind::Hat, DrafterKind::Fused].map(|kind| class.throttle(Some(kind)));
        assert_eq!((hat.shallow, hat.draft, hat.head), (class.shallow, class.draft, class.head));
        // 405 M + 131 M + 67 M parameters a step with HAT's adapter, 236 M in place of the 67 M
        // with the fused drafter: 1.28 times as many.
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        for step in
            [ratio(fused.draft.base, hat.draft.base), ratio(fused.draft.per_row, hat.draft.per_row)]
        {
            assert!((step - 1.28).abs() < 0.005, "{step}");
        }
        // 50 M and 84 M of the first layers' 405 M.
        assert!((ratio(hat.take_in.per_row, class.shallow.per_row) - 50.3 / 404.8).abs() < 1e-3);
        assert!((ratio(fused.take_in.per_row, class.shallow.per_row) - 83.9 / 404.8).abs() < 1e-3);
        assert_eq!(
            (class.throttle(None).take_in, class.throttle(None).shallow),
            (Cost::default(), class.shallow)
        );
    }
}
