//! Base distributions, one a file: what a file says of it, and the density.
//!
//! A new one is a file like these and a line in [`BaseSpec`].

mod describe;
mod gaussian;
mod mixture;
mod normal;
mod student_t;
mod uniform;

pub use describe::{DescribeBase, Distribution, DuplicateBase, Sampler};
pub use gaussian::{Gaussian, GaussianSpec};
pub use mixture::{Mixture, MixtureSpec};
pub use normal::{Normal, NormalSpec};
pub use student_t::{StudentT, StudentTSpec};
pub use uniform::{Uniform, UniformSpec};

use crate::catalog::catalog;
use crate::error::{Error, Result, quoted};

catalog! {
    /// Every base distribution that a file can name, described.
    pub enum BaseSpec: DescribeBase {
        Normal(NormalSpec),
        Gaussian(GaussianSpec),
        Uniform(UniformSpec),
        StudentT(StudentTSpec),
        Mixture(MixtureSpec),
    }
}

impl Default for BaseSpec {
    /// The standard normal.
    fn default() -> Self {
        Self::Normal(NormalSpec {})
    }
}

/// Parses a name and, for some, a number: `normal`, `gaussian`, `student-t[:DOF]`, `mixture[:COMPONENTS]` or `uniform[:BOUND]`.
impl std::str::FromStr for BaseSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) =
            text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let number = number.map(str::parse::<f64>).transpose().map_err(|_| {
            Error::config(format!("expected NAME or NAME:NUMBER, found {}", quoted(text)))
        })?;
        let spec = match (name, number) {
            ("normal", None) => Self::Normal(NormalSpec {}),
            ("gaussian", None) => Self::Gaussian(GaussianSpec {}),
            ("student-t", dof) => Self::StudentT(StudentTSpec { dof: dof.unwrap_or(5.0) }),
            ("mixture", count) => {
                let count = count.unwrap_or(8.0);
                let components = if count.fract() == 0.0 { count as usize } else { 0 };
                Self::Mixture(MixtureSpec { components })
            }
            ("uniform", bound) => {
                let high = bound.unwrap_or(5.0);
                Self::Uniform(UniformSpec { low: -high, high })
            }
            _ => {
                return Err(Error::config(format!(
                    "expected normal, gaussian, student-t[:DOF], mixture[:COMPONENTS] or uniform[:BOUND], found {}",
                    quoted(text)
                )));
            }
        };
        spec.validate()?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_parse_with_and_without_their_number() {
        let base = |text: &str| text.parse::<BaseSpec>();
        assert_eq!(base("student-t").unwrap(), StudentTSpec { dof: 5.0 }.into());
        assert_eq!(base("student-t:30").unwrap(), StudentTSpec { dof: 30.0 }.into());
        assert_eq!(base("mixture:3").unwrap(), MixtureSpec { components: 3 }.into());
        assert_eq!(base("uniform:2").unwrap(), UniformSpec { low: -2.0, high: 2.0 }.into());
        for text in [
            "",
            "normal:1",
            "student-t:1",
            "student-t:x",
            "mixture:0",
            "mixture:2.5",
            "uniform:-1",
            "cauchy",
        ] {
            assert!(base(text).is_err(), "{text}");
        }
    }
}
