//! Groups of parameters that share a learning-rate scale, a weight decay and a clipping rule.

/// How the gradients of a group are held in bounds before a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clip {
    /// They are not.
    #[default]
    None,
    /// Each number is held within this of zero.
    Elements(f32),
    /// All of the group's gradients are scaled so that their norm together is at most this (Pascanu
    /// et al. 2013, arXiv 1211.5063).
    Norm(f32),
}

impl Clip {
    /// What the group's gradients are multiplied by, and then held within.
    pub(super) fn of<'a>(self, gradients: impl Iterator<Item = &'a [f32]>) -> (f32, f32) {
        match self {
            Self::None => (1.0, f32::INFINITY),
            Self::Elements(bound) => (1.0, bound),
            Self::Norm(most) => {
                let squares = gradients.flatten().map(|&g| f64::from(g) * f64::from(g));
                let norm = squares.sum::<f64>().sqrt();
                let factor = if norm > f64::from(most) { f64::from(most) / norm } else { 1.0 };
                (factor as f32, f32::INFINITY)
            }
        }
    }
}

/// Settings of a group of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The name by which members belong to it.
    pub name: String,
    /// What the learning rate is multiplied by.
    pub rate_scale: f64,
    /// Share of a weight that a step with learning rate 1 takes away.
    pub weight_decay: f64,
    /// How gradients are held in bounds.
    pub clip: Clip,
}

impl Group {
    /// A group at the plain learning rate, without decay and clipping.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rate_scale: 1.0, weight_decay: 0.0, clip: Clip::None }
    }

    /// The same with another scale of the learning rate.
    #[must_use]
    pub fn rate_scale(self, rate_scale: f64) -> Self {
        Self { rate_scale, ..self }
    }

    /// The same with weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The same with each number of a gradient held within `bound` of zero.
    #[must_use]
    pub fn clip_elements(self, bound: f32) -> Self {
        Self { clip: Clip::Elements(bound), ..self }
    }

    /// The same with the norm of the group's gradients held to `most`.
    #[must_use]
    pub fn clip_norm(self, most: f32) -> Self {
        Self { clip: Clip::Norm(most), ..self }
    }
}

/// A parameter of an optimiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, by which its state is saved.
    pub name: String,
    /// How many numbers it has.
    pub len: usize,
    /// The name of its group.
    pub group: String,
}
