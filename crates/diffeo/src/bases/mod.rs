//! Base distributions, one a file: what a file says of it, and the density.
//!
//! A new one is a file like these and a line in [`BaseSpec`].

mod describe;
mod gaussian;
mod mixture;
mod normal;
mod student_t;
mod uniform;

pub use describe::{DescribeBase, Distribution, Sampler, Written};

use crate::catalog::catalog;
use crate::error::{Error, Result, quoted};

/// Makes the enum of a list of bases.
macro_rules! bases {
    ($($module:ident::$variant:ident($spec:ident)),+ $(,)?) => {
        catalog! {
            /// Every base distribution that a file can name, described.
            pub enum BaseSpec: DescribeBase { $($module::$variant($spec)),+ }
        }

        impl BaseSpec {
            /// How each is written: a name and, for some, what number it takes.
            pub const USAGES: &'static [&'static str] = &[$($spec::USAGE),+];

            /// The base of a name; `None` if there is none that takes such a number.
            fn written(name: &str, number: Option<f64>) -> Option<Self> {
                $(
                    if $spec::USAGE.split('[').next() == Some(name) {
                        return $spec::written(number).map(Self::$variant);
                    }
                )+
                None
            }
        }
    };
}

bases! {
    normal::Normal(NormalSpec),
    gaussian::Gaussian(GaussianSpec),
    student_t::StudentT(StudentTSpec),
    mixture::Mixture(MixtureSpec),
    uniform::Uniform(UniformSpec),
}

impl Default for BaseSpec {
    /// The standard normal.
    fn default() -> Self {
        Self::Normal(NormalSpec {})
    }
}

/// Parses what [`BaseSpec::USAGES`] lists, such as `student-t` or `student-t:30`.
impl std::str::FromStr for BaseSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) =
            text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let number = number.map(str::parse::<f64>).transpose().map_err(|_| {
            Error::config(format!("expected NAME or NAME:NUMBER, found {}", quoted(text)))
        })?;
        let spec = Self::written(name, number).ok_or_else(|| {
            let usages = Self::USAGES.join(", ");
            Error::config(format!("expected one of {usages}; found {}", quoted(text)))
        })?;
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
