//! Generates the seeds of the targets that read binary files: `cargo run --example seeds`, in this folder.
//! The same bytes each time. The seeds of `yaml` are written by hand.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use pipeline_training::network::Network;
use pipeline_training::networks::UNetConfig;
use pipeline_training::parameters::Role;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    decode(Path::new("corpus/decode"))?;
    weights(Path::new("corpus/safetensors"))
}

/// A small picture in every format and colour type that is read. What the `image` crate doesn't write (palettes, 1 bit, packed
/// TIFF, progressive JPEG) is found by changing these.
fn decode(folder: &Path) -> Done {
    fs::create_dir_all(folder)?;
    let value = |x: u32, y: u32, channel: u32| ((x * (17 + 40 * channel)) ^ (y * (31 + 8 * channel))) as u8;
    let wide = |x, y, channel| u16::from(value(x, y, channel)) * 257;
    let (width, height) = (11, 9);
    let l8: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| Luma([value(x, y, 0)])).into();
    let la8: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| LumaA([value(x, y, 0), value(x, y, 1)])).into();
    let rgb8: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| value(x, y, c)))).into();
    let rgba8: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| Rgba([0, 1, 2, 3].map(|c| value(x, y, c)))).into();
    let l16: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| Luma([wide(x, y, 0)])).into();
    let rgb16: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| wide(x, y, c)))).into();
    let rgba16: DynamicImage = ImageBuffer::from_fn(width, height, |x, y| Rgba([0, 1, 2, 3].map(|c| wide(x, y, c)))).into();
    let rgb32: DynamicImage =
        ImageBuffer::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| f32::from(value(x, y, c)) / 255.0))).into();
    let [png, jpeg, tiff, gif] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif];
    for (name, picture, format) in [
        ("l8.png", &l8, png),
        ("la8.png", &la8, png),
        ("rgb8.png", &rgb8, png),
        ("rgba8.png", &rgba8, png),
        ("l16.png", &l16, png),
        ("rgba16.png", &rgba16, png),
        ("l8.jpg", &l8, jpeg),
        ("rgb8.jpg", &rgb8, jpeg),
        ("l8.tif", &l8, tiff),
        ("rgb8.tif", &rgb8, tiff),
        ("rgb16.tif", &rgb16, tiff),
        ("rgba8.tif", &rgba8, tiff),
        ("rgb32.tif", &rgb32, tiff),
        ("rgb8.gif", &rgb8, gif),
        ("l8.pnm", &l8, ImageFormat::Pnm),
        ("rgb8.pnm", &rgb8, ImageFormat::Pnm),
    ] {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format)?;
        fs::write(folder.join(name), bytes.into_inner())?;
    }
    fs::write(folder.join("ascii.pbm"), "P1\n# a comment\n4 2\n0 1 1 0\n1 0 0 1\n")?;
    fs::write(folder.join("ascii.pgm"), "P2\n4 2\n15\n0 5 10 15\n15 10 5 0\n")?;
    fs::write(folder.join("ascii.ppm"), "P3\n2 1\n255\n255 0 0 0 255 0\n")?;
    fs::write(folder.join("packed.pbm"), b"P4\n9 2\n\xa5\x80\x5a\x00")?;
    fs::write(
        folder.join("any.pam"),
        b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\x01\x02\x03\x04\x05\x06\x07\x08",
    )?;
    Ok(())
}

/// Tensors by name: type, shape, bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Weights of the networks that the target reads, and a reference of the smallest, all with made-up values: `verify` reads
/// such a file to its end and reports that nothing agrees.
fn weights(folder: &Path) -> Done {
    fs::create_dir_all(folder)?;
    for (base, depth, norm) in [(1, 1, "group"), (1, 2, "batch"), (2, 2, "instance")] {
        let network = UNetConfig::new(base, depth, norm)?.network();
        let mut tensors = Tensors::new();
        state(&network, "", &mut tensors);
        write(&folder.join(norm), &tensors, &[])?;
    }
    for norm in ["group", "batch"] {
        let (network, size) = (UNetConfig::new(1, 1, norm)?.network(), 2);
        let mut tensors = Tensors::new();
        for run in ["init", "full", "accum", "tail", "adamw"] {
            state(&network, &format!("{run}."), &mut tensors);
        }
        for spec in network.layout.of(Role::Trained) {
            floats(format!("grad.{}", spec.name), &spec.shape, &mut tensors);
        }
        floats("x".into(), &[8, 3, size, size], &mut tensors);
        floats("y".into(), &[8, 1, size, size], &mut tensors);
        floats("logits".into(), &[2, 1, size, size], &mut tensors);
        for (name, count) in [("loss", 1), ("full.losses", 6), ("accum.losses", 6), ("tail.losses", 3), ("adamw.losses", 6)] {
            tensors.insert(name.into(), (Dtype::F64, vec![count], [1.5_f64.to_le_bytes(); 6].concat()[..8 * count].to_vec()));
        }
        let about = [("base", "1"), ("depth", "1"), ("norm", norm), ("size", "2")];
        write(&folder.join(format!("reference_{norm}")), &tensors, &about)?;
    }
    Ok(())
}

fn state(network: &Network, prefix: &str, tensors: &mut Tensors) {
    for spec in network.layout.specs() {
        let name = format!("{prefix}{}", spec.name);
        match spec.role {
            Role::Counter => drop(tensors.insert(name, (Dtype::I64, Vec::new(), vec![0; 8]))),
            Role::Trained | Role::Statistic => floats(name, &spec.shape, tensors),
        }
    }
}

fn floats(name: String, shape: &[usize], tensors: &mut Tensors) {
    let count: usize = shape.iter().product();
    let bytes = (0..count).flat_map(|at| ((at % 7) as f32 * 0.25).to_le_bytes()).collect();
    tensors.insert(name, (Dtype::F32, shape.to_vec(), bytes));
}

/// Written by hand, because the format's library writes metadata in another order each time.
fn write(path: &Path, tensors: &Tensors, about: &[(&str, &str)]) -> Done {
    let mut views = Vec::new();
    for (name, (dtype, shape, bytes)) in tensors {
        views.push((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?));
    }
    let file = safetensors::serialize(views, None)?;
    if about.is_empty() {
        return Ok(fs::write(path, file)?);
    }
    let (length, rest) = file.split_first_chunk::<8>().ok_or("no header")?;
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let pairs: Vec<String> = about.iter().map(|(key, value)| format!("\"{key}\":\"{value}\"")).collect();
    let inner = std::str::from_utf8(header)?.trim_end().strip_prefix('{').ok_or("no map")?;
    let header = format!("{{\"__metadata__\":{{{}}},{inner}", pairs.join(","));
    Ok(fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat())?)
}
