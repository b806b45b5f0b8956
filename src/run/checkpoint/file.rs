//! A checkpoint as one file: safetensors, which other programs can open, with the rest of the state as JSON in its metadata and
//! a SHA-256 for each part. Reading trusts nothing: every size and checksum is checked first.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use pipeline_contract::{Buffer, Fields, Saved, files};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Checkpoint;
use crate::engine::{Position, Snapshot};
use crate::run::metrics::Mark;
use crate::spec::Best;

/// What the file says it is.
const FORMAT: &str = "pipeline checkpoint";
/// The version that this program writes and reads.
const VERSION: &str = "1";

/// All but the buffers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    position: Position,
    samples: BTreeMap<String, u64>,
    settled: BTreeMap<String, Value>,
    /// The values that each stage saved, in the lane's order.
    stages: Vec<(String, Fields)>,
    mark: Mark,
    asked: Value,
    chosen: Vec<String>,
    best: Option<f64>,
    /// Earlier programs didn't write it.
    #[serde(default)]
    best_of: Option<Best>,
    number: u64,
}

/// Why a run can't resume from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage(String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damage {}

fn damage(what: impl fmt::Display) -> Damage {
    Damage(what.to_string())
}

fn bytes(buffer: &Buffer) -> (Dtype, usize, &[u8]) {
    match buffer {
        Buffer::Floats(values) => (Dtype::F32, values.len(), bytemuck::cast_slice(values)),
        Buffer::Bytes(values) => (Dtype::U8, values.len(), values),
        Buffer::Counts(values) => (Dtype::U64, values.len(), bytemuck::cast_slice(values)),
    }
}

fn buffer(view: &TensorView<'_>) -> Result<Buffer, Damage> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(Buffer::Floats(bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect())),
        Dtype::U8 => Ok(Buffer::Bytes(bytes.to_vec())),
        Dtype::U64 => Ok(Buffer::Counts(bytes.as_chunks().0.iter().map(|&chunk| u64::from_le_bytes(chunk)).collect())),
        other => Err(damage(format!("it has a part of type {other:?}"))),
    }
}

/// The sum of a part: of its name, its type and what it holds.
fn sum(name: &str, dtype: &str, data: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [name.as_bytes(), dtype.as_bytes(), data] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a checkpoint, replacing what is at `path` only when all is on the disk. Gives the bytes written.
///
/// # Errors
/// When it can't be written.
pub(super) fn write(path: &Path, checkpoint: &Checkpoint) -> io::Result<u64> {
    let Checkpoint { snapshot, mark, asked, chosen, best, best_of, number } = checkpoint;
    let state = State {
        position: snapshot.position.clone(),
        samples: snapshot.samples.clone(),
        settled: snapshot.settled.clone(),
        stages: snapshot.stages.iter().map(|(stage, saved)| (stage.clone(), saved.values.clone())).collect(),
        mark: mark.clone(),
        asked: asked.clone(),
        chosen: chosen.clone(),
        best: *best,
        best_of: best_of.clone(),
        number: *number,
    };
    let state = serde_json::to_string(&state)?;
    let mut sums = BTreeMap::from([(String::new(), sum("", "state", state.as_bytes()))]);
    let mut parts = Vec::new();
    for (stage, saved) in &snapshot.stages {
        for (name, kept) in &saved.buffers {
            let (dtype, length, data) = bytes(kept);
            let name = format!("{stage}/{name}");
            sums.insert(name.clone(), sum(&name, &dtype.to_string(), data));
            parts.push((name, dtype, length, data));
        }
    }
    // The largest values first, so that each part lies as its type wants it.
    parts.sort_by_key(|(_, dtype, ..)| std::cmp::Reverse(*dtype));
    let about = json!({"format": FORMAT, "version": VERSION, "state": state, "sha256": serde_json::to_string(&sums)?});
    let mut header = Map::from_iter([("__metadata__".to_owned(), about)]);
    let mut offset = 0;
    for (name, dtype, length, data) in &parts {
        let end = offset + data.len();
        header.insert(name.clone(), json!({"dtype": dtype.to_string(), "shape": [length], "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    files::replace_by(path, |beside| {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(beside)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        parts.iter().try_for_each(|(.., data)| file.write_all(data))?;
        file.flush()
    })?;
    Ok(8 + header.len() as u64 + offset as u64)
}

/// Reads a checkpoint.
///
/// # Errors
/// When it is damaged, or not one that this program wrote.
pub fn read(bytes: &[u8]) -> Result<Checkpoint, Damage> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damage)?;
    let file = SafeTensors::deserialize(bytes).map_err(damage)?;
    let about = header.metadata().as_ref().ok_or_else(|| damage("it has no header of a checkpoint"))?;
    let text = |key: &str| about.get(key).map(String::as_str).ok_or_else(|| damage(format!("it has no {key}")));
    if text("format")? != FORMAT {
        return Err(damage("it is not a checkpoint"));
    }
    if text("version")? != VERSION {
        return Err(damage(format!("it has version {}, but this program reads {VERSION}", text("version")?)));
    }
    let mut sums: BTreeMap<String, String> = serde_json::from_str(text("sha256")?).map_err(damage)?;
    let mut check = |name: &str, dtype: &str, data: &[u8]| match sums.remove(name) {
        Some(expected) if expected == sum(name, dtype, data) => Ok(()),
        Some(_) => Err(damage(format!("the checksum of `{}` is wrong", if name.is_empty() { "state" } else { name }))),
        None => Err(damage(format!("`{name}` has no checksum"))),
    };
    check("", "state", text("state")?.as_bytes())?;
    let state: State = serde_json::from_str(text("state")?).map_err(damage)?;
    let mut buffers: HashMap<&str, BTreeMap<String, Buffer>> = HashMap::new();
    for (full, view) in file.iter() {
        check(full, &view.dtype().to_string(), view.data())?;
        let (stage, name) = full.split_once('/').ok_or_else(|| damage(format!("`{full}` belongs to no stage")))?;
        buffers.entry(stage).or_default().insert(name.to_owned(), buffer(&view)?);
    }
    if let Some(missing) = sums.keys().next() {
        return Err(damage(format!("`{missing}` is missing")));
    }
    let State { position, samples, settled, stages, mark, asked, chosen, best, best_of, number } = state;
    let stages = stages
        .into_iter()
        .map(|(stage, values)| {
            let buffers = buffers.remove(stage.as_str()).unwrap_or_default();
            (stage, Saved { values, buffers })
        })
        .collect();
    let snapshot = Snapshot { position, samples, settled, stages };
    Ok(Checkpoint { snapshot, mark, asked, chosen, best, best_of, number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::checkpoint::testing::checkpoint;

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        let written = checkpoint();
        assert_eq!(write(&path, &written).unwrap(), std::fs::metadata(&path).unwrap().len());
        assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap(), written);
    }

    /// A resumed run compares its figures with the best so far: one that is off in its last bit would be a better epoch.
    #[test]
    fn figures_come_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        let mut bits = 0_u64;
        // Of all sizes, by a step that visits the bits evenly (Knuth's golden ratio), and Dice's between 0 and 1.
        let any = std::iter::repeat_with(|| {
            bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
            [f64::from_bits(bits), (bits >> 11) as f64 / (1_u64 << 53) as f64]
        });
        for figure in [0.1 + 0.2, 1.0 / 3.0].into_iter().chain(any.take(500).flatten()).filter(|figure| figure.is_finite()) {
            write(&path, &Checkpoint { best: Some(figure), ..checkpoint() }).unwrap();
            let best = read(&std::fs::read(&path).unwrap()).unwrap().best.unwrap();
            assert_eq!(best.to_bits(), figure.to_bits(), "{figure} came back as {best}");
        }
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        write(&path, &checkpoint()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            // A blank of the header's padding may change without changing anything.
            assert!(read(&bytes).map_or(true, |same| same == checkpoint()), "byte {at}");
            assert!(read(&whole[..at]).is_err(), "cut at {at}");
        }
        let wrong = (0..whole.len()).filter(|&at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            read(&bytes).is_ok()
        });
        assert!(wrong.count() < 16, "only padding");
    }
}
