//! 2 x 2 pooling: norm, activation and maximum at once, and the gradient without stored indices.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::nhwc::{Nhwc, Values, addresses, owned, spread, stored};
use super::normed::{ChannelNorm, Norm, Normed, NormedMap};

/// One unit per channel vector of each pixel of the pooled map.
#[derive(CubeType, CubeLaunch)]
struct Windows {
    units: usize,
    vectors: FastDivmod<usize>,
    /// Width of the pooled map.
    width: FastDivmod<usize>,
    /// Height of the pooled map.
    height: FastDivmod<usize>,
    /// Channel vectors per pixel.
    own: usize,
    /// Vectors per row of the map being pooled.
    row: usize,
    /// Rows of the map being pooled.
    rows: usize,
}

/// A unit's window: the indices of its four pixels in the map being pooled, in the order in which PyTorch compares them.
#[derive(CubeType)]
struct Window {
    image: usize,
    vector: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
}

/// The four values of a window.
#[derive(CubeType)]
struct Four<N: Size> {
    a: Vector<f32, N>,
    b: Vector<f32, N>,
    c: Vector<f32, N>,
    d: Vector<f32, N>,
}

#[cube]
impl Windows {
    fn window(&self, unit: usize) -> Window {
        let (pixel, vector) = self.vectors.div_mod(unit);
        let (above, x) = self.width.div_mod(pixel);
        let (image, y) = self.height.div_mod(above);
        let first = (image * self.rows + 2 * y) * self.row + 2 * x * self.own + vector;
        let below = first + self.row;
        Window { image, vector, a: first, b: first + self.own, c: below, d: below + self.own }
    }
}

/// The values of a window with norm and activation applied.
#[cube]
fn read<E: Float, N: Size>(x: &Tensor<Vector<E, N>>, window: &Window, norm: &ChannelNorm<N>) -> Four<N> {
    Four::<N> {
        a: norm.apply(Vector::cast_from(x[window.a])),
        b: norm.apply(Vector::cast_from(x[window.b])),
        c: norm.apply(Vector::cast_from(x[window.c])),
        d: norm.apply(Vector::cast_from(x[window.d])),
    }
}

#[cube]
impl<N: Size> Four<N> {
    fn most(&self) -> Vector<f32, N> {
        max(max(self.a, self.b), max(self.c, self.d))
    }
}

#[cube(launch, address_type = "dynamic")]
fn pool_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    norm: &Norm<N>,
    output: &mut Tensor<Vector<E, N>>,
    windows: &Windows,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= windows.units {
        terminate!();
    }
    let window = windows.window(ABSOLUTE_POS);
    let norm = norm.of(window.image, window.vector, windows.own);
    output[ABSOLUTE_POS] = Vector::cast_from(read::<E, N>(x, &window, &norm).most());
}

/// Adds each gradient where its window's maximum was: at the first of several equal ones, as in PyTorch.
#[cube(launch, address_type = "dynamic")]
fn input_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    norm: &Norm<N>,
    upstream: &Tensor<Vector<E, N>>,
    sum: &mut Tensor<Vector<E, N>>,
    windows: &Windows,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= windows.units {
        terminate!();
    }
    let window = windows.window(ABSOLUTE_POS);
    let norm = norm.of(window.image, window.vector, windows.own);
    let values = read::<E, N>(x, &window, &norm);
    let most = values.most();

    let zero = Vector::<f32, N>::new(0.0f32);
    let g = Vector::<f32, N>::cast_from(upstream[ABSOLUTE_POS]);
    let to_a = select_many(values.a.equal(&most), g, zero);
    let after_a = g - to_a;
    let to_b = select_many(values.b.equal(&most), after_a, zero);
    let after_b = after_a - to_b;
    let to_c = select_many(values.c.equal(&most), after_b, zero);
    let to_d = after_b - to_c;
    sum[window.a] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[window.a]) + to_a);
    sum[window.b] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[window.b]) + to_b);
    sum[window.c] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[window.c]) + to_c);
    sum[window.d] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[window.d]) + to_d);
}

/// The windows of a map whose pooling gives `pooled`.
fn windows(map: &Nhwc, pooled: &Nhwc, vector_size: usize) -> (usize, WindowsLaunch) {
    let own = map.channels / vector_size;
    let units = pooled.batch * pooled.pixels() * own;
    let (width, height) = (pooled.width, pooled.height);
    (units, WindowsLaunch { units, vectors: own, width, height, own, row: map.width * own, rows: map.height })
}

/// The maxima of the layer's input: `[batch, channels, height, width]` to half the height and width.
pub(in super::super) fn pool(normed: Normed) -> Result<Values<4>> {
    let NormedMap { map, norm } = NormedMap::of(normed)?;
    let vector_size = map.vector_size(&[]);
    let output = Nhwc::empty(&map.tensor, [map.batch, map.height / 2, map.width / 2, map.channels], map.tensor.dtype);
    let (units, windows) = windows(&map, &output, vector_size);
    let (count, dim) = spread(&map.tensor, units);
    pool_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        norm.arg(),
        output.tensor.clone().into_tensor_arg(),
        windows,
        stored(&map.tensor),
    );
    Ok(output.map())
}

/// `sum`, with the gradient of the pooling's input added.
pub(in super::super) fn pool_input(normed: Normed, upstream: Values<4>, sum: Values<4>) -> Result<Values<4>> {
    let NormedMap { map, norm } = NormedMap::of(normed)?;
    let (upstream, sum) = (Nhwc::of(upstream)?, Nhwc::of(sum)?);
    let sum = Nhwc { tensor: owned(sum.tensor), ..sum };
    let vector_size = map.vector_size(&[]);
    let (units, windows) = windows(&map, &upstream, vector_size);
    let (count, dim) = spread(&map.tensor, units);
    input_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        norm.arg(),
        upstream.tensor.into_tensor_arg(),
        sum.tensor.clone().into_tensor_arg(),
        windows,
        stored(&map.tensor),
    );
    Ok(sum.map())
}
