//! Parameters: the tensors that are trained, by name, and their gradients.

use std::borrow::Cow;

use tricorn_model::weights::StoredTensor;

use crate::{
    error::GradError,
    ops::{add, linear::Weight},
    optimizer::Member,
    state,
};

/// A tensor that is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name: the model's for a tensor of the model, PEFT's for one of an adapter.
    pub name: String,
    /// Its shape, outputs first.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: Vec<f32>,
}

/// The tensors that are trained, in the order in which they were chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(Vec<Parameter>);

impl Parameters {
    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Parameter> {
        self.0.iter()
    }

    /// The parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|parameter| parameter.name == name)
    }

    /// The numbers of the parameter of this name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let found = self.0.iter_mut().find(|parameter| parameter.name == name);
        found.map(|parameter| parameter.values.as_mut_slice())
    }

    /// The numbers of all of them, for [`AdamW::step`](crate::AdamW::step).
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [f32]> {
        self.0.iter_mut().map(|parameter| parameter.values.as_mut_slice())
    }

    /// All of them as members of one group of an optimiser.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<Member> {
        self.members_by(|_| group.to_owned())
    }

    /// All of them as members of groups, `group` naming that of each.
    #[must_use]
    pub fn members_by(&self, group: impl Fn(&Parameter) -> String) -> Vec<Member> {
        let member = |parameter: &Parameter| Member {
            name: parameter.name.clone(),
            len: parameter.values.len(),
            group: group(parameter),
        };
        self.0.iter().map(member).collect()
    }

    /// The parameters as a safetensors file.
    ///
    /// # Errors
    /// When the names do not go into one.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, GradError> {
        let tensors = self.0.iter().map(|parameter| {
            (parameter.name.clone(), parameter.shape.clone(), parameter.values.as_slice())
        });
        state::serialise(tensors, None)
    }

    /// Takes the numbers of all parameters from what [`Parameters::to_safetensors`] made.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape; nothing has changed then.
    pub fn load_safetensors(&mut self, bytes: &[u8]) -> Result<(), GradError> {
        let stored = state::read(bytes)?;
        let read = |parameter: &Parameter| {
            let shape = parameter.shape.as_slice();
            state::tensor(&stored, &parameter.name, shape)
        };
        let values = self.0.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        self.0.iter_mut().zip(values).for_each(|(parameter, values)| parameter.values = values);
        Ok(())
    }

    /// Adds a parameter and returns its place.
    pub(crate) fn push(&mut self, parameter: Parameter) -> Result<usize, GradError> {
        if self.get(&parameter.name).is_some() {
            return Err(GradError::AlreadyTrained(parameter.name));
        }
        self.0.push(parameter);
        Ok(self.0.len() - 1)
    }

    pub(crate) fn at(&self, index: usize) -> &[f32] {
        &self.0[index].values
    }

    /// Gradients of zero.
    pub(crate) fn zero_gradients(&self) -> Gradients {
        Gradients(self.0.iter().map(|parameter| vec![0.0; parameter.values.len()]).collect())
    }
}

/// The gradient of each parameter, in the parameters' order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients(Vec<Vec<f32>>);

impl Gradients {
    /// The gradients' numbers, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Adds the gradients of another batch for the same parameters.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| add(sum, more));
    }

    /// Multiplies all by a factor.
    pub fn scale(&mut self, factor: f32) {
        self.0.iter_mut().flatten().for_each(|gradient| *gradient *= factor);
    }

    pub(crate) fn add_to(&mut self, index: usize, more: &[f32]) {
        add(&mut self.0[index], more);
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.0[index]
    }
}

/// A tensor of the model: frozen as it is stored, or a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Tensor {
    Frozen(StoredTensor<'static>),
    Trained(usize),
}

impl Tensor {
    pub(crate) fn frozen(stored: StoredTensor<'_>) -> Self {
        let StoredTensor { dtype, bytes } = stored;
        Self::Frozen(StoredTensor { dtype, bytes: Cow::Owned(bytes.into_owned()) })
    }

    pub(crate) fn weight<'a>(&'a self, parameters: &'a Parameters) -> Weight<'a> {
        match self {
            Self::Frozen(stored) => Weight::Stored(stored.view()),
            Self::Trained(index) => Weight::Values(parameters.at(*index)),
        }
    }

    /// Its place among the parameters.
    pub(crate) fn trained(&self) -> Option<usize> {
        match self {
            Self::Frozen(_) => None,
            Self::Trained(index) => Some(*index),
        }
    }
}
