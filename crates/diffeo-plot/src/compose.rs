//! Several figures on one page.

use crate::figure::Figure;
use crate::scene::Scene;

/// How [`compose`] arranges figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// One below the other.
    Vertical,
    /// Side by side.
    Horizontal,
}

/// Puts figures on one page, in order; the page is as wide or high as the largest of them.
///
/// Figures are aligned at their upper left corners. An empty list gives a blank page.
pub fn compose(figures: &[Figure], stack: Stack) -> Figure {
    let widths = figures.iter().map(Figure::width);
    let heights = figures.iter().map(Figure::height);
    let (width, height) = match stack {
        Stack::Vertical => (widths.fold(1.0, f64::max), heights.sum::<f64>()),
        Stack::Horizontal => (widths.sum::<f64>(), heights.fold(1.0, f64::max)),
    };
    let mut scene = Scene::new(width.max(1.0), height.max(1.0));
    let mut offset = [0.0, 0.0];
    for figure in figures {
        scene.place(&figure.scene, offset);
        match stack {
            Stack::Vertical => offset[1] += figure.height(),
            Stack::Horizontal => offset[0] += figure.width(),
        }
    }
    let titles: Vec<&str> = figures.iter().map(|f| f.title.as_str()).collect();
    let notes = figures.iter().flat_map(|f| f.notes.iter().cloned()).collect();
    Figure { scene, title: titles.join("; "), notes }
}
