//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over named parameters in declared groups.
//!
//! With gradient `g`: `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, and with the biases of
//! both corrected, `w = (1 - rate decay) w - rate m' / (sqrt(v') + eps)`.

mod group;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::{error::GradError, state};
pub use group::{Clip, Group, Member};

const STEPS: &str = "steps";
const FIRST: &str = "first_moment.";
const SECOND: &str = "second_moment.";

/// The constants of AdamW that all groups share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWSettings {
    /// Decay of the first and of the second moment in a step.
    pub betas: (f32, f32),
    /// What is added to the root of the second moment.
    pub epsilon: f32,
}

impl Default for AdamWSettings {
    /// Decays of 0.9 and 0.999, epsilon 1e-8, as in PyTorch.
    fn default() -> Self {
        Self { betas: (0.9, 0.999), epsilon: 1e-8 }
    }
}

/// An optimiser with its moments.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    settings: AdamWSettings,
    groups: Vec<Group>,
    parameters: Vec<Moments>,
    steps: u64,
}

/// The moments of one parameter.
#[derive(Clone, Debug, PartialEq)]
struct Moments {
    name: String,
    group: usize,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    /// An optimiser of `members`, in the order in which their values and gradients will come.
    ///
    /// # Errors
    /// When a member is in a group that is not among `groups`.
    pub fn new(
        settings: AdamWSettings,
        groups: Vec<Group>,
        members: impl IntoIterator<Item = Member>,
    ) -> Result<Self, GradError> {
        let moments = |member: Member| {
            let group = groups.iter().position(|group| group.name == member.group);
            Ok(Moments {
                group: group.ok_or_else(|| GradError::UnknownGroup {
                    parameter: member.name.clone(),
                    group: member.group,
                })?,
                name: member.name,
                first: vec![0.0; member.len],
                second: vec![0.0; member.len],
            })
        };
        let parameters = members.into_iter().map(moments).collect::<Result<_, GradError>>()?;
        Ok(Self { settings, groups, parameters, steps: 0 })
    }

    /// Steps done.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The groups, to change their settings between steps.
    pub fn groups_mut(&mut self) -> &mut [Group] {
        &mut self.groups
    }

    /// One step: changes `values` by `gradients`, both in the order of the members.
    ///
    /// # Errors
    /// When they are not as many as the members, or not as long; nothing has changed then.
    pub fn step<'a, 'b>(
        &mut self,
        learning_rate: f64,
        values: impl IntoIterator<Item = &'a mut [f32]>,
        gradients: impl IntoIterator<Item = &'b [f32]>,
    ) -> Result<(), GradError> {
        let mut values: Vec<&mut [f32]> = values.into_iter().collect();
        let gradients: Vec<&[f32]> = gradients.into_iter().collect();
        self.check("values", values.iter().map(|values| values.len()))?;
        self.check("gradients", gradients.iter().map(|gradient| gradient.len()))?;
        self.steps += 1;
        let updates: Vec<Update> = (0..self.groups.len())
            .map(|group| self.update(group, learning_rate, &gradients))
            .collect();
        for ((moments, values), gradient) in
            self.parameters.iter_mut().zip(&mut values).zip(&gradients)
        {
            updates[moments.group].apply(values, gradient, moments);
        }
        Ok(())
    }

    /// The constants of this step for one group.
    fn update(&self, group: usize, learning_rate: f64, gradients: &[&[f32]]) -> Update {
        let bias = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        let Group { rate_scale, weight_decay, clip, .. } = self.groups[group];
        let rate = learning_rate * rate_scale;
        let (beta1, beta2) = self.settings.betas;
        let members = self.parameters.iter().zip(gradients);
        let own =
            members.filter(|(moments, _)| moments.group == group).map(|(_, gradient)| *gradient);
        let (factor, bound) = clip.of(own);
        Update {
            betas: (beta1, beta2),
            epsilon: self.settings.epsilon,
            rate: (rate / bias(beta1)) as f32,
            scale: bias(beta2).recip() as f32,
            keep: (1.0 - rate * weight_decay) as f32,
            factor,
            bound,
        }
    }

    fn check(
        &self,
        what: &'static str,
        lengths: impl ExactSizeIterator<Item = usize>,
    ) -> Result<(), GradError> {
        let expected = self.parameters.len();
        if lengths.len() != expected {
            return Err(GradError::Count { what, found: lengths.len(), expected });
        }
        let mut pairs = self.parameters.iter().zip(lengths);
        match pairs.find(|(moments, found)| moments.first.len() != *found) {
            Some((moments, found)) => Err(GradError::Length {
                what,
                parameter: moments.name.clone(),
                found,
                expected: moments.first.len(),
            }),
            None => Ok(()),
        }
    }

    /// The name, first and second moment of each parameter, in order.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &[f32], &[f32])> {
        self.parameters.iter().map(|m| (m.name.as_str(), m.first.as_slice(), m.second.as_slice()))
    }

    /// Goes on after `steps` steps with moments saved before, in the order of the members.
    ///
    /// # Errors
    /// When they are not as many as the members, or not as long; nothing has changed then.
    pub fn restore(
        &mut self,
        steps: u64,
        first: Vec<Vec<f32>>,
        second: Vec<Vec<f32>>,
    ) -> Result<(), GradError> {
        self.check("first moments", first.iter().map(Vec::len))?;
        self.check("second moments", second.iter().map(Vec::len))?;
        for (moments, (first, second)) in
            self.parameters.iter_mut().zip(first.into_iter().zip(second))
        {
            (moments.first, moments.second) = (first, second);
        }
        self.steps = steps;
        Ok(())
    }

    /// The optimiser's state as a safetensors file.
    ///
    /// # Errors
    /// When the names do not go into one.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, GradError> {
        let tensors = self.moments().flat_map(|(name, first, second)| {
            [(FIRST, first), (SECOND, second)]
                .map(|(prefix, values)| (format!("{prefix}{name}"), vec![values.len()], values))
        });
        let steps = HashMap::from([(STEPS.to_owned(), self.steps.to_string())]);
        state::serialise(tensors, Some(steps))
    }

    /// Goes on from what [`AdamW::to_safetensors`] made.
    ///
    /// # Errors
    /// When it is of other parameters; nothing has changed then.
    pub fn load_safetensors(&mut self, bytes: &[u8]) -> Result<(), GradError> {
        let stored = state::read(bytes)?;
        let steps = state::metadata(bytes, STEPS)?.and_then(|steps| steps.parse().ok());
        let steps = steps.ok_or_else(|| GradError::State("it counts no steps".to_owned()))?;
        let read = |prefix: &str| {
            let tensor = |moments: &Moments| {
                let name = format!("{prefix}{}", moments.name);
                state::tensor(&stored, &name, &[moments.first.len()])
            };
            self.parameters.iter().map(tensor).collect::<Result<Vec<_>, _>>()
        };
        let (first, second) = (read(FIRST)?, read(SECOND)?);
        self.restore(steps, first, second)
    }
}

/// The constants of one step for one group.
struct Update {
    betas: (f32, f32),
    epsilon: f32,
    /// Learning rate over the first moment's bias.
    rate: f32,
    /// Inverse of the second moment's bias.
    scale: f32,
    /// What decay leaves.
    keep: f32,
    /// What gradients are multiplied by, and then held within.
    factor: f32,
    bound: f32,
}

impl Update {
    fn apply(&self, values: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        let (beta1, beta2) = self.betas;
        let moments = moments.first.iter_mut().zip(&mut moments.second);
        for ((value, &gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            let gradient = (gradient * self.factor).clamp(-self.bound, self.bound);
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *value = *value * self.keep
                - self.rate * *first / ((*second * self.scale).sqrt() + self.epsilon);
        }
    }
}
