//! Motion compensation: what the next frame of a clip would be if everything went on moving as it did between the two before it.

use diffeo_kernels::Real;
use serde::{Deserialize, Serialize};

use crate::columns::ImageShape;
use crate::error::{Error, Result};

/// What is looked for in the frames that a frame is given, described.
///
/// For each pixel `p` the displacement `v`, of at most `reach` pixels along each side, by which the two frames before, `a` and before it `b`, agree best around it: the least of
/// `(c + sum_w |a(p - v + w) - b(p - 2 v + w)|) / (c + sum_w g(p - v + w))` over a square that reaches a pixel further than `v` may, the shortest of those that are as good.
///
/// * The numerator is that of block matching by absolute differences. In the denominator `g` is how much a pixel of `a` differs from those to its right and below it: that a structure agrees says more than that
///   two empty places do. `c` is a sixty-fourth of the levels for each number that is compared.
/// * What is foretold is `a(p - v)`. Beyond the border pixels go on as the last one. After fewer than two frames nothing is known, and the middle level stands for that.
///
/// Reference: Jain, Jain. *Displacement measurement and its application in interframe image coding*. IEEE Transactions on Communications 29, 1981; along the trajectory through two earlier frames, as decoders do
/// to whom no displacement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionSpec {
    /// Numbers of a pixel of a frame.
    pub channels: usize,
    /// How many values each may have.
    pub levels: u32,
    /// The longest displacement along each side, in pixels.
    pub reach: usize,
}

impl MotionSpec {
    /// Longest displacement that may be looked for.
    pub const REACH_MAX: usize = 32;

    /// Numbers of the squares around two pixels that are compared.
    fn numbers_compared(&self) -> usize {
        self.channels.saturating_mul((2 * self.around() + 1).pow(2))
    }

    /// How far the squares reach around a pixel.
    fn around(&self) -> usize {
        self.reach + 1
    }

    /// Checks every range, for frames of so many numbers a pixel all together.
    pub(super) fn validate(&self, given: usize) -> Result<()> {
        let is_whole = self.channels > 0 && given.is_multiple_of(self.channels);
        if !is_whole || given / self.channels < 2 {
            return Err(Error::config(format!(
                "motion: expected at least two frames of {given} channels together, found {} of each",
                self.channels
            )));
        }
        if !(2..=ImageShape::LEVELS_MAX).contains(&self.levels) {
            return Err(Error::config(format!(
                "motion: expected 2 to {} levels, found {}",
                ImageShape::LEVELS_MAX,
                self.levels
            )));
        }
        if self.reach > Self::REACH_MAX {
            return Err(Error::config(format!(
                "motion: expected a reach of at most {} pixels, found {}",
                Self::REACH_MAX,
                self.reach
            )));
        }
        let largest = self.numbers_compared().checked_mul(self.levels as usize);
        if largest.is_none_or(|largest| i32::try_from(largest).is_err()) {
            return Err(Error::config(format!(
                "motion: {} numbers of {} levels are too many to compare; take a shorter reach",
                self.numbers_compared(),
                self.levels
            )));
        }
        Ok(())
    }
}

/// The frames of one size that motion is looked for in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Motion {
    pub(super) spec: MotionSpec,
    pub(super) height: usize,
    pub(super) across: usize,
    /// Numbers of a pixel of all frames together.
    pub(super) given: usize,
}

/// A frame with its border drawn out on all sides.
struct Padded {
    values: Vec<i32>,
    /// Numbers of a line.
    line: usize,
    margin: usize,
}

impl Motion {
    /// Numbers that are found: a frame, and for each pixel how far from sure it is.
    pub(super) fn found(&self) -> usize {
        self.height * self.across * (self.spec.channels + 1)
    }

    /// What is found in the frames that a context starts with, number `i` of which is `context(i)`: the frame that is foretold, as a flow sees it, and for each pixel from 0, sure, to 1, not at all.
    pub(super) fn find<T: Real>(&self, context: impl Fn(usize) -> T, found: &mut [T]) {
        let Self { spec: MotionSpec { channels, levels, .. }, .. } = *self;
        let level = |number: T| ImageShape::given_level(levels, number.to_f64()) as i32;
        let pixels = self.height * self.across;
        let frame = |k: usize| -> Option<Vec<i32>> {
            let numbers = (0..pixels * channels).map(|i| {
                let (pixel, channel) = (i / channels, i % channels);
                level(context(pixel * self.given + k * channels + channel))
            });
            let numbers: Vec<i32> =
                ((k + 1) * channels <= self.given).then(|| numbers.collect())?;
            // A clip that has not begun is black.
            numbers.iter().any(|level| *level > 0).then_some(numbers)
        };
        let (foretold, costs) = match (frame(0), frame(1)) {
            (Some(last), Some(before)) => self.follow(last, &before),
            _ => (vec![levels as i32 / 2; pixels * channels], vec![1.0; pixels]),
        };
        let seen = foretold.iter().map(|level| ImageShape::given_number(levels, *level as u32));
        let all = seen.chain(costs).zip(found);
        all.for_each(|(number, to)| *to = T::from_f64(number));
    }

    fn padded(&self, frame: &[i32], margin: usize) -> Padded {
        let (channels, line) =
            (self.spec.channels, (self.across + 2 * margin) * self.spec.channels);
        let inside = |i: usize, len: usize| i.saturating_sub(margin).min(len - 1);
        let mut values = Vec::with_capacity((self.height + 2 * margin) * line);
        for i in 0..self.height + 2 * margin {
            let from = inside(i, self.height) * self.across;
            for j in 0..self.across + 2 * margin {
                let at = (from + inside(j, self.across)) * channels;
                values.extend_from_slice(&frame[at..at + channels]);
            }
        }
        Padded { values, line, margin }
    }

    /// Displacements, the shortest first.
    fn displacements(&self) -> Vec<[isize; 2]> {
        let reach = self.spec.reach as isize;
        let all = (-reach..=reach).flat_map(|i| (-reach..=reach).map(move |j| [i, j]));
        let mut all: Vec<[isize; 2]> = all.collect();
        all.sort_by_key(|[i, j]| (i.abs() + j.abs(), *i, *j));
        all
    }

    fn follow(&self, last: Vec<i32>, before: &[i32]) -> (Vec<i32>, Vec<f64>) {
        let Self { spec, height, across, .. } = *self;
        let MotionSpec { channels, levels, reach } = spec;
        // A pixel of a square around one, twice displaced, and that beside it.
        let margin = 2 * reach + spec.around() + 1;
        let [a, b] = [&last[..], before].map(|frame| self.padded(frame, margin));
        let structure = self.structure(&a);
        let flat = f64::from(levels) / 64.0 * spec.numbers_compared() as f64;
        let (mut best, mut foretold) = (vec![f64::INFINITY; height * across], last);
        for by in self.displacements() {
            let differences = self.differences(&a, &b, by);
            for (i, (difference, best)) in differences.into_iter().zip(&mut best).enumerate() {
                let [line, pixel] = [(i / across, by[0]), (i % across, by[1])]
                    .map(|(place, by)| (place + reach).wrapping_add_signed(-by));
                let structure = structure[line * (across + 2 * reach) + pixel];
                let cost = (f64::from(difference) + flat) / (f64::from(structure) + flat);
                if cost < *best {
                    *best = cost;
                    let from = a.at(i / across, i % across, by, channels);
                    let to = &mut foretold[i * channels..(i + 1) * channels];
                    to.copy_from_slice(&a.values[from..from + channels]);
                }
            }
        }
        (foretold, best.into_iter().map(|cost| cost.min(1.0)).collect())
    }

    /// For each pixel, the sum of absolute differences around it.
    fn differences(&self, a: &Padded, b: &Padded, by: [isize; 2]) -> Vec<i32> {
        let Self { spec: MotionSpec { channels, .. }, height, across, .. } = *self;
        let (around, twice) = (self.spec.around(), by.map(|by| 2 * by));
        sums_around([height, across], around, |i, line| {
            // Line `i` of all squares starts so many pixels before the first.
            let [a, b] = [(a, by), (b, twice)].map(|(frame, by)| {
                let start = frame.start(i, around, by, channels);
                &frame.values[start..start + line.len() * channels]
            });
            let pairs = a.chunks_exact(channels).zip(b.chunks_exact(channels));
            for (sum, (a, b)) in line.iter_mut().zip(pairs) {
                *sum = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
            }
        })
    }

    /// The same of pixels and those to the right of them and below, of a frame that is so much larger on all sides as pixels may be displaced.
    fn structure(&self, a: &Padded) -> Vec<i32> {
        let Self { spec: MotionSpec { channels, reach, .. }, height, across, .. } = *self;
        let around = self.spec.around();
        sums_around([height + 2 * reach, across + 2 * reach], around, |i, line| {
            let start = a.start(i, around + reach, [0, 0], channels);
            for (pixel, sum) in line.iter_mut().enumerate() {
                let at = start + pixel * channels;
                *sum = (at..at + channels)
                    .map(|at| {
                        let beside = [a.values[at + channels], a.values[at + a.line]];
                        beside.map(|beside| (a.values[at] - beside).abs()).iter().sum::<i32>()
                    })
                    .sum();
            }
        })
    }
}

/// For each pixel, the sum of numbers of the pixels in a square around it, which are made line by line.
fn sums_around(
    [height, across]: [usize; 2],
    around: usize,
    make: impl Fn(usize, &mut [i32]),
) -> Vec<i32> {
    let side = 2 * around + 1;
    let mut of_lines = vec![0; (height + 2 * around) * across];
    let mut line = vec![0; across + 2 * around];
    for (i, sums) in of_lines.chunks_exact_mut(across).enumerate() {
        make(i, &mut line);
        let mut sum: i32 = line[..side - 1].iter().sum();
        for (j, to) in sums.iter_mut().enumerate() {
            sum += line[j + side - 1];
            *to = sum;
            sum -= line[j];
        }
    }
    let mut all = vec![0; height * across];
    for (i, sums) in all.chunks_exact_mut(across).enumerate() {
        for of_line in of_lines[i * across..].chunks_exact(across).take(side) {
            sums.iter_mut().zip(of_line).for_each(|(sum, of_line)| *sum += of_line);
        }
    }
    all
}

impl Padded {
    /// Where the pixel is that a displacement brings to this one.
    fn at(&self, line: usize, pixel: usize, by: [isize; 2], channels: usize) -> usize {
        let [line, pixel] = [(line, by[0]), (pixel, by[1])]
            .map(|(place, by)| (place + self.margin).wrapping_add_signed(-by));
        line * self.line + pixel * channels
    }

    /// The same for the pixel so many lines and pixels before this line.
    fn start(&self, line: usize, before: usize, by: [isize; 2], channels: usize) -> usize {
        let back = before as isize;
        self.at(line, 0, by.map(|by| by + back), channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 12;
    const LEVELS: u32 = 64;

    /// A square of three by three pixels that are all different, with its corner here.
    fn frame(line: usize, pixel: usize, channels: usize) -> Vec<u32> {
        let mut frame = vec![0; SIDE * SIDE * channels];
        for i in 0..9 {
            let at = ((line + i / 3) * SIDE + pixel + i % 3) * channels;
            frame[at..at + channels].iter_mut().for_each(|level| *level = 10 + 5 * i as u32);
        }
        frame
    }

    fn foretold(frames: &[Vec<u32>], channels: usize) -> (Vec<u32>, Vec<f64>) {
        let spec = MotionSpec { channels, levels: LEVELS, reach: 2 };
        let given = 2 * channels;
        spec.validate(given).unwrap();
        let motion = Motion { spec, height: SIDE, across: SIDE, given };
        let context = |i: usize| {
            let (pixel, channel) = (i / given, i % given);
            let (k, channel) = (channel / channels, channel % channels);
            let level = frames.get(k).map_or(0, |frame| frame[pixel * channels + channel]);
            ImageShape::given_number(LEVELS, level)
        };
        let mut found = vec![0.0; motion.found()];
        motion.find(context, &mut found);
        let costs = found.split_off(SIDE * SIDE * channels);
        (found.into_iter().map(|v| ImageShape::given_level(LEVELS, v)).collect(), costs)
    }

    #[test]
    fn what_moves_goes_on() {
        for channels in [1, 3] {
            for by in [[0, 0], [1, 2], [2, -1], [-2, 0]] {
                let at = |times: isize| by.map(|by: isize| (5 + times * by) as usize);
                let of = |times| frame(at(times)[0], at(times)[1], channels);
                let (found, costs) = foretold(&[of(1), of(0)], channels);
                assert_eq!(found, of(2), "{by:?}");
                let [line, pixel] = at(2);
                assert!(costs[line * SIDE + pixel] < 0.3, "{by:?}");
            }
        }
    }

    #[test]
    fn what_is_new_costs_and_where_nothing_is_known_the_middle_is_foretold() {
        let (found, costs) = foretold(&[frame(4, 4, 1), frame(0, 8, 1)], 1);
        assert_eq!(found.len(), costs.len());
        let mean = |costs: &[f64]| costs.iter().sum::<f64>() / costs.len() as f64;
        let (_, sure) = foretold(&[frame(4, 5, 1), frame(3, 5, 1)], 1);
        assert!(mean(&costs) > mean(&sure) + 0.2, "{} {}", mean(&costs), mean(&sure));
        assert!(costs.iter().all(|cost| (0.0..=1.0).contains(cost)));
        for frames in [&[][..], &[frame(4, 4, 1)][..]] {
            let (found, costs) = foretold(frames, 1);
            assert!(found.iter().all(|level| *level == LEVELS / 2));
            assert!(costs.iter().all(|cost| *cost == 1.0));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let spec = MotionSpec { channels: 3, levels: 256, reach: 3 };
        assert!(spec.validate(6).is_ok() && spec.validate(7).is_err() && spec.validate(3).is_err());
        assert!(MotionSpec { levels: 1, ..spec }.validate(6).is_err());
        assert!(MotionSpec { reach: 33, ..spec }.validate(6).is_err());
        assert!(MotionSpec { channels: 0, ..spec }.validate(6).is_err());
        assert!(MotionSpec { channels: 500, levels: 65_536, reach: 3 }.validate(1000).is_err());
    }
}
