//! An ONNX graph under construction: operators and tensors are added one after the other, and names are kept apart.
//! It knows no layer.

use std::collections::HashSet;

use super::proto::{Attribute, Operator, TensorMessage, element};

/// A graph under construction.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub operators: Vec<Operator>,
    pub tensors: Vec<TensorMessage>,
    names: HashSet<String>,
}

impl Graph {
    /// Takes a name that no value but one particular may have.
    pub fn reserve(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// A name that nothing has yet: the wanted one, or with a number.
    fn fresh(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = names.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.reserve(&name);
        name
    }

    /// Adds an operator of one output. Returns the output's name, which is also the operator's.
    pub fn operator(&mut self, wanted: &str, op_type: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let name = self.fresh(wanted);
        self.named(&name, op_type, inputs, attributes);
        name
    }

    /// Adds an operator whose output has a reserved name.
    pub fn named(&mut self, name: &str, op_type: &str, inputs: &[&str], attribute: Vec<Attribute>) {
        let input = inputs.iter().map(|&input| input.to_owned()).collect();
        let (output, op_type) = (vec![name.to_owned()], op_type.to_owned());
        self.operators.push(Operator { input, output, name: name.to_owned(), op_type, attribute });
    }

    /// Adds a float32 tensor under a reserved name, unless it is there already.
    pub fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        if self.tensors.iter().any(|tensor| tensor.name == name) {
            return;
        }
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.push(name.to_owned(), shape, element::FLOAT, raw_data);
    }

    /// Adds a float32 constant and returns its name.
    pub fn constant(&mut self, wanted: &str, shape: &[usize], values: &[f32]) -> String {
        let name = self.fresh(wanted);
        self.tensor(&name, shape, values);
        name
    }

    /// Adds a shape, as a list of 64-bit integers, unless it is there already. Returns its name.
    pub fn shape(&mut self, lengths: &[usize]) -> String {
        let name = format!("shape_{}", lengths.iter().map(usize::to_string).collect::<Vec<_>>().join("x"));
        if !self.tensors.iter().any(|tensor| tensor.name == name) {
            let raw_data = lengths.iter().flat_map(|&length| (length as i64).to_le_bytes()).collect();
            self.reserve(&name);
            self.push(name.clone(), &[lengths.len()], element::INT64, raw_data);
        }
        name
    }

    fn push(&mut self, name: String, shape: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = shape.iter().map(|&size| size as i64).collect();
        self.tensors.push(TensorMessage { dims, data_type, name, raw_data });
    }
}
