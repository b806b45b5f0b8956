//! A model's file as tests compare it.

use std::fs;
use std::path::Path;

/// The tensors' bytes in a model's file of a run (`model` or `last`), without the header, which names the file that trained it.
pub fn weights(out: &Path, name: &str) -> Vec<u8> {
    let bytes = fs::read(out.join(format!("{name}.safetensors"))).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}
