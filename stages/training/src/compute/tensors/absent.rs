//! A build without graphics devices: no map is for the kernels. The counterpart with them is `fused`.

use burn::tensor::{DType, Device, Tensor};
use pipeline_contract::{Result, StageError};
use pipeline_kernels::AdamStep;

use super::norm::Gradients;
use super::{Moments, Normed, Read};
use crate::loss::Loss;
use crate::network::Norm;

pub(super) fn runs(_: &Device) -> bool {
    false
}

fn none<T>() -> Result<T> {
    Err(StageError::new("this build has no kernels for graphics devices"))
}

pub(super) fn activate(_: Normed) -> Result<Tensor<4>> {
    none()
}

pub(super) fn convolve_weight(_: Vec<Read>, _: Tensor<4>) -> Result<Tensor<4>> {
    none()
}

pub(super) fn moments(_: &Norm, _: Tensor<4>) -> Result<(Moments, Tensor<2>)> {
    none()
}

pub(super) fn norm_input(_: &Norm, _: Normed, _: Tensor<4>) -> Result<Gradients> {
    none()
}

pub(super) fn pool(_: Normed) -> Result<Tensor<4>> {
    none()
}

pub(super) fn pool_input(_: Normed, _: Tensor<4>, _: Tensor<4>) -> Result<Tensor<4>> {
    none()
}

pub(super) fn upsample(_: Tensor<2>, _: Tensor<1>, _: [usize; 4]) -> Result<Tensor<4>> {
    none()
}

pub(super) fn upsample_bias(_: Tensor<4>) -> Result<Tensor<1>> {
    none()
}

pub(super) fn upsample_weight(_: Tensor<4>, _: Tensor<2>) -> Result<Tensor<2>> {
    none()
}

pub(super) fn windows(_: Tensor<4>) -> Result<Tensor<2>> {
    none()
}

pub(super) fn head(_: Normed, _: Tensor<2>, _: Tensor<1>) -> Result<Tensor<4>> {
    none()
}

pub(super) fn head_bias(_: Tensor<4>) -> Result<Tensor<1>> {
    none()
}

pub(super) fn loss(_: Loss, _: Tensor<2>, _: Tensor<2>, _: f32) -> Result<(Tensor<1>, Tensor<2>)> {
    none()
}

pub(super) fn head_input(_: Tensor<2>, _: Tensor<4>, _: DType) -> Result<Tensor<4>> {
    none()
}

pub(super) fn head_weight(_: Normed, _: Tensor<4>) -> Result<Tensor<2>> {
    none()
}

pub(super) fn adam(_: &AdamStep, _: Tensor<1>, _: Tensor<1>, _: [Tensor<1>; 2]) -> Result<(Tensor<1>, [Tensor<1>; 2])> {
    none()
}

pub(super) fn squares(_: &[Tensor<1>]) -> Result<Option<Tensor<1>>> {
    none()
}
