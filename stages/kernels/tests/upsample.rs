//! The transposed convolution and its gradients against the formulas in float64.

mod reference;

use half::{bf16, f16};
use pipeline_kernels::{
    Activation, Area, View, upsample, upsample_input_gradient, upsample_weight_gradient, upsample_workspace,
};
use reference::{Random, Stored, assert_close, assert_same_for_threads, floats, seen};

/// Batch, inputs, outputs, height, width: with incomplete tiles, blocks and bands, and with several of each.
const SHAPES: [[usize; 5]; 6] =
    [[1, 1, 1, 1, 1], [2, 3, 2, 3, 5], [3, 5, 7, 2, 33], [1, 65, 34, 7, 9], [1, 130, 67, 5, 11], [1, 4, 3, 20, 300]];

struct Case<E> {
    area: Area,
    inputs: usize,
    outputs: usize,
    input: Vec<E>,
    affine: Option<Vec<[f32; 2]>>,
    upstream: Vec<E>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl<E: Stored> Case<E> {
    fn new([batch, inputs, outputs, height, width]: [usize; 5], affine: bool) -> Self {
        let (area, mut random) = (Area { batch, height, width }, Random(7));
        Self {
            area,
            inputs,
            outputs,
            input: random.map(area.values(inputs)),
            affine: affine.then(|| random.affine(batch * inputs)),
            upstream: random.map(area.values(outputs) * 4),
            weight: random.floats(inputs * outputs * 4),
            bias: random.floats(outputs),
        }
    }

    fn view(&self) -> View<'_, E> {
        let activation = if self.affine.is_some() { Activation::Relu } else { Activation::LeakyRelu(0.25) };
        View { affine: self.affine.as_deref(), activation, ..View::plain(&self.input, self.inputs) }
    }

    /// What is in it does not matter.
    fn workspace(&self) -> Vec<f32> {
        vec![f32::NAN; upsample_workspace(self.inputs, self.outputs, self.area)]
    }

    fn forward(&self) -> Vec<E> {
        let mut out = vec![E::default(); self.upstream.len()];
        upsample(self.view(), &self.weight, &self.bias, self.area, &mut out, &mut self.workspace());
        out
    }

    fn input_gradient(&self) -> Vec<E> {
        let mut out = self.input.clone();
        let (weight, workspace) = (&self.weight, &mut self.workspace());
        upsample_input_gradient(&self.upstream, weight, self.inputs, self.outputs, self.area, &mut out, workspace);
        out
    }

    /// Added to the weight and bias.
    fn weight_gradient(&self) -> (Vec<f32>, Vec<f32>) {
        let (mut weight, mut bias, workspace) = (self.weight.clone(), self.bias.clone(), &mut self.workspace());
        upsample_weight_gradient(self.view(), &self.upstream, self.outputs, self.area, &mut weight, &mut bias, workspace);
        (weight, bias)
    }

    /// For every product: the places of input, weight and output.
    fn products(&self, mut each: impl FnMut(usize, usize, usize)) {
        let Area { batch, height, width } = self.area;
        for (sample, input, output) in (0..batch * self.inputs * self.outputs)
            .map(|index| (index / self.inputs / self.outputs, index / self.outputs % self.inputs, index % self.outputs))
        {
            for (y, x, i, j) in
                (0..height * width * 4).map(|index| (index / 4 / width, index / 4 % width, index / 2 % 2, index % 2))
            {
                let from = ((sample * self.inputs + input) * height + y) * width + x;
                let to = ((sample * self.outputs + output) * 2 * height + 2 * y + i) * 2 * width + 2 * x + j;
                each(from, ((input * self.outputs + output) * 2 + i) * 2 + j, to);
            }
        }
    }
}

fn against_formulas<E: Stored>() {
    for (shape, affine) in SHAPES.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        let case = Case::<E>::new(shape, affine);
        let (input, upstream, plane) = (seen(case.view(), case.area), floats(&case.upstream), 4 * case.area.pixels());
        let mut out: Vec<f64> = (0..upstream.len()).map(|index| f64::from(case.bias[index / plane % case.outputs])).collect();
        let mut input_gradient = vec![0.0; input.len()];
        let mut weight: Vec<f64> = case.weight.iter().map(|value| f64::from(*value)).collect();
        let mut bias: Vec<f64> = case.bias.iter().map(|value| f64::from(*value)).collect();
        case.products(|from, by, to| {
            out[to] += input[from] * f64::from(case.weight[by]);
            input_gradient[from] += f64::from(upstream[to]) * f64::from(case.weight[by]);
            weight[by] += f64::from(upstream[to]) * input[from];
        });
        for (index, value) in upstream.iter().enumerate() {
            bias[index / plane % case.outputs] += f64::from(*value);
        }
        assert_close(&case.forward(), &out, 2e-5);
        assert_close(&case.input_gradient(), &input_gradient, 2e-5);
        let got = case.weight_gradient();
        assert_close(&got.0, &weight, 1e-4);
        assert_close(&got.1, &bias, 1e-4);
    }
}

#[test]
fn float32() {
    against_formulas::<f32>();
}

#[test]
fn float16() {
    against_formulas::<f16>();
}

#[test]
fn bfloat16() {
    against_formulas::<bf16>();
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    for shape in [[2, 130, 67, 9, 40], [1, 4, 3, 20, 300]] {
        let case = Case::<f32>::new(shape, true);
        assert_same_for_threads(|| case.forward());
        assert_same_for_threads(|| case.input_gradient());
        assert_same_for_threads(|| {
            let (weight, bias) = case.weight_gradient();
            [weight, bias].concat()
        });
    }
}
