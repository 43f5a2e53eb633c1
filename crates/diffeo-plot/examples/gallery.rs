//! Draws every figure from synthetic data: `cargo run -p diffeo-plot --example gallery -- FOLDER`.

use diffeo_plot::*;
use std::f64::consts::{PI, TAU};

/// A uniform number in 0..1, the same for the same index (splitmix64).
fn uniform(index: u64) -> f64 {
    let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Two independent standard normals (Box and Muller).
fn normals(i: u64) -> [f64; 2] {
    let (r, angle) = ((-2.0 * (1.0 - uniform(2 * i)).ln()).sqrt(), TAU * uniform(2 * i + 1));
    [r * angle.cos(), r * angle.sin()]
}

/// Two moons, an income and a count; `blur` is how wrong the model is.
fn row(i: u64, blur: f64) -> [f64; 4] {
    let ([a, b], [c, d], t) = (normals(2 * i), normals(2 * i + 1), PI * uniform(i << 32));
    let [x, y] = if d > 0.0 { [t.cos(), t.sin()] } else { [1.0 - t.cos(), 0.5 - t.sin()] };
    let income = 30_000.0 * (0.5 * c + 0.4 * x).exp();
    [x + blur * a, y + blur * b, income, (3.0 + 1.5 * y + 1.2 * c).max(0.0).round()]
}

/// One step of a training that overfits slowly.
fn loss_at(i: u64) -> LossPoint {
    let (t, fall) = (i as f64, 3.0 * (-(i as f64) / 30.0).exp());
    let valid = (i % 20 == 19).then(|| 1.26 + fall + 1e-6 * (t - 250.0).powi(2));
    let learning_rate = 5e-4 * (1.0 + (PI * t / 400.0).cos()) * (t / 20.0).min(1.0);
    LossPoint { step: i * 50, train: Some(1.2 + fall + 0.04 * normals(i)[0]), valid, learning_rate }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).ok_or("expected a folder")?);
    let mut columns = ["x", "y", "income", "cars"].map(Column::real);
    columns[3].step = Some(1.0);
    let data: Vec<f64> = (0..20_000).flat_map(|i| row(i, 0.08)).collect();
    let samples: Vec<f64> = (50_000..70_000).flat_map(|i| row(i, 0.1)).collect();
    let (data, samples) = (Matrix::new(&data, 4)?, Matrix::new(&samples, 4)?);
    let pairs = draw_pairs(&PairsConfig::new(&columns, data, samples))?;
    let history: Vec<LossPoint> = (0..400).map(loss_at).collect();
    let mut loss = LossCurveConfig::new(&history);
    (loss.best_step, loss.width) = (Some(12_950), pairs.width());
    let loss = draw_loss_curve(&loss)?;
    let page = compose(&[pairs.clone(), loss.clone()], Stack::Vertical);

    // A banana: normals bent by a parabola, so that the density is known.
    let bend = |[z0, z1]: [f64; 2]| [z0, 0.6 * z1 + 0.5 * z0 * z0 - 0.5];
    let density = |[z0, z1]: [f64; 2]| (-0.5 * (z0 * z0 + z1 * z1)).exp() / (TAU * 0.6);
    let xs: Vec<f64> = (-80..80).map(|i| 0.04 * f64::from(i)).collect();
    let ys: Vec<f64> = xs.iter().map(|x| x + 0.8).collect();
    let unbend = |x: f64, y: f64| [x, (y + 0.5 - 0.5 * x * x) / 0.6];
    let at = |k: usize| density(unbend(xs[k % 160], ys[k / 160]));
    let density: Vec<f64> = (0..160 * 160).map(at).collect();
    let points: Vec<f64> = (0..3000).map(normals).flat_map(bend).collect();
    let line = |k: usize| {
        let (axis, value) = (k % 2, (k / 2) as f64 / 2.0 - 3.0);
        let along = (-60..=60).map(|t| f64::from(t) / 20.0);
        let points = along.map(|t| bend(if axis == 0 { [value, t] } else { [t, value] }));
        GridLine { axis, value, points: points.collect() }
    };
    let grid: Vec<GridLine> = (0..26).map(line).collect();
    let mut density = Density2dConfig::new(["height", "weight"], &xs, &ys, &density);
    (density.points, density.grid) = (Matrix::new(&points, 2)?, &grid);
    let density = draw_density2d(&density)?;

    let pit: Vec<f64> = (0..16_000).map(|i| uniform(i).powf([1.0, 0.8][i as usize % 2])).collect();
    let calibration = draw_calibration(&CalibrationConfig::new(&columns, Matrix::new(&pit, 4)?))?;
    let marginals = draw_marginals(&MarginalsConfig::new(&columns, data, samples))?;
    let names = ["pairs", "loss", "density2d", "calibration", "marginals", "page"];
    for (name, figure) in names.iter().zip([pairs, loss, density, calibration, marginals, page]) {
        figure.save(&folder.join(format!("{name}.png")))?;
        figure.save(&folder.join(format!("{name}.svg")))?;
    }
    Ok(())
}
