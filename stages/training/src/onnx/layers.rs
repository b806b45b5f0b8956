//! What each layer becomes in ONNX. A new layer doesn't compile before it has its operators here.

use pipeline_contract::{Result, StageError};

use super::proto::Attribute;
use super::translation::Translation;
use crate::layer::{Convolution, Head, Layer, TransposedConvolution};
use crate::network::NodeId;

impl Translation<'_> {
    /// Adds a layer of a block; returns its value.
    pub fn layer(&mut self, block: &str, layer: &Layer, inputs: &[NodeId]) -> Result<String> {
        match layer {
            Layer::Convolution(layer) => {
                let read = self.joined(block, inputs)?;
                Ok(self.convolution(layer, &read))
            }
            Layer::Head(layer) => {
                let read = self.joined(block, inputs)?;
                Ok(self.head(layer, &read))
            }
            Layer::TransposedConvolution(layer) => {
                let read = self.map(inputs)?;
                Ok(self.transposed(layer, &read))
            }
            Layer::UpsampleNearest(_) => {
                let read = self.map(inputs)?;
                let scales = self.graph.constant(&format!("{block}.upsample.scales"), &[4], &[1.0, 1.0, 2.0, 2.0]);
                // Output pixel `y` is input pixel `floor(y / 2)`.
                let attributes = vec![
                    Attribute::text("coordinate_transformation_mode", "asymmetric"),
                    Attribute::text("mode", "nearest"),
                    Attribute::text("nearest_mode", "floor"),
                ];
                Ok(self.graph.operator(&format!("{block}.upsample"), "Resize", &[&read, "", &scales], attributes))
            }
            Layer::MaxPool(_) => {
                let read = self.map(inputs)?;
                let attributes = vec![Attribute::ints("kernel_shape", &[2, 2]), Attribute::ints("strides", &[2, 2])];
                Ok(self.graph.operator(&format!("{block}.pool"), "MaxPool", &[&read], attributes))
            }
            Layer::Sum(layer) => {
                let read = self.maps(inputs)?;
                let sum = read
                    .into_iter()
                    .reduce(|sum, map| self.graph.operator(&format!("{block}.sum"), "Add", &[&sum, &map], Vec::new()));
                let sum = sum.ok_or_else(|| StageError::new("a sum adds nothing"))?;
                Ok(self.activated(layer.activation, sum))
            }
            Layer::Probabilities(_) => {
                let read = self.map(inputs)?;
                let (operator, attributes) = probabilities(self.shapes[inputs[0]].channels);
                Ok(self.graph.operator(&format!("{block}.probabilities"), operator, &[&read], attributes))
            }
            // Maps are float32 here, so nothing is rounded.
            Layer::StoredLogits(_) => self.map(inputs),
            Layer::MeanLogits(layer) => {
                let read = self.maps(inputs)?;
                if read.len() != layer.count {
                    return Err(StageError::new(format!("a mean of {} maps reads {}", layer.count, read.len())));
                }
                let read: Vec<&str> = read.iter().map(String::as_str).collect();
                Ok(self.graph.operator(&format!("{block}.mean"), "Mean", &read, Vec::new()))
            }
        }
    }

    fn convolution(&mut self, layer: &Convolution, read: &str) -> String {
        let geometry = layer.geometry;
        let attributes = vec![
            Attribute::ints("dilations", &[geometry.dilation; 2]),
            Attribute::ints("kernel_shape", &[geometry.size; 2]),
            Attribute::ints("pads", &[geometry.padding(); 4]),
            Attribute::ints("strides", &[geometry.stride; 2]),
        ];
        let value = self.weighted("Conv", (layer.weight, layer.bias), read, attributes);
        self.activated(layer.activation, value)
    }

    fn head(&mut self, layer: &Head, read: &str) -> String {
        let kernel = vec![Attribute::ints("kernel_shape", &[1, 1])];
        self.weighted("Conv", (layer.weight, Some(layer.bias)), read, kernel)
    }

    fn transposed(&mut self, layer: &TransposedConvolution, read: &str) -> String {
        let attributes = vec![Attribute::ints("kernel_shape", &[2, 2]), Attribute::ints("strides", &[2, 2])];
        self.weighted("ConvTranspose", (layer.weight, layer.bias), read, attributes)
    }

    /// An operator with a weight and perhaps a bias, named after the weight.
    fn weighted(
        &mut self,
        operator: &str,
        (weight, bias): (usize, Option<usize>),
        read: &str,
        attributes: Vec<Attribute>,
    ) -> String {
        let name = self.name_of(weight);
        let (weight, bias) = (self.trained(weight), bias.map(|slot| self.trained(slot)));
        let inputs: Vec<&str> = [read, &weight].into_iter().chain(bias.as_deref()).collect();
        self.graph.operator(&name, operator, &inputs, attributes)
    }
}

/// The operator that turns logits of this many channels into probabilities.
pub(super) fn probabilities(channels: usize) -> (&'static str, Vec<Attribute>) {
    match channels {
        1 => ("Sigmoid", Vec::new()),
        _ => ("Softmax", vec![Attribute::int("axis", 1)]),
    }
}
