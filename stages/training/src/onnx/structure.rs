//! Checks that a model's parts fit together: what is read has been made, and tensors are as long as their shapes say. It computes
//! nothing; `numbers` does.

use std::collections::{HashMap, HashSet};

use pipeline_contract::{Result, StageError};

use super::proto::{GraphMessage, TensorMessage, element};

/// Checks a graph.
///
/// # Errors
/// A name that is made twice or read before it is made, a tensor of another length than its shape, or one that nothing reads.
pub(super) fn check(graph: &GraphMessage) -> Result<()> {
    let wrong = |what: String| Err(StageError::new(format!("the ONNX graph is wrong: {what}")));
    let mut made = HashSet::new();
    let mut unread = HashMap::new();
    for tensor in &graph.initializer {
        if bytes(tensor) != Some(tensor.raw_data.len()) {
            return wrong(format!("{} of shape {:?} has {} bytes", tensor.name, tensor.dims, tensor.raw_data.len()));
        }
        unread.insert(tensor.name.as_str(), ());
    }
    let given = graph.input.iter().map(|input| &input.name).chain(graph.initializer.iter().map(|tensor| &tensor.name));
    for name in given {
        if !made.insert(name.as_str()) {
            return wrong(format!("{name} stands twice"));
        }
    }
    for operator in &graph.node {
        // An input without a name is left out.
        for name in operator.input.iter().filter(|name| !name.is_empty()) {
            unread.remove(name.as_str());
            if !made.contains(name.as_str()) {
                return wrong(format!("{} reads {name}, which isn't made before", operator.name));
            }
        }
        for name in &operator.output {
            if name.is_empty() || !made.insert(name) {
                return wrong(format!("{name:?} is made twice"));
            }
        }
    }
    if let Some(output) = graph.output.iter().find(|output| !made.contains(output.name.as_str())) {
        return wrong(format!("the output {} isn't made", output.name));
    }
    match unread.keys().min() {
        Some(name) => wrong(format!("nothing reads {name}")),
        None => Ok(()),
    }
}

/// How many bytes the values of a tensor take; `None` for a type that isn't used, or if that overflows.
fn bytes(tensor: &TensorMessage) -> Option<usize> {
    let size = match tensor.data_type {
        element::FLOAT => 4,
        element::INT64 => 8,
        _ => return None,
    };
    tensor.dims.iter().try_fold(size, |product: usize, &length| product.checked_mul(usize::try_from(length).ok()?))
}
