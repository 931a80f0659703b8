//! A dense layer of the model: a weight and a bias, each frozen or trained, and an adapter.

use std::borrow::Cow;

use tricorn_model::ModelSource;

use crate::{
    error::GradError,
    lora::Adapter,
    ops::linear,
    parameters::{Gradients, Parameters, Tensor},
};

/// `y = x W^T + b`, with an adapter beside `W` where there is one.
#[derive(Debug)]
pub(crate) struct Dense {
    /// The name of the layer, without `.weight`.
    pub(crate) name: String,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) adapter: Option<Adapter>,
}

impl Dense {
    /// Reads a layer in the format that the source holds it in.
    pub(crate) fn load(
        source: &ModelSource,
        name: String,
        (outputs, inputs): (usize, usize),
        biased: bool,
    ) -> Result<Self, GradError> {
        let weight = source.matrix(&format!("{name}.weight"), outputs, inputs)?;
        let bias = if biased {
            Some(Tensor::frozen(source.weights().raw(&format!("{name}.bias"), &[outputs])?))
        } else {
            None
        };
        let weight = Tensor::frozen(weight);
        Ok(Self { name, inputs, outputs, weight, bias, adapter: None })
    }

    pub(crate) fn forward(&self, parameters: &Parameters, x: &[f32]) -> Vec<f32> {
        let weight = self.weight.weight(parameters);
        let mut y = linear::forward(x, weight, self.inputs, self.outputs);
        if let Some(bias) = &self.bias {
            linear::add_bias(&mut y, &bias.weight(parameters).rows(self.outputs, 0..1));
        }
        if let Some(adapter) = &self.adapter {
            adapter.add_forward(parameters, x, &mut y);
        }
        y
    }

    /// The gradient of `x`, given that of the output; adds those of what is trained.
    pub(crate) fn backward(
        &self,
        parameters: &Parameters,
        x: &[f32],
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        if let Some(index) = self.weight.trained() {
            gradients.add_to(index, &linear::weight_gradient(gradient, outputs, x, inputs));
        }
        if let Some(index) = self.bias.as_ref().and_then(Tensor::trained) {
            gradients.add_to(index, &linear::bias_gradient(gradient, outputs));
        }
        let weight = self.weight.weight(parameters);
        let mut dx = linear::input_gradient(gradient, weight, inputs, outputs);
        if let Some(adapter) = &self.adapter {
            adapter.add_backward(parameters, x, gradient, &mut dx, gradients);
        }
        dx
    }

    /// The weight with the adapter's update in it.
    pub(crate) fn merged(&self, parameters: &Parameters) -> Vec<f32> {
        let mut weight = self.weight.weight(parameters).to_f32();
        if let Some(adapter) = &self.adapter {
            adapter.merge_into(parameters, &mut weight);
        }
        weight
    }

    pub(crate) fn is_trained(&self) -> bool {
        let tensors = [Some(&self.weight), self.bias.as_ref()];
        self.adapter.is_some() || tensors.into_iter().flatten().any(|t| t.trained().is_some())
    }

    /// Its tensors with their names and shapes.
    pub(crate) fn tensors_mut(&mut self) -> Vec<(String, Vec<usize>, &mut Tensor)> {
        let name = |part| format!("{}.{part}", self.name);
        let (weight, bias) = (name("weight"), name("bias"));
        let mut tensors = vec![(weight, vec![self.outputs, self.inputs], &mut self.weight)];
        tensors.extend(self.bias.as_mut().map(|tensor| (bias, vec![self.outputs], tensor)));
        tensors
    }
}

/// The weight of a norm.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) name: String,
    pub(crate) weight: Tensor,
    pub(crate) width: usize,
    pub(crate) eps: f32,
}

impl Norm {
    pub(crate) fn load(
        source: &ModelSource,
        name: String,
        width: usize,
        eps: f32,
    ) -> Result<Self, GradError> {
        let weight = Tensor::frozen(source.weights().raw(&format!("{name}.weight"), &[width])?);
        Ok(Self { name, weight, width, eps })
    }

    pub(crate) fn values<'a>(&'a self, parameters: &'a Parameters) -> Cow<'a, [f32]> {
        self.weight.weight(parameters).rows(self.width, 0..1)
    }

    /// Unit rows and normed rows.
    pub(crate) fn forward(&self, parameters: &Parameters, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        crate::ops::norm::forward(x, &self.values(parameters), self.eps)
    }

    /// The gradient of `x`, given that of the normed rows; adds that of the weight.
    pub(crate) fn backward(
        &self,
        parameters: &Parameters,
        (x, unit): (&[f32], &[f32]),
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Vec<f32> {
        if let Some(index) = self.weight.trained() {
            let of_weight = crate::ops::norm::weight_gradient(gradient, unit, self.width);
            gradients.add_to(index, &of_weight);
        }
        crate::ops::norm::input_gradient(x, &self.values(parameters), self.eps, gradient)
    }

    pub(crate) fn tensor_mut(&mut self) -> (String, Vec<usize>, &mut Tensor) {
        (format!("{}.weight", self.name), vec![self.width], &mut self.weight)
    }

    pub(crate) fn is_trained(&self) -> bool {
        self.weight.trained().is_some()
    }
}
