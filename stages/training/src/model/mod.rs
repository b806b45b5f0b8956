//! A trained network as a file: its tensors, and a [`Card`] that says all that its use needs. [`Model`] reads one, also from a checkpoint and
//! from files of earlier programs; `weights` writes the tensors.

mod card;
mod checkpoint;
mod open;

pub use card::{Card, CardTiles, Origin};
pub use open::{Model, card_of, load};
