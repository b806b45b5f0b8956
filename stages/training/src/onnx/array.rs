//! An array of the interpreter. All kinds of numbers are float64 here: bytes and the sizes of images are exact in it.

use pipeline_contract::{Result, StageError};

use super::proto::{TensorMessage, element};

/// Values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    /// An array of these values.
    ///
    /// # Errors
    /// When there aren't as many as the shape says.
    pub fn new(shape: &[usize], values: Vec<f64>) -> Result<Self> {
        if shape.iter().product::<usize>() != values.len() {
            return Err(StageError::new(format!("{} values are not of shape {shape:?}", values.len())));
        }
        Ok(Self { shape: shape.to_vec(), values })
    }

    pub fn filled(shape: &[usize], value: f64) -> Self {
        Self { shape: shape.to_vec(), values: vec![value; shape.iter().product()] }
    }

    /// A tensor of a file.
    pub fn read(tensor: &TensorMessage) -> Result<Self> {
        let shape: Vec<usize> = tensor.dims.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect();
        let values = match tensor.data_type {
            element::FLOAT => tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
            element::INT64 => tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
            other => return Err(StageError::new(format!("{} has elements of type {other}", tensor.name))),
        };
        Self::new(&shape, values)
    }

    /// The lengths of its four dimensions: batch, channels, height, width.
    pub fn four(&self) -> Result<[usize; 4]> {
        <[usize; 4]>::try_from(self.shape.as_slice())
            .map_err(|_| StageError::new(format!("an array of shape {:?} is no batch of maps", self.shape)))
    }

    pub fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Self { shape: self.shape.clone(), values: self.values.iter().map(|&value| function(value)).collect() }
    }

    /// Combines two arrays value by value, of which dimensions are aligned at the end and those of length 1 are repeated.
    pub fn zip(&self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Result<Self> {
        let rank = self.shape.len().max(other.shape.len());
        let long = |array: &Self| [vec![1; rank - array.shape.len()], array.shape.clone()].concat();
        let (left, right) = (long(self), long(other));
        if left.iter().zip(&right).any(|(a, b)| a != b && *a != 1 && *b != 1) {
            return Err(StageError::new(format!("arrays of shapes {:?} and {:?} don't combine", self.shape, other.shape)));
        }
        let shape: Vec<usize> = left.iter().zip(&right).map(|(a, b)| *a.max(b)).collect();
        let (left, right) = (strides(&left), strides(&right));
        let (mut result, mut index) = (Self::filled(&shape, 0.0), vec![0; rank]);
        for value in &mut result.values {
            let at = |strides: &[usize]| index.iter().zip(strides).map(|(index, stride)| index * stride).sum::<usize>();
            *value = function(self.values[at(&left)], other.values[at(&right)]);
            for dimension in (0..rank).rev() {
                index[dimension] += 1;
                if index[dimension] < shape[dimension] {
                    break;
                }
                index[dimension] = 0;
            }
        }
        Ok(result)
    }
}

/// From one index to the next in each dimension; 0 where a dimension is repeated.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut step = 1;
    let mut strides: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&length| {
            let stride = if length == 1 { 0 } else { step };
            step *= length;
            stride
        })
        .collect();
    strides.reverse();
    strides
}
