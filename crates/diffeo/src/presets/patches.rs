//! In which order a transformer reads an image: in tokens of several pixels.

use crate::columns::ImageShape;
use crate::error::{Error, Result};

/// Tokens of `side x side` pixels, all equally large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patches {
    image: ImageShape,
    side: usize,
}

impl Patches {
    /// Side of a patch where none is chosen: the largest up to this that divides both sides of the image.
    const SIDE: usize = 4;

    /// Patches of a chosen side, or of what suits the image.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if the image is no whole number of patches.
    pub(super) fn new(image: ImageShape, side: Option<usize>) -> Result<Self> {
        let fits = |side: &usize| {
            *side > 0 && image.height.is_multiple_of(*side) && image.width.is_multiple_of(*side)
        };
        let usual = || (1..=Self::SIDE).rev().find(fits).unwrap_or(1);
        match side {
            None => Ok(Self { image, side: usual() }),
            Some(side) if fits(&side) => Ok(Self { image, side }),
            Some(side) => Err(Error::config(format!(
                "expected patches whose side divides both sides of the image, {} and {}; found {side}, use {}",
                image.height,
                image.width,
                usual()
            ))),
        }
    }

    /// Numbers of a token.
    pub(super) fn group(&self) -> usize {
        self.side * self.side * self.image.channels
    }

    /// The numbers of an image in the order in which transform `i` takes them, token after token.
    ///
    /// In every second transform, the first included, a token is as many pixels as a patch has that lie as far from each other as can be: one of each tile that the image is cut
    /// into, so that a pixel is given those to its left and above, and what it shares with the others of its token is little. In the others a token is a patch, whose pixels are
    /// independent given the patches before: what one transform cannot see of two pixels, the next can. Two transforms of four go back to front.
    pub(super) fn order(&self, i: usize) -> Vec<usize> {
        let Self { image, side } = *self;
        let (down, across) = (image.height / side, image.width / side);
        let is_patch = !i.is_multiple_of(2);
        let mut order = Vec::with_capacity(image.numbers());
        for (a, b) in (0..down).flat_map(|a| (0..across).map(move |b| (a, b))) {
            for (j, k) in (0..side).flat_map(|j| (0..side).map(move |k| (j, k))) {
                let [line, pixel] = match is_patch {
                    true => [a * side + j, b * side + k],
                    false => [j * down + a, k * across + b],
                };
                order.extend((0..image.channels).map(|channel| image.place(line, pixel, channel)));
            }
        }
        if matches!(i % 4, 1 | 2) {
            order.reverse();
        }
        order
    }

    /// How transform `i` finds what the one before has left.
    pub(super) fn turn(&self, i: usize) -> Vec<usize> {
        let order = self.order(i);
        let Some(before) = i.checked_sub(1).map(|before| self.order(before)) else { return order };
        let mut places = vec![0; before.len()];
        before.iter().enumerate().for_each(|(place, &number)| places[number] = place);
        order.into_iter().map(|number| places[number]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_lead_from_order_to_order() {
        let patches = Patches::new(ImageShape::of_bytes(4, 6, 2), Some(2)).unwrap();
        let mut now: Vec<usize> = (0..48).collect();
        for i in 0..6 {
            now = patches.turn(i).into_iter().map(|place| now[place]).collect();
            assert_eq!(now, patches.order(i));
            let mut sorted = now.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..48));
        }
    }

    #[test]
    fn tokens_are_as_far_apart_as_can_be_and_then_patches() {
        let patches = Patches::new(ImageShape::of_bytes(4, 4, 1), Some(2)).unwrap();
        assert_eq!(patches.order(0)[..8], [0, 2, 8, 10, 1, 3, 9, 11]);
        assert_eq!(patches.order(1)[..4], [15, 14, 11, 10]);
        assert_eq!(patches.order(2)[..4], [15, 13, 7, 5]);
        assert_eq!(patches.order(3)[..8], [0, 1, 4, 5, 2, 3, 6, 7]);
    }

    #[test]
    fn an_image_is_a_whole_number_of_patches() {
        let of = |height, width, side| Patches::new(ImageShape::of_bytes(height, width, 1), side);
        assert_eq!(of(28, 28, None).unwrap().group(), 16);
        assert_eq!(of(9, 6, None).unwrap().group(), 9);
        assert_eq!(of(7, 5, None).unwrap().group(), 1);
        for side in [0, 5, 28] {
            assert!(of(28, 14, Some(side)).unwrap_err().message().contains("use 2"), "{side}");
        }
    }
}
