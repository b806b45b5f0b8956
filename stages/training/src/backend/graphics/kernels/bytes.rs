//! Bytes on their way to a device: they are transferred as they are, four to an integer (WGSL has no smaller type), and looked up
//! in a table there.

use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind};
use burn::tensor::{Bytes, DType, Int};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::zspace::Shape;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::Result;

use super::nhwc::{Values, addresses, dense, primitive, spread, stored, tensor};

/// Values per column of a table: one for each byte.
const COLUMN: usize = 256;

/// One unit per integer. Value `at` comes from the table's column `at % columns`.
#[cube(launch, address_type = "dynamic")]
fn lookup_kernel<E: Numeric>(
    words: &Tensor<u32>,
    table: &Tensor<E>,
    made: &mut Tensor<E>,
    units: usize,
    length: usize,
    columns: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let word = words[ABSOLUTE_POS];
    #[unroll]
    for byte in 0..4usize {
        let at = ABSOLUTE_POS * 4 + byte;
        if at < length {
            let value = (word >> comptime!(8 * byte as u32)) & 255u32;
            made[at] = table[at % columns * COLUMN + value as usize];
        }
    }
}

/// The values that bytes have in a table of 256 values per column, whose columns follow each other: byte `at` is looked up in
/// column `at % columns`. They are of the table's type.
pub(in super::super) fn lookup(bytes: &[u8], table: Values<1>) -> Result<Values<1>> {
    Ok(tensor(launch(bytes, dense(table)?)))
}

/// Bytes as integers from 0 to 255, on the device of `like`.
pub(in super::super) fn integers(bytes: &[u8], like: &Values<4>) -> Result<Values<1, Int>> {
    let like = primitive(like.clone())?;
    let table = (0..COLUMN as i32).flat_map(i32::to_ne_bytes).collect();
    let kind = DispatchTensorKind::Cube(BackendTensor::Int(launch(bytes, upload(&like, table, DType::I32))));
    Ok(Values::from_dispatch(DispatchTensor { kind, autodiff: Default::default() }))
}

/// A flat tensor on the device of another.
fn upload(like: &CubeTensor, bytes: Vec<u8>, dtype: DType) -> CubeTensor {
    let shape = Shape::new([bytes.len() / dtype.size()]);
    let handle = like.client.create(Bytes::from_bytes_vec(bytes));
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

fn launch(bytes: &[u8], table: CubeTensor) -> CubeTensor {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    let (units, columns) = (padded.len() / 4, table.meta.num_elements() / COLUMN);
    let words = upload(&table, padded, DType::U32);
    let shape = Shape::new([bytes.len()]);
    let made = empty_device_contiguous_dtype(table.client.clone(), table.device.clone(), shape, table.dtype);
    let (count, dim) = spread(&table, units);
    lookup_kernel::launch(
        &table.client,
        count,
        dim,
        addresses(&[&made]),
        words.into_tensor_arg(),
        table.clone().into_tensor_arg(),
        made.clone().into_tensor_arg(),
        units,
        bytes.len(),
        columns,
        stored(&table),
    );
    made
}
