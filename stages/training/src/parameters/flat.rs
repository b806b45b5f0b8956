//! Many tensors in few buffers. On a graphics device a network's tensors of one kind (weights, gradients, moments) lie one after
//! the other in a single buffer, and each tensor is a view of it, so that one launch changes all of them. Cloning a view shares
//! the buffer; what changes it in place looks first whether somebody else holds it.

use std::ops::Range;

use burn::backend::{BackendTensor, DispatchDevice, DispatchTensor, DispatchTensorKind};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_cubecl::cubecl::zspace::metadata::Metadata;
use burn_cubecl::cubecl::zspace::{Shape, Strides};
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

/// Bytes of a value.
const VALUE: usize = size_of::<f32>();

/// What a device allows: where a view may begin, and how large a buffer may be. In values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    step: usize,
    most: usize,
}

/// The tensors of one buffer. In values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Buffer {
    /// Where each tensor lies. What lies between them is zero.
    places: Vec<Range<usize>>,
}

impl Buffer {
    fn len(&self) -> usize {
        self.places.last().map_or(0, |place| place.end)
    }
}

impl Limits {
    /// The limits of a graphics device; `None` for the CPU, where each tensor has its own memory.
    pub fn of(device: &Device) -> Option<Self> {
        let DispatchDevice::Cube(device) = device.as_dispatch() else { return None };
        let client = device.client();
        let memory = &client.properties().memory;
        let values = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX) / VALUE;
        Some(Self { step: values(memory.alignment).max(1), most: values(memory.max_page_size) })
    }

    /// Where tensors of these lengths lie: in one buffer, or in as few as the device's largest buffer allows.
    fn place(self, lengths: &[usize]) -> Vec<Buffer> {
        let mut buffers: Vec<Buffer> = Vec::new();
        for &length in lengths {
            let start = buffers.last().map_or(0, |last| last.len().next_multiple_of(self.step));
            match buffers.last_mut().filter(|_| start.saturating_add(length) <= self.most) {
                Some(last) => last.places.push(start..start + length),
                None => buffers.push(Buffer { places: vec![Range { start: 0, end: length }] }),
            }
        }
        buffers
    }

    /// Zeros for tensors of these lengths.
    pub fn zeros(self, lengths: &[usize], device: &Device) -> Vec<Tensor<1>> {
        let places = self.place(lengths);
        let buffers = places.iter().map(|buffer| Tensor::zeros([buffer.len()], (device, DType::F32))).collect();
        Flat { buffers, places }.tensors()
    }

    /// Moves the values of tensors to the device.
    ///
    /// # Errors
    /// When the host has no memory for a buffer's values side by side.
    pub fn upload(self, values: Vec<Vec<f32>>, device: &Device) -> Result<Vec<Tensor<1>>> {
        let places = self.place(&values.iter().map(Vec::len).collect::<Vec<_>>());
        let (mut rest, mut buffers) = (values.into_iter(), Vec::new());
        for buffer in &places {
            let (mut whole, length) = (Vec::new(), buffer.len());
            let none = |_| StageError::new(format!("no host memory for {length} values on their way to the device"));
            whole.try_reserve_exact(length).map_err(none)?;
            for (place, own) in buffer.places.iter().zip(rest.by_ref()) {
                whole.resize(place.start, 0.0);
                whole.extend(own);
            }
            buffers.push(Tensor::from_data(TensorData::new(whole, [length]), (device, DType::F32)));
        }
        Ok(Flat { buffers, places }.tensors())
    }
}

/// The buffers of a list of tensors, without the tensors.
pub(crate) struct Flat {
    /// All values of each buffer. float32.
    pub buffers: Vec<Tensor<1>>,
    places: Vec<Buffer>,
}

impl Flat {
    /// The buffers of tensors on a graphics device. Tensors that don't lie as [`Self::tensors`] leaves them are copied. If nothing
    /// but these tensors shared a buffer, it now has a single owner.
    pub fn of(tensors: Vec<Tensor<1>>) -> Self {
        let limits = tensors.first().and_then(|tensor| Limits::of(&tensor.device()));
        // Elsewhere each tensor is a buffer of its own.
        let limits = limits.unwrap_or(Limits { step: 1, most: 0 });
        let places = limits.place(&tensors.iter().map(|tensor| tensor.dims()[0]).collect::<Vec<_>>());
        let mut rest = tensors.into_iter();
        let join = |buffer: &Buffer| {
            let own: Vec<Tensor<1>> = rest.by_ref().take(buffer.places.len()).collect();
            shared(&own, buffer).unwrap_or_else(|| copied(own, buffer))
        };
        Self { buffers: places.iter().map(join).collect(), places }
    }

    /// The same, with a copy of each buffer that something else holds too.
    pub fn owned(self) -> Self {
        let own = |whole: Tensor<1>| match primitive(&whole) {
            Some(held) => {
                drop(whole);
                tensor(if held.can_mut() { held } else { held.copy() })
            }
            None => whole,
        };
        Self { buffers: self.buffers.into_iter().map(own).collect(), places: self.places }
    }

    /// The tensors, as views of the buffers.
    pub fn tensors(self) -> Vec<Tensor<1>> {
        let views = |(whole, buffer): (Tensor<1>, Buffer)| match primitive(&whole) {
            Some(whole) => buffer.places.into_iter().map(|place| tensor(view(&whole, place))).collect(),
            None => vec![whole],
        };
        self.buffers.into_iter().zip(self.places).flat_map(views).collect()
    }
}

/// The tensor's memory on a graphics device.
fn primitive(tensor: &Tensor<1>) -> Option<CubeTensor> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(tensor)) => Some(tensor),
        _ => None,
    }
}

fn tensor(primitive: CubeTensor) -> Tensor<1> {
    let kind = DispatchTensorKind::Cube(BackendTensor::Float(primitive));
    Tensor::from_dispatch(DispatchTensor { kind, autodiff: Default::default() })
}

fn flat(length: usize) -> Metadata {
    Metadata::new(Shape::new([length]), Strides::from([1].as_slice()))
}

/// A part of a buffer's values.
fn view(whole: &CubeTensor, place: Range<usize>) -> CubeTensor {
    let mut view = whole.clone();
    let base = whole.handle.offset_start.unwrap_or(0);
    let at = |value: usize| base + (value * VALUE) as u64;
    view.handle.offset_end = Some(whole.handle.size().saturating_sub(at(place.end)));
    view.handle.offset_start = Some(at(place.start));
    *view.meta = flat(place.len());
    view
}

/// The buffer that the tensors are views of, if each is where it should be.
fn shared(tensors: &[Tensor<1>], buffer: &Buffer) -> Option<Tensor<1>> {
    let views = tensors.iter().map(primitive).collect::<Option<Vec<_>>>()?;
    let first = views.first()?;
    let base = first.handle.offset_start.unwrap_or(0);
    let lies = |(view, place): (&CubeTensor, &Range<usize>)| {
        view.dtype == DType::F32
            && view.meta.strides()[0] == 1
            && view.handle.memory.descriptor() == first.handle.memory.descriptor()
            && view.handle.offset_start.unwrap_or(0) == base + (place.start * VALUE) as u64
    };
    let end = base + (buffer.len() * VALUE) as u64;
    if !views.iter().zip(&buffer.places).all(lies) || first.handle.size() < end {
        return None;
    }
    let mut whole = first.clone();
    whole.handle.offset_end = Some(whole.handle.size() - end);
    *whole.meta = flat(buffer.len());
    Some(tensor(whole))
}

/// A new buffer with the values of tensors that lie elsewhere.
fn copied(tensors: Vec<Tensor<1>>, buffer: &Buffer) -> Tensor<1> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for (own, place) in tensors.into_iter().zip(&buffer.places) {
        if place.start > end {
            parts.push(Tensor::zeros([place.start - end], (&own.device(), DType::F32)));
        }
        end = place.end;
        parts.push(own);
    }
    Tensor::cat(parts, 0)
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]
mod tests {
    use super::*;

    #[test]
    fn tensors_begin_where_a_view_may_and_fill_no_buffer_beyond_the_largest() {
        let places = |most| Limits { step: 64, most }.place(&[5, 64, 1, 70, 2]).into_iter().map(|buffer| buffer.places);
        let all: Vec<_> = places(usize::MAX).collect();
        assert_eq!(all, [[0..5, 64..128, 128..129, 192..262, 320..322]]);
        let two: Vec<_> = places(134).collect();
        assert_eq!(two, [vec![0..5, 64..128, 128..129], vec![0..70, 128..130]]);
    }

    /// Where the tensors' memory is.
    fn memory(tensors: &[Tensor<1>]) -> Vec<usize> {
        let id = |tensor| primitive(tensor).expect("a graphics device").handle.memory.descriptor().id.value;
        tensors.iter().map(id).collect()
    }

    fn values(tensors: &[Tensor<1>]) -> Vec<Vec<f32>> {
        tensors.iter().map(|tensor| tensor.try_to_vec_as().expect("float32")).collect()
    }

    #[test]
    fn tensors_of_a_graphics_device_are_views_of_one_buffer_whoever_made_them() {
        let Some(device) = crate::device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
        let limits = Limits::of(&device.device).expect("a graphics device");
        let lengths = [5, 300, 1, 70];
        let expected: Vec<Vec<f32>> = lengths.iter().map(|&length| (0..length).map(|at| at as f32 + 1.0).collect()).collect();
        let mut tensors = limits.upload(expected.clone(), &device.device).expect("few values");
        let of = memory(&tensors);
        assert!(of.iter().all(|memory| *memory == of[0]));
        assert_eq!(values(&tensors), expected);
        assert_eq!(values(&limits.zeros(&lengths, &device.device)), lengths.map(|length| vec![0.0; length]));

        // Nothing is copied on the way to the buffer and back. What lies between the tensors is zero.
        tensors = Flat::of(tensors).owned().tensors();
        assert_eq!(memory(&tensors), of);
        let whole = values(&Flat::of(tensors.clone()).buffers).concat();
        assert_eq!(whole.iter().sum::<f32>(), expected.iter().flatten().sum::<f32>());

        // Somebody else holds a tensor: it isn't changed in place.
        let held = tensors[1].clone();
        tensors = Flat::of(tensors).owned().tensors();
        assert_ne!(memory(&tensors), of);
        assert_eq!((values(&tensors), values(&[held])), (expected.clone(), vec![expected[1].clone()]));

        // A tensor was replaced: all are copied into a buffer again.
        tensors[2] = tensors[2].clone() * 2.0;
        tensors = Flat::of(tensors).tensors();
        let of = memory(&tensors);
        assert!(of.iter().all(|memory| *memory == of[0]));
        assert_eq!(values(&tensors), [&expected[0], &expected[1], &vec![2.0], &expected[3]].map(Clone::clone));
    }
}
