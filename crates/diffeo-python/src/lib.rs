//! `diffeo._native`: what the package for Python is made of. The package itself, in `python/diffeo`, adds names, defaults and documentation.
//!
//! Tables come in by the Arrow C stream interface (`__arrow_c_stream__`), or column by column by the buffer protocol, and go out likewise; every number comes from
//! the library. Long work runs without the interpreter's lock and looks for signals in between.

mod arrays;
mod assemble;
mod audio;
mod blocks;
mod control;
mod draws;
mod errors;
mod fit;
mod inference;
mod model;
mod portrait;
mod preparation;
mod ranks;
mod reweight;
mod settings;
mod table;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::assemble::assemble;
    #[pymodule_export]
    use crate::audio::{PyAudioModel, distill_audio, fit_audio, read_clips};
    #[pymodule_export]
    use crate::control::train_policy;
    #[pymodule_export]
    use crate::fit::fit;
    #[pymodule_export]
    use crate::inference::{FittedTarget, PyWeights, fit_target};
    #[pymodule_export]
    use crate::model::PyModel;
    #[pymodule_export]
    use crate::portrait::{Figure, check, plot};
    #[pymodule_export]
    use crate::reweight::{LearnedRatio, reweight};
    #[pymodule_export]
    use crate::table::Table;

    use super::*;

    /// Runs the command line with these arguments, the first of which is its name, and gives its exit code.
    #[pyfunction]
    fn command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
        py.detach(|| diffeo_cli::run(arguments.into_iter()))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
