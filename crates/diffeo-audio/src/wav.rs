//! The chunks of a WAV file, and the numbers that it holds.

use diffeo::{Error, Result, printable};

/// What the header says of the numbers.
pub(crate) struct Wav<'a> {
    pub(crate) rate: u32,
    pub(crate) channels: usize,
    encoding: Encoding,
    /// Bytes of a number.
    container: usize,
    /// Bits of a whole number that count, from the highest down.
    bits: u32,
    data: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Whole,
    Float,
}

const WHOLE: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;
/// Lengths that programs write who did not know them: the data goes on to the end of the file.
const UNKNOWN: [u32; 2] = [0, u32::MAX];

impl<'a> Wav<'a> {
    /// Finds the format and the data among the chunks, which may be any and have a byte more where their length is odd.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for another file, one that ends too soon, and an encoding that is not known.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self> {
        if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
            let start = printable(&String::from_utf8_lossy(&bytes[..bytes.len().min(4)]));
            return Err(unreadable(&format!("a file that starts with {start:?}")));
        }
        let (mut rest, mut format) = (&bytes[12..], None);
        while let Some((head, body)) = rest.split_at_checked(8) {
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let is_data = &head[..4] == b"data";
            if is_data && UNKNOWN.contains(&length) {
                return Self::of(format, body, true);
            }
            let end = length as usize;
            let Some(inside) = body.get(..end) else { return Err(cut_short()) };
            match &head[..4] {
                b"fmt " => format = Some(inside),
                b"data" => return Self::of(format, inside, false),
                _ => {}
            }
            rest = body.get(end + end % 2..).unwrap_or_default();
        }
        Err(cut_short())
    }

    fn of(format: Option<&[u8]>, data: &'a [u8], is_open: bool) -> Result<Self> {
        let Some(format) = format.filter(|format| format.len() >= 16) else {
            return Err(unreadable("no format before the data"));
        };
        let two = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
        let (mut tag, channels, block) = (two(0), usize::from(two(2)), usize::from(two(12)));
        let rate = u32::from_le_bytes([format[4], format[5], format[6], format[7]]);
        let mut bits = u32::from(two(14));
        let container = block / channels.max(1);
        if tag == EXTENSIBLE && format.len() >= 40 {
            tag = two(24);
            bits = if two(18) == 0 { bits } else { u32::from(two(18)) };
        }
        let encoding = match (tag, container) {
            (WHOLE, 1..=4) if (1..=8 * container as u32).contains(&bits) => Encoding::Whole,
            (FLOAT, 4 | 8) => Encoding::Float,
            _ => {
                return Err(unreadable(&format!(
                    "encoding {tag} of {bits} bits, {channels} channels in {block} bytes"
                )));
            }
        };
        if block != channels * container {
            return Err(unreadable(&format!("{channels} channels in {block} bytes")));
        }
        let whole = data.len() / block * block;
        if whole != data.len() && !is_open {
            return Err(cut_short());
        }
        Ok(Self { rate, channels, encoding, container, bits, data: &data[..whole] })
    }

    /// How many numbers there are, in all channels together.
    pub(crate) fn len(&self) -> usize {
        self.data.len() / self.container
    }

    /// The distance between levels, where numbers are whole: they lie between -1 and 1.
    pub(crate) fn step(&self) -> f64 {
        match self.encoding {
            Encoding::Whole => (1.0 - f64::from(self.bits)).exp2(),
            Encoding::Float => 0.0,
        }
    }

    /// The numbers, those of channels side by side.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let each = self.data.chunks_exact(self.container);
        match (self.encoding, self.container) {
            (Encoding::Float, 8) => {
                each.map(|b| f64::from_le_bytes(std::array::from_fn(|i| b[i]))).collect()
            }
            (Encoding::Float, _) => {
                each.map(|b| f64::from(f32::from_le_bytes(std::array::from_fn(|i| b[i])))).collect()
            }
            // One byte counts from 0.
            (Encoding::Whole, 1) => each.map(|b| (f64::from(b[0]) - 128.0) / 128.0).collect(),
            (Encoding::Whole, container) => {
                let free = 4 - container;
                let level = |b: &[u8]| {
                    i32::from_le_bytes(std::array::from_fn(
                        |i| if i < free { 0 } else { b[i - free] },
                    ))
                };
                each.map(|b| f64::from(level(b)) / 2f64.powi(31)).collect()
            }
        }
    }
}

fn cut_short() -> Error {
    unreadable("a file that ends too soon")
}

fn unreadable(found: &str) -> Error {
    Error::data(format!(
        "expected a WAV file of whole numbers of 8, 16, 24 or 32 bits or of floats of 32 or 64, found {found}; convert it first, for example by `ffmpeg -i IN -c:a pcm_s16le OUT.wav`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut all = [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
        all.resize(all.len().next_multiple_of(2), 0);
        all
    }

    fn format(tag: u16, channels: u16, container: u16, bits: u16) -> Vec<u8> {
        let block = channels * container;
        let mut all = [tag, channels].map(u16::to_le_bytes).concat();
        all.extend([8000u32, 8000 * u32::from(block)].map(u32::to_le_bytes).concat());
        all.extend([block, bits].map(u16::to_le_bytes).concat());
        all
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let inside = chunks.concat();
        [b"RIFF", &(inside.len() as u32 + 4).to_le_bytes()[..], b"WAVE", &inside].concat()
    }

    #[test]
    fn chunks_of_odd_length_before_the_data_are_passed_over() {
        let data = chunk(b"data", &[0, 64, 0, 192]);
        let list = chunk(b"LIST", b"odd");
        let bytes = file(&[chunk(b"fmt ", &format(WHOLE, 1, 2, 16)), list, data]);
        let wav = Wav::open(&bytes).unwrap();
        assert_eq!((wav.numbers(), wav.rate), (vec![0.5, -0.5], 8000));
    }

    #[test]
    fn numbers_in_wider_containers_count_from_their_highest_bit() {
        let mut extensible = format(EXTENSIBLE, 1, 4, 32);
        extensible.extend([22u16, 24, 0, 0].map(u16::to_le_bytes).concat());
        extensible.extend(WHOLE.to_le_bytes());
        extensible.resize(40, 0);
        let data = chunk(b"data", &(1i32 << 29).to_le_bytes());
        let bytes = file(&[chunk(b"fmt ", &extensible), data]);
        let wav = Wav::open(&bytes).unwrap();
        assert_eq!((wav.numbers(), wav.step()), (vec![0.25], 2f64.powi(-23)));
    }

    #[test]
    fn doubles_and_data_of_unknown_length_are_read() {
        let body = [0.25f64, -3.0].map(f64::to_le_bytes).concat();
        let mut bytes = file(&[chunk(b"fmt ", &format(FLOAT, 1, 8, 64)), chunk(b"data", &body)]);
        assert_eq!(Wav::open(&bytes).unwrap().numbers(), [0.25, -3.0]);
        let at = bytes.len() - body.len() - 4;
        for length in UNKNOWN {
            bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(Wav::open(&bytes).unwrap().numbers(), [0.25, -3.0]);
        }
        bytes.push(7);
        assert_eq!(Wav::open(&bytes).unwrap().len(), 2);
    }

    #[test]
    fn other_encodings_are_refused_by_their_number() {
        let bytes = file(&[chunk(b"fmt ", &format(85, 2, 2, 16)), chunk(b"data", &[0; 4])]);
        let error = Wav::open(&bytes).err().unwrap();
        assert!(error.message().contains("encoding 85"), "{error}");
    }
}
