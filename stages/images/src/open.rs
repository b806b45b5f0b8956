//! Opens one image file: its format, its size, and whether it can be what it says, within a limit that is checked before anything is
//! allocated. What its pixels are read as is in `read`.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use pipeline_contract::{Result, StageError};

use crate::guard::guarded;
use crate::read::{DAMAGED, Opened, broken, decoded, unsupported};
use crate::stamp::{Check, Stamp};
use crate::{frames, jpeg, png, tiff};
use crate::{gif_frame, gzip};

/// Working memory that a decoder may take beside the pixels, in bytes: for what a header holds, and for what is being unpacked.
const WORKING: u64 = 64 << 20;

/// Bytes of a pixel in the widest colour type, four channels of 64 bit.
const WIDEST: u64 = 32;

/// Bytes of a pixel in a file that is packed with gzip, four channels of 16 bit: such a file is held whole.
const PACKED: u64 = 8;

const RAISE: &str = "raise `max_pixels` of the decode stage if the file is right; otherwise exclude this sample";

/// Reads a file's header; the format is decided by its content, whatever its name says.
///
/// # Errors
/// When there is no such file, it is no regular one, it is empty or too large, it is no image or holds several, it is a damaged JPEG, or it
/// has more than `max_pixels` pixels.
pub(crate) fn open(path: &Path, max_pixels: u64) -> Result<Opened<'static>> {
    let unreadable = |error| unreadable(path, error);
    // Checked before it is opened: opening a pipe waits for a writer, and a device never ends.
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        let what = if kind.is_dir() { "a folder" } else { "not a regular file" };
        return Err(StageError::new(format!("{} can't be read: it is {what}", path.display()))
            .help("an image is a file; exclude this sample, or move it away"));
    }
    let name = Name { path, max_pixels, stamp: Stamp::of(path, &kind) };
    name.header(BufReader::new(File::open(path).map_err(unreadable)?))
}

/// As [`open`], of a file that is called `name` in messages.
pub(crate) fn header<'a, R: BufRead + Seek + 'a>(file: R, name: &Path, max_pixels: u64) -> Result<Opened<'a>> {
    Name { path: name, max_pixels, stamp: None }.header(file)
}

/// A decoder of ours: the pixels in a file's bytes, of this height and width; none where the other decoder is to read it.
type Ours = fn(&[u8], [usize; 2]) -> Option<DynamicImage>;

/// What is known of a file beside its bytes.
struct Name<'a> {
    path: &'a Path,
    max_pixels: u64,
    stamp: Option<Stamp>,
}

impl Name<'_> {
    fn header<'a, R: BufRead + Seek + 'a>(&self, mut file: R) -> Result<Opened<'a>> {
        let unreadable = |error| unreadable(self.path, error);
        let length = self.length(&mut file)?;
        if !gzip::is_packed(&mut file).map_err(unreadable)? {
            return self.image(file, length);
        }
        let most = self.max_pixels.saturating_mul(PACKED).saturating_add(WORKING);
        let unpacked = gzip::unpacked(&mut file, most).map_err(|trouble| match trouble {
            gzip::Trouble::Broken(error) => broken(self.path, &error),
            gzip::Trouble::NoImage => self.no_image(),
            gzip::Trouble::Large(most) => {
                let message = format!("{} unpacks to more than {most} bytes", self.path.display());
                StageError::new(format!("{message}, more than an image of {} pixels needs", self.max_pixels)).help(RAISE)
            }
        })?;
        let length = unpacked.len() as u64;
        self.image(Cursor::new(unpacked), length)
    }

    /// The most bytes that a file can have which isn't packed.
    fn most(&self) -> u64 {
        self.max_pixels.saturating_mul(WIDEST).saturating_add(WORKING)
    }

    fn length<R: Seek>(&self, file: &mut R) -> Result<u64> {
        let shown = self.path.display();
        let length = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length));
        let length = length.map_err(|error| unreadable(self.path, error))?;
        if length == 0 {
            return Err(StageError::new(format!("{shown} is empty (0 bytes)")).help(DAMAGED));
        }
        // Some decoders read the whole file first.
        if length > self.most() {
            let most = self.max_pixels;
            return Err(StageError::new(format!("{shown} has {length} bytes, more than an image of {most} pixels can have"))
                .help(RAISE));
        }
        Ok(length)
    }

    fn no_image(&self) -> StageError {
        StageError::new(format!("{} is no PNG, JPEG, TIFF, GIF, PPM, PGM or PBM image", self.path.display()))
            .help("convert it to one of these, or exclude this sample")
    }

    fn image<'a, R: BufRead + Seek + 'a>(&self, mut file: R, length: u64) -> Result<Opened<'a>> {
        let unreadable = |error| unreadable(self.path, error);
        let big = tiff::is_big(&mut file).map_err(unreadable)?;
        let guessed = ImageReader::new(file).with_guessed_format().map_err(unreadable)?;
        let guess = if big { Some(ImageFormat::Tiff) } else { guessed.format() };
        let format = guess.filter(ImageFormat::reading_enabled).ok_or_else(|| self.no_image())?;
        let mut file = guessed.into_inner();
        file.rewind().map_err(unreadable)?;
        match format {
            ImageFormat::Jpeg => self.jpeg(file),
            ImageFormat::Tiff => self.tiff(file, length),
            ImageFormat::Gif => {
                frames::alone(self.path, frames::of_gif(&mut file).map_err(unreadable)?)?;
                self.ours(file, format, |bytes, size| gif_frame::pixels(bytes, size))
            }
            ImageFormat::Png => {
                frames::alone(self.path, frames::of_png(&mut file).map_err(unreadable)?)?;
                self.ours(file, format, png::pixels)
            }
            _ => self.other(file, format),
        }
    }

    /// The file is read twice: its header by its decoder, and its pixels by ours where that knows the kind.
    fn ours<'a, R: BufRead + Seek + 'a>(&self, mut file: R, format: ImageFormat, decoder: Ours) -> Result<Opened<'a>> {
        let Opened { height, width, orientation, .. } = self.other(&mut file, format)?;
        let (path, max_pixels) = (self.path.to_path_buf(), self.max_pixels);
        let pixels = move || {
            let mut bytes = Vec::new();
            let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
            read.map_err(|error| unreadable(&path, error))?;
            match decoder(&bytes, [height, width]) {
                Some(pixels) => Ok(pixels),
                // What is wrong with it is for the other decoder to say.
                None => {
                    let name = Name { path: &path, max_pixels, stamp: None };
                    (name.other(Cursor::new(bytes), format)?.pixels)()
                }
            }
        };
        Ok(Opened { path: self.path.into(), pixels: Box::new(pixels), height, width, orientation, stamp: self.stamp })
    }

    fn jpeg<'a, R: BufRead + Seek + 'a>(&self, mut file: R) -> Result<Opened<'a>> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| unreadable(self.path, error))?;
        let bytes = Bytes(Arc::new(bytes));
        if !jpeg::is_complete(bytes.as_ref()) {
            return Err(broken(self.path, &"the file ends before the image does"));
        }
        if let Some(what) = jpeg::unsupported(bytes.as_ref()) {
            return Err(unsupported(self.path, &what));
        }
        let opened = self.other(Cursor::new(bytes.clone()), ImageFormat::Jpeg)?;
        if !self.stamp.is_some_and(|stamp| stamp.passed(Check::Jpeg)) {
            if let Some(damage) = jpeg::damage(bytes.as_ref(), [opened.height, opened.width]) {
                return Err(broken(self.path, &damage));
            }
            if let Some(stamp) = self.stamp {
                stamp.pass(Check::Jpeg);
            }
        }
        Ok(opened)
    }

    fn tiff<'a, R: BufRead + Seek + 'a>(&self, mut file: R, length: u64) -> Result<Opened<'a>> {
        let unreadable = |error| unreadable(self.path, error);
        if !tiff::is_plausible(&mut file, length).map_err(unreadable)? {
            return Err(broken(self.path, &"its directory claims more data than the file has"));
        }
        frames::alone(self.path, frames::of_tiff(&mut file).map_err(unreadable)?)?;
        let path = self.path.to_path_buf();
        let trouble = |trouble: tiff::Trouble, path: &Path| match trouble {
            tiff::Trouble::Unsupported(what) => unsupported(path, &what),
            tiff::Trouble::Broken(error) => broken(path, &error),
        };
        let picture = guarded(|| tiff::Picture::open(file)).map_err(|panic| broken(&path, &panic))?;
        let picture = picture.map_err(|error| trouble(error, &path))?;
        let [height, width] = picture.size;
        self.check_size(width, height)?;
        let orientation = picture.orientation;
        let pixels = move || match guarded(|| picture.read(WORKING)) {
            Ok(read) => read.map_err(|error| trouble(error, &path)),
            Err(panic) => Err(broken(&path, &panic)),
        };
        Ok(self.opened(Box::new(pixels), [width, height], orientation))
    }

    /// A file of which nothing is to be said but what its decoder says.
    fn other<'a, R: BufRead + Seek + 'a>(&self, mut file: R, format: ImageFormat) -> Result<Opened<'a>> {
        file.rewind().map_err(|error| unreadable(self.path, error))?;
        let mut reader = ImageReader::with_format(file, format);
        // The header first, on little memory: what it says of the picture is checked before the picture may take any.
        reader.limits(at_most(WORKING));
        let path = self.path.to_path_buf();
        let mut decoder = decoded(&path, || reader.into_decoder())?;
        let (width, height) = decoder.dimensions();
        self.check_size(width, height)?;
        let orientation =
            guarded(|| decoder.orientation()).map_err(|panic| broken(&path, &panic))?.unwrap_or(Orientation::NoTransforms);
        decoder.set_limits(at_most(decoder.total_bytes().saturating_add(WORKING))).map_err(|error| broken(&path, &error))?;
        let pixels = move || decoded(&path, || DynamicImage::from_decoder(decoder));
        Ok(self.opened(Box::new(pixels), [width, height], orientation))
    }

    fn check_size(&self, width: u32, height: u32) -> Result<()> {
        let (shown, most) = (self.path.display(), self.max_pixels);
        if width == 0 || height == 0 {
            return Err(StageError::new(format!("{shown} has no pixels: it is {width} x {height}")).help(DAMAGED));
        }
        if u64::from(width) * u64::from(height) > most {
            return Err(StageError::new(format!("{shown} claims {width} x {height} pixels, more than {most}")).help(RAISE));
        }
        Ok(())
    }

    fn opened<'a>(
        &self,
        pixels: Box<dyn FnOnce() -> Result<DynamicImage> + 'a>,
        [width, height]: [u32; 2],
        orientation: Orientation,
    ) -> Opened<'a> {
        let (width, height) = (width as usize, height as usize);
        Opened { path: self.path.into(), pixels, height, width, orientation, stamp: self.stamp }
    }
}

/// The bytes of a file, held once by whoever reads them.
#[derive(Clone)]
struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Limits of memory alone.
fn at_most(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

fn unreadable(path: &Path, error: std::io::Error) -> StageError {
    StageError::new(format!("{} can't be read: {error}", path.display()))
}
