//! The interpreter's operators on batches of maps, `[batch, channels, height, width]`, as ONNX's specification defines them.

use pipeline_contract::{Result, StageError};

use super::array::Array;

/// How a convolution's window moves. Each is a number for rows and one for columns.
pub(super) struct Window {
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Zeros on each side.
    pub pads: [usize; 2],
}

fn unfit(what: &str, arrays: &[&Array]) -> StageError {
    let shapes: Vec<_> = arrays.iter().map(|array| &array.shape).collect();
    StageError::new(format!("{what} doesn't fit the shapes {shapes:?}"))
}

pub(super) fn concat(parts: &[&Array]) -> Result<Array> {
    let first = parts.first().map_or(Ok([0; 4]), |part| part.four())?;
    let [batch, _, height, width] = first;
    let mut channels = 0;
    for part in parts {
        let [b, c, h, w] = part.four()?;
        if [b, h, w] != [batch, height, width] {
            return Err(unfit("a concatenation", parts));
        }
        channels += c;
    }
    let mut values = Vec::with_capacity(batch * channels * height * width);
    for sample in 0..batch {
        for part in parts {
            let own = part.values.len() / batch.max(1);
            values.extend_from_slice(&part.values[sample * own..(sample + 1) * own]);
        }
    }
    Array::new(&[batch, channels, height, width], values)
}

/// Over the channels.
pub(super) fn softmax(x: &Array) -> Result<Array> {
    let [_, channels, height, width] = x.four()?;
    let (mut result, pixels) = (x.clone(), height * width);
    for sample in result.values.chunks_mut((channels * pixels).max(1)) {
        for pixel in 0..pixels {
            let all = || (0..channels).map(|channel| channel * pixels + pixel);
            let most = all().map(|at| sample[at]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = all().map(|at| (sample[at] - most).exp()).sum();
            all().for_each(|at| sample[at] = (sample[at] - most).exp() / sum);
        }
    }
    Ok(result)
}

/// The mean over one dimension, which stays with length 1.
pub(super) fn mean(x: &Array, axes: &[usize]) -> Result<Array> {
    let length = axes.first().and_then(|&axis| x.shape.get(axis)).copied().unwrap_or(0);
    let &[axis] = axes else { return Err(unfit("a mean over several dimensions", &[x])) };
    if length == 0 {
        return Err(unfit("a mean", &[x]));
    }
    let inner: usize = x.shape[axis + 1..].iter().product();
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    let mut values = Vec::with_capacity(x.values.len() / length);
    for block in x.values.chunks((length * inner).max(1)) {
        values.extend((0..inner).map(|at| block[at..].iter().step_by(inner).sum::<f64>() / length as f64));
    }
    Array::new(&shape, values)
}

/// By the given statistics: scale, shift, mean and variance.
pub(super) fn batch_norm(x: &Array, parameters: [&Array; 4], epsilon: f64) -> Result<Array> {
    let [_, channels, height, width] = x.four()?;
    if parameters.iter().any(|array| array.shape != [channels]) {
        return Err(unfit("a batch norm", &[&[x], &parameters[..]].concat()));
    }
    let mut result = x.clone();
    for (at, plane) in result.values.chunks_mut((height * width).max(1)).enumerate() {
        let [scale, shift, mean, variance] = parameters.map(|array| array.values[at % channels]);
        let factor = scale / (variance + epsilon).sqrt();
        plane.iter_mut().for_each(|value| *value = (*value - mean) * factor + shift);
    }
    Ok(result)
}

/// Without padding; what is left over at the edges is not read.
pub(super) fn max_pool(x: &Array, kernel: [usize; 2], strides: [usize; 2]) -> Result<Array> {
    let [batch, channels, height, width] = x.four()?;
    if height < kernel[0] || width < kernel[1] {
        return Err(unfit("a pooling", &[x]));
    }
    let [rows, columns] = [(height - kernel[0]) / strides[0] + 1, (width - kernel[1]) / strides[1] + 1];
    let mut values = Vec::with_capacity(batch * channels * rows * columns);
    for plane in x.values.chunks(height * width) {
        for row in 0..rows {
            for column in 0..columns {
                let (y, x) = (row * strides[0], column * strides[1]);
                let window = (y..y + kernel[0]).flat_map(|y| (x..x + kernel[1]).map(move |x| y * width + x));
                values.push(window.map(|at| plane[at]).fold(f64::NEG_INFINITY, f64::max));
            }
        }
    }
    Array::new(&[batch, channels, rows, columns], values)
}

/// Output pixel `y` is input pixel `floor(y / scale)`.
pub(super) fn nearest(x: &Array, scales: [f64; 2]) -> Result<Array> {
    let [batch, channels, height, width] = x.four()?;
    let longer = |length: usize, scale: f64| (length as f64 * scale).floor() as usize;
    let (rows, columns) = (longer(height, scales[0]), longer(width, scales[1]));
    let from = |at: usize, scale: f64, length: usize| ((at as f64 / scale).floor() as usize).min(length - 1);
    let mut values = Vec::with_capacity(batch * channels * rows * columns);
    for plane in x.values.chunks((height * width).max(1)) {
        for row in 0..rows {
            let y = from(row, scales[0], height);
            values.extend((0..columns).map(|column| plane[y * width + from(column, scales[1], width)]));
        }
    }
    Array::new(&[batch, channels, rows, columns], values)
}

/// A cross-correlation of `x` with the weight `[outputs, inputs, rows, columns]`, plus the bias.
pub(super) fn convolution(x: &Array, weight: &Array, bias: Option<&Array>, window: Window) -> Result<Array> {
    let ([batch, channels, height, width], [outputs, inputs, rows, columns]) = (x.four()?, weight.four()?);
    let Window { strides, dilations, pads } = window;
    // How far the first and the last tap of a window are apart.
    let span = [dilations[0] * rows.saturating_sub(1), dilations[1] * columns.saturating_sub(1)];
    let fits = height + 2 * pads[0] > span[0] && width + 2 * pads[1] > span[1];
    if channels != inputs || !fits || bias.is_some_and(|bias| bias.shape != [outputs]) {
        return Err(unfit("a convolution", &[x, weight]));
    }
    let out = [(height + 2 * pads[0] - span[0] - 1) / strides[0] + 1, (width + 2 * pads[1] - span[1] - 1) / strides[1] + 1];
    let mut result = Array::filled(&[batch, outputs, out[0], out[1]], 0.0);
    for (at, plane) in result.values.chunks_mut((out[0] * out[1]).max(1)).enumerate() {
        let (sample, output) = (at / outputs, at % outputs);
        plane.fill(bias.map_or(0.0, |bias| bias.values[output]));
        for channel in 0..channels {
            let source = &x.values[(sample * channels + channel) * height * width..][..height * width];
            let kernel = &weight.values[(output * inputs + channel) * rows * columns..][..rows * columns];
            for (tap, &factor) in kernel.iter().enumerate() {
                let [down, right] = [tap / columns * dilations[0], tap % columns * dilations[1]];
                // The columns of the output whose tap lies inside the input.
                let first = pads[1].saturating_sub(right).div_ceil(strides[1]);
                let end = (width + pads[1]).saturating_sub(right).div_ceil(strides[1]).min(out[1]);
                for (row, line) in plane.chunks_mut(out[1]).enumerate() {
                    let Some(y) = (row * strides[0] + down).checked_sub(pads[0]).filter(|&y| y < height) else { continue };
                    if first >= end {
                        continue;
                    }
                    let from = &source[y * width + first * strides[1] + right - pads[1]..(y + 1) * width];
                    let line = line[first..end].iter_mut();
                    // The same loop without steps is several times as fast.
                    match strides[1] {
                        1 => line.zip(from).for_each(|(sum, value)| *sum += factor * value),
                        step => line.zip(from.iter().step_by(step)).for_each(|(sum, value)| *sum += factor * value),
                    }
                }
            }
        }
    }
    Ok(result)
}

/// A transposed convolution without padding, with the weight `[inputs, outputs, rows, columns]`: each value of `x` adds its
/// kernel to the output.
pub(super) fn transposed(x: &Array, weight: &Array, bias: Option<&Array>, strides: [usize; 2]) -> Result<Array> {
    let ([batch, channels, height, width], [inputs, outputs, rows, columns]) = (x.four()?, weight.four()?);
    if channels != inputs || height * width == 0 || bias.is_some_and(|bias| bias.shape != [outputs]) {
        return Err(unfit("a transposed convolution", &[x, weight]));
    }
    let out = [(height - 1) * strides[0] + rows, (width - 1) * strides[1] + columns];
    let mut result = Array::filled(&[batch, outputs, out[0], out[1]], 0.0);
    for (at, plane) in result.values.chunks_mut(out[0] * out[1]).enumerate() {
        let (sample, output) = (at / outputs, at % outputs);
        plane.fill(bias.map_or(0.0, |bias| bias.values[output]));
        for channel in 0..channels {
            let source = &x.values[(sample * channels + channel) * height * width..][..height * width];
            let kernel = &weight.values[(channel * outputs + output) * rows * columns..][..rows * columns];
            for (pixel, &value) in source.iter().enumerate() {
                let [y, x] = [pixel / width * strides[0], pixel % width * strides[1]];
                for (tap, &factor) in kernel.iter().enumerate() {
                    plane[(y + tap / columns) * out[1] + x + tap % columns] += factor * value;
                }
            }
        }
    }
    Ok(result)
}
