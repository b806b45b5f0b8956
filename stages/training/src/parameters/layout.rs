//! Which tensors a network has: their names, shapes, initial values and roles. Known without allocating any of them.
//! Initialisation, loading, saving and planning all read this one list; the tensors themselves are in `State`.

/// How a tensor is initialised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform in `±1/sqrt(fan_in)`: what PyTorch's `kaiming_uniform_(a=sqrt(5))` amounts to, for weights and biases alike.
    Uniform {
        /// Inputs per output, as PyTorch counts them (`weight.size(1) * kernel area`, also for transposed convolutions).
        fan_in: usize,
    },
    /// All ones.
    One,
    /// All zeros.
    Zero,
}

/// The role of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Trained by the optimizer.
    Trained,
    /// A running statistic of batch norm.
    Statistic,
    /// How many batches a batch norm has seen: a 64-bit integer without dimensions.
    Counter,
}

/// One tensor of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Its name in PyTorch's `state_dict()`.
    pub name: String,
    /// Its shape in PyTorch; empty for a counter.
    pub shape: Vec<usize>,
    /// How it is initialised.
    pub init: Init,
    /// Its role.
    pub role: Role,
    /// Its index among the tensors of its role.
    pub slot: usize,
}

impl TensorSpec {
    /// How many values it holds; `None` if that overflows.
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
    }
}

/// All tensors of a network, in the order of PyTorch's `state_dict()`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    specs: Vec<TensorSpec>,
}

impl Layout {
    /// The tensors, in order.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// The tensors of one role, in the order of their slots.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &TensorSpec> {
        self.specs.iter().filter(move |spec| spec.role == role)
    }

    /// How many trained values there are; `None` if that overflows.
    pub fn parameters(&self) -> Option<usize> {
        self.of(Role::Trained).try_fold(0usize, |sum, spec| sum.checked_add(spec.elements()?))
    }

    /// Adds a tensor and returns its slot.
    pub(crate) fn add(&mut self, name: String, shape: &[usize], init: Init, role: Role) -> usize {
        let slot = self.of(role).count();
        self.specs.push(TensorSpec { name, shape: shape.to_vec(), init, role, slot });
        slot
    }

    /// Adds a trained tensor and returns its slot.
    pub(crate) fn trained(&mut self, name: String, shape: &[usize], init: Init) -> usize {
        self.add(name, shape, init, Role::Trained)
    }
}
