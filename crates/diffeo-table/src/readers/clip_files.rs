//! Clips in files: GIF and APNG, and folders of frames.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use diffeo::{Error, ErrorKind, ImageShape, Result, quoted};
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, ImageDecoder, ImageResult, Limits, RgbaImage};

use super::clips::{Frame, Frames};
use super::image_folder::{EXTENSIONS, Listed, decode, list};
use crate::options::ReadOptions;

/// Extensions of files that hold a clip each.
const FILMS: [&str; 3] = ["gif", "apng", "png"];
/// Most bytes of the frames of one file, and of what decoding one takes.
const FILM_BYTES: usize = 1 << 30;
const DECODE_BYTES: u64 = 1 << 28;
/// Bytes at the start of a PNG file that tell whether it is animated.
const HEAD: u64 = 1 << 16;

/// Whether these are the first bytes of a file that holds a clip.
pub(crate) fn is_film(head: &[u8]) -> bool {
    head.starts_with(b"GIF8") || head.starts_with(b"\x89PNG") && is_animated(head)
}

/// Whether a PNG says before its pixels that there are several frames.
fn is_animated(head: &[u8]) -> bool {
    let mut rest = head.get(8..).unwrap_or_default();
    while let Some((start, body)) = rest.split_at_checked(8) {
        match &start[4..8] {
            b"acTL" => return true,
            b"IDAT" => return false,
            _ => {}
        }
        let length = u32::from_be_bytes([start[0], start[1], start[2], start[3]]) as usize;
        // Behind the chunk stand four bytes of a checksum.
        rest = length.checked_add(4).and_then(|end| body.get(end..)).unwrap_or_default();
    }
    false
}

fn is_film_file(path: &Path) -> bool {
    use std::io::Read;
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && is_film(&head)
}

/// The clips of a folder: those of its GIF and APNG files; else one of its images, or one of each folder in it.
///
/// # Errors
/// [`ErrorKind::Io`] if there is none.
pub(crate) fn in_folder(folder: &Path, options: &ReadOptions) -> Result<Box<dyn Frames>> {
    let Listed { files, others, .. } = list(folder, &FILMS)?;
    let (films, stills): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|path| is_film_file(path));
    if let [first, rest @ ..] = &films[..] {
        let first = film(first)?;
        let mut channels = options.channels.unwrap_or_else(|| channels_of(&first));
        // A clip that happens to be grey may stand among those of colour.
        let mut rest = rest.iter();
        while options.channels.is_none()
            && channels == 1
            && let Some(path) = rest.next()
        {
            channels = channels_of(&film(path)?);
        }
        let others = others + stills.len() as u64;
        return Ok(Box::new(Films::new(films, (first, channels), others)?));
    }
    let Listed { files, folders, mut others } = list(folder, &EXTENSIONS)?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut clips = Vec::new();
    if files.is_empty() {
        for (path, name) in folders {
            let inside = list(&path, &EXTENSIONS)?;
            others += inside.others;
            clips.push((name, inside.files));
        }
    } else {
        clips.push((name(folder), files));
    }
    clips.retain(|(_, files)| !files.is_empty());
    Ok(Box::new(Stills::new(clips, others)?))
}

/// Whether a folder holds GIF or APNG files.
pub(crate) fn holds_films(folder: &Path) -> bool {
    list(folder, &FILMS).is_ok_and(|found| found.files.iter().any(|path| is_film_file(path)))
}

/// The clip of a file, of this name.
pub(crate) fn in_file(file: File, name: &Path, options: &ReadOptions) -> Result<Box<dyn Frames>> {
    let frames = frames_of(BufReader::new(file))?;
    let channels = options.channels.unwrap_or_else(|| channels_of(&frames));
    Ok(Box::new(Films::new(vec![name.to_owned()], (frames, channels), 0)?))
}

fn channels_of(frames: &[RgbaImage]) -> usize {
    if frames.iter().all(is_grey) { 1 } else { 3 }
}

fn left_out(others: u64) -> Vec<String> {
    let text = |others| format!("{others} files that are no frames of clips were left out");
    (others > 0).then_some(others).map(text).into_iter().collect()
}

/// Files that hold a clip each.
struct Films {
    files: Vec<PathBuf>,
    image: ImageShape,
    /// The frames of the first file, until their turn comes.
    first: Vec<RgbaImage>,
    /// The files that have been read, and the frames of the last of them that are to come.
    read: usize,
    frames: VecDeque<Vec<u8>>,
    begins: Option<String>,
    notes: Vec<String>,
}

impl Films {
    fn new(
        files: Vec<PathBuf>,
        (first, channels): (Vec<RgbaImage>, usize),
        others: u64,
    ) -> Result<Self> {
        let of = first.first();
        let of = of.ok_or_else(|| Error::data("expected a clip of at least one frame"))?;
        let image = ImageShape::of_bytes(of.height() as usize, of.width() as usize, channels);
        image.validate().map_err(|e| Error::data(e.message().to_owned()))?;
        let (frames, notes) = (VecDeque::new(), left_out(others));
        Ok(Self { files, image, first, read: 0, frames, begins: None, notes })
    }

    /// Reads the next file.
    fn open(&mut self, path: &Path) -> Result<()> {
        let known = std::mem::take(&mut self.first);
        for frame in if known.is_empty() { film(path)? } else { known } {
            self.frames.push_back(self.bytes(&frame).map_err(|e| e.at(path))?);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.begins = Some(name);
        Ok(())
    }

    /// The numbers of a frame.
    fn bytes(&self, frame: &RgbaImage) -> Result<Vec<u8>> {
        let ImageShape { height, width, channels, .. } = self.image;
        let size = [frame.height() as usize, frame.width() as usize];
        let is_alike = size == [height, width] && (channels == 3 || is_grey(frame));
        if !is_alike {
            let found = ImageShape::of_bytes(size[0], size[1], if is_grey(frame) { 1 } else { 3 });
            return Err(expected(self.image, &self.files[0], found));
        }
        let pixels = frame.pixels().map(|pixel| &pixel.0[..channels]);
        Ok(pixels.flatten().copied().collect())
    }
}

fn expected(image: ImageShape, first: &Path, found: ImageShape) -> Error {
    let first = first.file_name().unwrap_or_default().to_string_lossy();
    Error::data(format!(
        "expected frames of one size, {image} as in {}, found {found}; scale or crop them, and make all grey or all colour",
        quoted(&first)
    ))
}

fn is_grey(frame: &RgbaImage) -> bool {
    frame.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2])
}

/// All frames of a file.
fn film(path: &Path) -> Result<Vec<RgbaImage>> {
    let file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
    frames_of(BufReader::new(file)).map_err(|e| e.at(path))
}

fn frames_of(mut file: impl BufRead + Seek) -> Result<Vec<RgbaImage>> {
    let bad = |e: &dyn std::fmt::Display| {
        Error::data(format!("expected a whole GIF or APNG file, but it cannot be decoded: {e}"))
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES);
    let is_gif = file.fill_buf().map_err(|e| bad(&e))?.starts_with(b"GIF8");
    let frames = if is_gif {
        let mut decoder = GifDecoder::new(file).map_err(|e| bad(&e))?;
        decoder.set_limits(limits).map_err(|e| bad(&e))?;
        decoder.into_frames()
    } else {
        let decoder = PngDecoder::with_limits(file, limits).and_then(PngDecoder::apng);
        decoder.map_err(|e| bad(&e))?.into_frames()
    };
    let (mut found, mut bytes) = (Vec::new(), 0);
    for frame in frames.map(|frame: ImageResult<image::Frame>| frame.map_err(|e| bad(&e))) {
        let frame = frame?.into_buffer();
        bytes += frame.len();
        if bytes > FILM_BYTES {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "the frames of a clip have at most {FILM_BYTES} bytes; cut it, or make a folder of its frames"
                ),
            ));
        }
        if frame.pixels().any(|pixel| pixel.0[3] != u8::MAX) {
            return Err(Error::data(format!(
                "frame {} is transparent in places; lay the clip on a background first",
                found.len() + 1
            )));
        }
        found.push(frame);
    }
    Ok(found)
}

impl Frames for Films {
    fn image(&self) -> ImageShape {
        self.image
    }

    fn progress(&self) -> Option<f64> {
        Some(self.read as f64 / self.files.len().max(1) as f64)
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        while self.frames.is_empty() {
            let Some(path) = self.files.get(self.read).cloned() else { return Ok(None) };
            self.read += 1;
            self.open(&path)?;
        }
        let begins = self.begins.take();
        Ok(self.frames.pop_front().map(|bytes| Frame { bytes, begins }))
    }
}

/// Clips whose frames are files, in the order of their names.
struct Stills {
    clips: Vec<(String, Vec<PathBuf>)>,
    image: ImageShape,
    at: [usize; 2],
    notes: Vec<String>,
}

impl Stills {
    fn new(clips: Vec<(String, Vec<PathBuf>)>, others: u64) -> Result<Self> {
        let first = clips.first().and_then(|(_, files)| files.first()).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                "expected a folder of GIF or APNG files, of the frames of a clip (PNG or JPEG), or of folders of such, found a folder without",
            )
        })?;
        let (image, _) = decode(first)?;
        Ok(Self { clips, image, at: [0, 0], notes: left_out(others) })
    }
}

impl Frames for Stills {
    fn image(&self) -> ImageShape {
        self.image
    }

    fn count(&self) -> Option<u64> {
        Some(self.clips.iter().map(|(_, files)| files.len() as u64).sum())
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let [clip, frame] = self.at;
        let Some((name, files)) = self.clips.get(clip) else { return Ok(None) };
        let path = &files[frame];
        let (image, bytes) = decode(path)?;
        if image != self.image {
            return Err(expected(self.image, &self.clips[0].1[0], image).at(path));
        }
        let begins = (frame == 0).then(|| name.clone());
        self.at = if frame + 1 < files.len() { [clip, frame + 1] } else { [clip + 1, 0] };
        Ok(Some(Frame { bytes, begins }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG of these chunks, without pixels or checksums.
    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut all = b"\x89PNG\r\n\x1a\n".to_vec();
        for (name, body) in chunks {
            all.extend((body.len() as u32).to_be_bytes());
            all.extend([&name[..], body, &[0; 4]].concat());
        }
        all
    }

    #[test]
    fn a_png_is_a_film_by_its_chunks_and_not_by_what_stands_in_them() {
        let animated = png(&[(b"IHDR", &[0; 13]), (b"acTL", &[0; 8]), (b"IDAT", b"")]);
        let still = png(&[(b"IHDR", &[0; 13]), (b"tEXt", b"of acTL"), (b"IDAT", b"acTL")]);
        assert!(is_film(&animated) && !is_film(&still) && is_film(b"GIF89a"));
        assert!(!is_film(&png(&[(b"IHDR", &[0; 13])])) && !is_film(b"\x89PNG"));
    }
}
