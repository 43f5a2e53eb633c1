//! Linear regressions: seven of the posteriors.

use diffeo::inference::Domain;
use serde_json::Value;

use crate::dual::Number;
use crate::model::{Model, cauchy, list, normal};

/// `y ~ N(X beta, sigma)`, by the sums that its likelihood depends on.
pub(crate) struct Regression {
    rows: f64,
    /// `X^T X`, row after row, `X^T y` and `y^T y`.
    products: Vec<f64>,
    projected: Vec<f64>,
    square: f64,
    /// Deviation of the normal prior of the coefficients, if they have one.
    coefficients: Option<f64>,
    sigma: SigmaPrior,
}

/// Prior of the deviation.
#[derive(Clone, Copy)]
enum SigmaPrior {
    Flat,
    Cauchy(f64),
    Normal(f64),
}

impl Regression {
    fn new(columns: &[Vec<f64>], y: &[f64], coefficients: Option<f64>, sigma: SigmaPrior) -> Self {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let products = columns.iter().flat_map(|a| columns.iter().map(|b| dot(a, b))).collect();
        let projected = columns.iter().map(|a| dot(a, y)).collect();
        let rows = y.len() as f64;
        Self { rows, products, projected, square: dot(y, y), coefficients, sigma }
    }

    /// The regression of a name, if it is one.
    pub(crate) fn of(name: &str, data: &Value) -> Option<Self> {
        let column = |key: &str| list(&data[key]);
        let logs = |key: &str| column(key).into_iter().map(f64::ln).collect::<Vec<_>>();
        let ones = |n: usize| vec![1.0; n];
        let cauchy = SigmaPrior::Cauchy(2.5);
        Some(match name {
            "arK-arK" => {
                let (y, lags) = (column("y"), 5);
                let lag = |k: usize| y[lags - k..y.len() - k].to_vec();
                let mut columns = vec![ones(y.len() - lags)];
                columns.extend((1..=lags).map(lag));
                Self::new(&columns, &y[lags..], Some(10.0), cauchy)
            }
            "earnings-logearn_height" => {
                let y = logs("earn");
                Self::new(&[ones(y.len()), column("height")], &y, None, SigmaPrior::Flat)
            }
            "kidiq-kidscore_momiq" => {
                let y = column("kid_score");
                Self::new(&[ones(y.len()), column("mom_iq")], &y, None, cauchy)
            }
            "kidiq-kidscore_interaction" => {
                let (y, school, iq) = (column("kid_score"), column("mom_hs"), column("mom_iq"));
                let both = school.iter().zip(&iq).map(|(a, b)| a * b).collect();
                Self::new(&[ones(y.len()), school, iq, both], &y, None, cauchy)
            }
            "mesquite-logmesquite" => {
                let y = logs("weight");
                let mut columns = vec![ones(y.len())];
                let names = ["diam1", "diam2", "canopy_height", "total_height", "density"];
                columns.extend(names.map(logs));
                columns.push(column("group"));
                Self::new(&columns, &y, None, SigmaPrior::Flat)
            }
            "nes1972-nes" => {
                let (y, age) = (column("partyid7"), column("age_discrete"));
                let is =
                    |group: f64| age.iter().map(|a| f64::from(u8::from(*a == group))).collect();
                let mut columns = vec![ones(y.len()), column("real_ideo"), column("race_adj")];
                columns.extend([is(2.0), is(3.0), is(4.0)]);
                columns.extend(["educ1", "gender", "income"].map(column));
                Self::new(&columns, &y, None, SigmaPrior::Flat)
            }
            "sblri-blr" => {
                let rows: Vec<Vec<f64>> = data["X"].as_array()?.iter().map(list).collect();
                let columns: Vec<Vec<f64>> =
                    (0..rows[0].len()).map(|j| rows.iter().map(|row| row[j]).collect()).collect();
                Self::new(&columns, &column("y"), Some(10.0), SigmaPrior::Normal(10.0))
            }
            _ => return None,
        })
    }
}

impl Model for Regression {
    fn domains(&self) -> Vec<Domain> {
        vec![Domain::Real(self.projected.len()), Domain::Positive(1)]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let d = self.projected.len();
        let (beta, sigma) = (&x[..d], x[d]);
        let mut misfit = N::constant(self.square);
        for (i, b) in beta.iter().enumerate() {
            let mut carried = N::constant(-2.0 * self.projected[i]);
            for (product, other) in self.products[i * d..].iter().zip(beta) {
                carried = carried + other.scale(*product);
            }
            misfit = misfit + *b * carried;
        }
        let mut log_p = -sigma.ln().scale(self.rows) - misfit / sigma.square().scale(2.0);
        if let Some(deviation) = self.coefficients {
            beta.iter().for_each(|b| log_p = log_p + normal(*b, 0.0, deviation));
        }
        log_p
            + match self.sigma {
                SigmaPrior::Flat => N::constant(0.0),
                SigmaPrior::Cauchy(scale) => cauchy(sigma, scale),
                SigmaPrior::Normal(scale) => normal(sigma, 0.0, scale),
            }
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x.to_vec()
    }
}
