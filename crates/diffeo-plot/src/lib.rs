//! The pictures of diffeo, from plain arrays.
//!
//! Every figure is one configuration struct and one `draw_*` function that returns a [`Figure`], which
//! is written as SVG or PNG by the extension of its path. Nothing is asked of the machine: lines are
//! drawn by `tiny-skia`, text by the outlines of an embedded font, and the same input gives the same
//! bytes. In every picture data is blue and the model is orange, two hues that stay apart for
//! readers with any common colour vision deficiency.
//!
//! Values that are not finite are skipped, and values beyond the axes are left out; both are counted
//! in the caption, so a picture never hides that something is missing.
//!
//! ```
//! use diffeo_plot::{Column, Matrix, PairsConfig, draw_pairs};
//!
//! let data: Vec<f64> = (0..2000).map(|i| (f64::from(i) * 0.618).sin()).collect();
//! let columns = [Column::real("height"), Column::real("weight")];
//! let data = Matrix::new(&data, 2)?;
//! let figure = draw_pairs(&PairsConfig::new(&columns, data, data))?;
//! assert!(figure.to_svg().starts_with("<svg"));
//! # Ok::<(), diffeo_plot::PlotError>(())
//! ```

mod axis;
mod calibration;
mod clip;
mod colour;
mod compose;
mod contour;
mod dates;
mod density2d;
mod error;
mod figure;
mod font;
mod histogram;
mod images;
mod layout;
mod levels;
mod loss_curve;
mod marginals;
mod matrix;
mod moving;
mod pairs;
mod raster;
mod return_curve;
mod scene;
mod sound;
mod stage;
mod svg;
mod ticks;

pub use calibration::{CalibrationConfig, draw_calibration};
pub use compose::{Stack, compose};
pub use dates::Clock;
pub use density2d::{DensitiesConfig, Density2dConfig, GridLine, draw_densities, draw_density2d};
pub use error::PlotError;
pub use figure::{Figure, FigureFormat};
pub use images::{ImageGrid, Images, draw_images, save_image};
pub use loss_curve::{LossCurveConfig, LossPoint, draw_loss_curve};
pub use marginals::{MarginalsConfig, draw_marginals};
pub use matrix::{Column, Matrix};
pub use moving::save_clips;
pub use pairs::{PairsConfig, draw_pairs};
pub use return_curve::{ReturnPoint, draw_return_curve};
pub use sound::{Sound, draw_sounds};
pub use stage::{Ink, Stage, StageShape, draw_stages, save_film};
