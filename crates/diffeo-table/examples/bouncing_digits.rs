//! Clips of two digits that move in straight lines and leave a wall in a random direction, as an array of bytes `(clips, frames, 32, 32)`; frames can be foretold but for those bounces.
//!
//! ```sh
//! cargo run --release --example bouncing_digits -- clips.npy 500 20 0 2
//! ```
//!
//! The arguments are the file to write, the clips, the frames of each, the seed, how many pixels a digit moves in a frame along each side at most, and a file of images of 28 x 28 such as those of MNIST, of which digits are taken at half their size; without, they
//! are drawn. After Srivastava, Mansimov, Salakhutdinov. *Unsupervised learning of video representations using LSTMs*. ICML 2015, arXiv:1502.04681 (Moving MNIST), with the random bounces of
//! Denton, Fergus. *Stochastic video generation*. ICML 2018, arXiv:1802.07687.

use std::path::{Path, PathBuf};

use diffeo::{ChaCha8Rng, Error, ImageShape, Purpose, Result, Rows, Streams, uniform};
use diffeo_table::{ImageArrayWriter, Input, MemoryLimit, ReadOptions, read_table};

/// Sides of a frame and of a digit.
const FRAME: usize = 32;
const DIGIT: usize = 14;
/// Digits in a frame.
const DIGITS: usize = 2;
/// Lines of the digits that are drawn, a row of bits each, of three by five squares.
const DRAWN: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 2, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

type Digit = [[f64; DIGIT]; DIGIT];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or_else(usage)?);
    let mut number = |usual: u64| match arguments.next() {
        Some(text) => text.parse().map_err(|_| usage()),
        None => Ok(usual),
    };
    let (clips, frames, seed, speed) = (number(500)?, number(20)?, number(0)?, number(2)?);
    let speed = usize::try_from(speed).ok().filter(|speed| *speed < FRAME).ok_or_else(usage)?;
    let digits = match arguments.next() {
        Some(path) => halved(Path::new(&path))?,
        None => (0..10).map(drawn).collect(),
    };
    let mut writer = ImageArrayWriter::create(&out, ImageShape::of_bytes(FRAME, FRAME, 1), true)?;
    for clip in 0..clips {
        let mut rng = Streams::new(seed).rng(Purpose::Sample, 0, clip);
        let mut moving: Vec<Moving> =
            (0..DIGITS).map(|_| Moving::start(&digits, speed, &mut rng)).collect();
        for _ in 0..frames {
            writer.write(&Rows::new(frame(&moving), FRAME * FRAME)?)?;
            moving.iter_mut().for_each(|digit| digit.step(&mut rng));
        }
    }
    writer.finish_as_clips(clips)
}

fn usage() -> Error {
    Error::config("expected FILE.npy [clips] [frames] [seed] [speed] [images]")
}

/// A number from 0 on, below `end`.
fn below(end: usize, rng: &mut ChaCha8Rng) -> usize {
    ((uniform(rng) * end as f64) as usize).min(end - 1)
}

/// A digit on its way: where its corner is, how far it goes along each side, and how far at most.
struct Moving<'a> {
    digit: &'a Digit,
    at: [i64; 2],
    by: [i64; 2],
    speed: usize,
}

impl<'a> Moving<'a> {
    /// The last place of a corner.
    const LAST: i64 = (FRAME - DIGIT) as i64;

    fn start(digits: &'a [Digit], speed: usize, rng: &mut ChaCha8Rng) -> Self {
        let digit = &digits[below(digits.len(), rng)];
        let at = [0; 2].map(|_: i64| below(Self::LAST as usize + 1, rng) as i64);
        let by = [0; 2].map(|_: i64| Self::any(speed, rng));
        Self { digit, at, by, speed }
    }

    /// A number of pixels to either side.
    fn any(speed: usize, rng: &mut ChaCha8Rng) -> i64 {
        below(2 * speed + 1, rng) as i64 - speed as i64
    }

    /// Moves on; at a wall it stops for this frame, and leaves in a random direction.
    fn step(&mut self, rng: &mut ChaCha8Rng) {
        let moved = [0, 1].map(|side| self.at[side] + self.by[side]);
        self.at = moved.map(|at| at.clamp(0, Self::LAST));
        if self.at == moved {
            return;
        }
        self.by = [0, 1].map(|side| {
            let speed = Self::any(self.speed, rng);
            match moved[side] {
                ..0 => speed.abs().max(1),
                at if at > Self::LAST => -speed.abs().max(1),
                _ => speed,
            }
        });
    }
}

fn frame(moving: &[Moving<'_>]) -> Vec<f64> {
    let mut pixels = vec![0.0_f64; FRAME * FRAME];
    for Moving { digit, at: [line, pixel], .. } in moving {
        for (i, row) in digit.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                let to = &mut pixels[(*line as usize + i) * FRAME + *pixel as usize + j];
                *to = (*to + value).min(255.0);
            }
        }
    }
    pixels
}

fn drawn(digit: usize) -> Digit {
    let mut pixels = [[0.0; DIGIT]; DIGIT];
    // Squares of two by two pixels, and a pixel more between lines, in the middle of the field.
    for (i, row) in pixels.iter_mut().enumerate().skip(1).take(DIGIT - 2) {
        for (j, pixel) in row.iter_mut().enumerate().skip(3).take(9) {
            let bit = DRAWN[digit][((i - 1) * 5) / (DIGIT - 2)] >> (2 - (j - 3) / 3) & 1;
            *pixel = f64::from(bit) * 255.0;
        }
    }
    pixels
}

/// Images at half their size: the mean of squares of two by two pixels.
fn halved(path: &Path) -> Result<Vec<Digit>> {
    let names: Vec<String> = ImageShape::of_bytes(2 * DIGIT, 2 * DIGIT, 1)
        .columns()
        .into_iter()
        .map(|c| c.name)
        .collect();
    let (input, options) = (Input::Path(path.to_owned()), ReadOptions::default());
    let table = read_table(&input, Some(&names), &options, MemoryLimit::unlimited())?;
    let half = |image: &[f64]| {
        let mut pixels = [[0.0; DIGIT]; DIGIT];
        for (i, row) in pixels.iter_mut().enumerate() {
            for (j, pixel) in row.iter_mut().enumerate() {
                let at = 2 * i * 2 * DIGIT + 2 * j;
                let [above, below] = [at, at + 2 * DIGIT].map(|at| image[at] + image[at + 1]);
                *pixel = ((above + below) / 4.0).round();
            }
        }
        pixels
    };
    Ok((0..table.rows.len()).map(|i| half(table.rows.row(i))).collect())
}
