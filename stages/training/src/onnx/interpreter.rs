//! Runs a model's graph by plain loops in float64, after ONNX's specification alone. It shares no code with the network's kernels,
//! so it finds what the translation got wrong. It knows the operators that are written here, not all of ONNX, and is slow.

use std::collections::HashMap;

use pipeline_contract::{Result, StageError};

use super::array::Array;
use super::maps;
use super::proto::{Attribute, GraphMessage, Operator};

/// What an operator's results are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// Nothing.
    Float64,
    /// float32, as in other programs. Within an operator nothing is rounded.
    Float32,
}

/// The value of each name of `wanted`, in order, for the given inputs.
///
/// # Errors
/// When the graph has an operator or attribute that isn't known, or shapes don't fit.
pub(super) fn run(
    graph: &GraphMessage,
    inputs: Vec<(&str, Array)>,
    wanted: &[&str],
    arithmetic: Arithmetic,
) -> Result<Vec<Array>> {
    let mut values: HashMap<&str, Array> = inputs.into_iter().collect();
    for tensor in &graph.initializer {
        values.insert(&tensor.name, Array::read(tensor)?);
    }
    // A value is freed after the last operator that reads it.
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (at, operator) in graph.node.iter().enumerate() {
        last.extend(operator.input.iter().map(|name| (name.as_str(), at)));
    }
    for (at, operator) in graph.node.iter().enumerate() {
        let read = operator.input.iter().map(|name| values.get(name.as_str())).collect::<Vec<_>>();
        let mut made = Call { operator, inputs: &read }.run().map_err(|error| error.context(&operator.name))?;
        if arithmetic == Arithmetic::Float32 {
            made.values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        }
        for name in
            operator.input.iter().filter(|name| last.get(name.as_str()) == Some(&at) && !wanted.contains(&name.as_str()))
        {
            values.remove(name.as_str());
        }
        if let Some(name) = operator.output.first() {
            values.insert(name, made);
        }
    }
    let missing = |name: &str| StageError::new(format!("the graph makes no {name}"));
    wanted.iter().map(|name| values.remove(name).ok_or_else(|| missing(name))).collect()
}

/// An operator with its inputs; `None` for one that is left out.
struct Call<'a> {
    operator: &'a Operator,
    inputs: &'a [Option<&'a Array>],
}

impl<'a> Call<'a> {
    fn run(&self) -> Result<Array> {
        let x = self.input(0)?;
        match self.operator.op_type.as_str() {
            // Every kind of number is float64 here.
            "Cast" => Ok(x.clone()),
            "Add" => x.zip(self.input(1)?, |a, b| a + b),
            "Sub" => x.zip(self.input(1)?, |a, b| a - b),
            "Mul" => x.zip(self.input(1)?, |a, b| a * b),
            "Div" => x.zip(self.input(1)?, |a, b| a / b),
            "Mean" => self.mean(),
            "Relu" => Ok(x.map(|value| if value < 0.0 { 0.0 } else { value })),
            "LeakyRelu" => {
                let alpha = self.float("alpha", 0.01);
                Ok(x.map(|value| if value < 0.0 { alpha * value } else { value }))
            }
            "Sqrt" => Ok(x.map(f64::sqrt)),
            "Sigmoid" => Ok(x.map(|value| 1.0 / (1.0 + (-value).exp()))),
            "Softmax" if self.int("axis", -1) == 1 => maps::softmax(x),
            "Concat" if self.int("axis", 0) == 1 => {
                maps::concat(&(0..self.inputs.len()).map(|at| self.input(at)).collect::<Result<Vec<_>>>()?)
            }
            "Reshape" => self.reshape(x),
            "Expand" => x.zip(&Array::filled(&lengths(self.input(1)?), 0.0), |value, _| value),
            "ReduceMean" => maps::mean(x, &self.ints("axes")),
            "BatchNormalization" => {
                let [scale, shift, mean, variance] = [self.input(1)?, self.input(2)?, self.input(3)?, self.input(4)?];
                maps::batch_norm(x, [scale, shift, mean, variance], self.float("epsilon", 1e-5))
            }
            "MaxPool" => maps::max_pool(x, self.pair("kernel_shape")?, self.pair("strides")?),
            "Resize" => self.resize(x),
            "Conv" => {
                let (strides, dilations) = (self.pair("strides")?, self.pair("dilations")?);
                let pads = self.ints("pads");
                let pads = if pads.is_empty() { [0, 0] } else { [pads[0], *pads.get(1).unwrap_or(&0)] };
                maps::convolution(x, self.input(1)?, self.optional(2), maps::Window { strides, dilations, pads })
            }
            "ConvTranspose" => maps::transposed(x, self.input(1)?, self.optional(2), self.pair("strides")?),
            other => Err(StageError::new(format!("the operator {other}, with these attributes, isn't known"))),
        }
    }

    fn optional(&self, at: usize) -> Option<&'a Array> {
        self.inputs.get(at).copied().flatten()
    }

    fn input(&self, at: usize) -> Result<&'a Array> {
        self.optional(at).ok_or_else(|| StageError::new(format!("there is no input {at}")))
    }

    fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.operator.attribute.iter().find(|attribute| attribute.name == name)
    }

    fn float(&self, name: &str, default: f32) -> f64 {
        self.attribute(name).and_then(|attribute| attribute.f).unwrap_or(default).into()
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    fn ints(&self, name: &str) -> Vec<usize> {
        let ints = self.attribute(name).map_or(&[][..], |attribute| &attribute.ints);
        ints.iter().map(|&value| usize::try_from(value).unwrap_or(0)).collect()
    }

    /// A number for the rows and one for the columns; 1 where the file says nothing.
    fn pair(&self, name: &str) -> Result<[usize; 2]> {
        match self.ints(name).as_slice() {
            [] => Ok([1, 1]),
            [rows, columns] if *rows > 0 && *columns > 0 => Ok([*rows, *columns]),
            other => Err(StageError::new(format!("{name} are {other:?}"))),
        }
    }

    fn mean(&self) -> Result<Array> {
        let mut sum = self.input(0)?.clone();
        for at in 1..self.inputs.len() {
            sum = sum.zip(self.input(at)?, |a, b| a + b)?;
        }
        let count = self.inputs.len() as f64;
        Ok(sum.map(|value| value / count))
    }

    /// A length of 0 is the input's own.
    fn reshape(&self, x: &Array) -> Result<Array> {
        let wanted = lengths(self.input(1)?).into_iter().enumerate();
        let own = |at: usize| x.shape.get(at).copied().unwrap_or(0);
        let shape: Vec<usize> = wanted.map(|(at, length)| if length == 0 { own(at) } else { length }).collect();
        Array::new(&shape, x.values.clone())
    }

    fn resize(&self, x: &Array) -> Result<Array> {
        let text = |name: &str| self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        let modes = ["coordinate_transformation_mode", "mode", "nearest_mode"].map(text);
        match (modes, self.input(2)?.values.as_slice()) {
            ([Some(b"asymmetric"), Some(b"nearest"), Some(b"floor")], &[1.0, 1.0, rows, columns]) => {
                maps::nearest(x, [rows, columns])
            }
            (_, scales) => Err(StageError::new(format!("a Resize by {scales:?}, with these attributes, isn't known"))),
        }
    }
}

/// A shape that is given as an array.
fn lengths(array: &Array) -> Vec<usize> {
    array.values.iter().map(|&length| length as usize).collect()
}
