//! Posteriors of simulators, in rounds.

use diffeo::inference::{HighestDensityRegion, SimulationOptions, SimulationRounds, Simulator};
use diffeo::train::FitOptions;
use diffeo::{
    Column, ColumnKind, Error, ErrorKind, PresetOptions, Result, Rows, SampleOptions, normal,
    uniform,
};
use rand_chacha::ChaCha8Rng;

const NOISE: f64 = 0.3;
const OBSERVED: [f64; 2] = [0.5, -1.0];

/// A point in a square, seen with noise; what lies near the right edge is lost.
struct Square;

impl Simulator for Square {
    fn parameters(&self) -> Vec<Column> {
        let kind = ColumnKind::Interval { low: -3.0, high: 3.0 };
        ["a", "b"].map(|name| Column::new(name, kind)).to_vec()
    }

    fn observations(&self) -> Vec<Column> {
        ["x", "y"].map(Column::real).to_vec()
    }

    fn draw_prior(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..2).map(|_| 6.0 * uniform(rng) - 3.0).collect()
    }

    fn simulate(&self, parameters: &[f64], rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let seen = parameters.iter().map(|p| p + NOISE * normal(rng)).collect();
        Ok(if parameters[0] > 2.7 { vec![f64::NAN; 2] } else { seen })
    }
}

fn options() -> SimulationOptions {
    let small = PresetOptions { transforms: 2, hidden: vec![32], ..PresetOptions::default() };
    SimulationOptions {
        simulations: 800,
        mass: 0.99,
        preset_options: Some(small),
        fit: FitOptions { steps: Some(1500), threads: 2, ..FitOptions::default() },
        ..SimulationOptions::default()
    }
}

fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    [mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()]
}

#[test]
fn rounds_come_nearer_to_the_posterior_of_an_observation() {
    let mut rounds = SimulationRounds::new(&Square, &OBSERVED, options()).unwrap();
    let first = rounds.advance(|_| Ok(())).unwrap();
    assert_eq!((first.share.mean, first.kept + first.failed), (1.0, 800));
    // The edge has a twentieth of the prior.
    assert!((15..70).contains(&first.failed), "{}", first.failed);
    let second = rounds.advance(|_| Ok(())).unwrap();
    // The exact region is a disk of radius 0.91 in a square of 36.
    assert!((0.05..0.4).contains(&second.share.mean), "{:?}", second.share);
    assert!(second.kept > first.kept && second.failed < first.failed);
    let n = 4000;
    let context = Rows::new(OBSERVED.repeat(n), 2).unwrap();
    let draws = second.posterior.sample(n, Some(&context), &SampleOptions::default()).unwrap();
    for j in 0..2 {
        let [mean, deviation] = mean_and_deviation(&draws.column(j));
        assert!((mean - OBSERVED[j]).abs() < 0.1, "{j}: {mean}");
        assert!((deviation / NOISE - 1.0).abs() < 0.25, "{j}: {deviation}");
    }
}

#[test]
fn a_region_of_highest_density_holds_its_mass() {
    let mut rounds = SimulationRounds::new(&Square, &OBSERVED, options()).unwrap();
    let posterior = rounds.advance(|_| Ok(())).unwrap().posterior;
    let (sampling, n) = (SampleOptions::default(), 5000);
    let region =
        HighestDensityRegion::new(&posterior, Some(&OBSERVED), 0.9, 5000, &sampling).unwrap();
    let context = Rows::new(OBSERVED.repeat(n), 2).unwrap();
    let others = SampleOptions { seed: 5, ..sampling };
    let draws = posterior.sample(n, Some(&context), &others).unwrap();
    let held = region.contains(&draws, 1).unwrap().into_iter().filter(|held| *held).count();
    assert!((held as f64 / n as f64 - 0.9).abs() < 0.02, "{held}");
    for mass in [0.0, 1.0, f64::NAN] {
        let region = HighestDensityRegion::new(&posterior, Some(&OBSERVED), mass, 10, &sampling);
        assert_eq!(region.err().map(|e| e.kind()), Some(ErrorKind::Config));
    }
}

/// Rows that no draw of the prior can give, and a prior that all but never is where the posterior is, end with an error.
#[test]
fn what_cannot_be_simulated_ends_with_an_error() {
    struct Broken;
    impl Simulator for Broken {
        fn parameters(&self) -> Vec<Column> {
            vec![Column::real("a")]
        }
        fn observations(&self) -> Vec<Column> {
            vec![Column::real("x")]
        }
        fn draw_prior(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
            vec![normal(rng)]
        }
        fn simulate(&self, _: &[f64], _: &mut ChaCha8Rng) -> Result<Vec<f64>> {
            Ok(vec![f64::INFINITY])
        }
    }
    let mut rounds = SimulationRounds::new(&Broken, &[1.0], options()).unwrap();
    let error = rounds.advance(|_| Ok(())).unwrap_err();
    assert!(error.message().contains("none of 800 simulations is finite"), "{error}");
    let bad = SimulationRounds::new(&Square, &[1.0], options()).err().unwrap();
    assert_eq!(bad.kind(), ErrorKind::Shape);
    let bad = SimulationRounds::new(&Square, &[1.0, f64::NAN], options()).err().unwrap();
    assert!(bad.message().contains("number 2 is NaN"), "{bad}");
    let few = SimulationOptions { tries: 900, ..options() };
    let mut rounds = SimulationRounds::new(&Square, &OBSERVED, few).unwrap();
    rounds.advance(|_| Ok(())).unwrap();
    let error = rounds.advance(|_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConverged);
    assert!(error.message().contains("of 900 draws of the prior"), "{error}");
    let stop = |_: &_| Err(Error::new(ErrorKind::Interrupted, "stop"));
    let mut rounds = SimulationRounds::new(&Square, &OBSERVED, options()).unwrap();
    assert_eq!(rounds.advance(stop).unwrap_err().kind(), ErrorKind::Interrupted);
}
