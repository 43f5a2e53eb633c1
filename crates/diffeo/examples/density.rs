//! Fit two interleaved half moons, score, sample, save: `cargo run --release --example density`

use std::f64::consts::PI;

use diffeo::train::{Event, Fit};
use diffeo::{
    Model, Preset, PresetOptions, Purpose, Result, Rows, SampleOptions, Streams, fill_normal,
    uniform,
};

/// Rows `first .. first + n` of the moons: points on half circles, with noise of deviation 0.1.
fn moons(first: u64, n: u64) -> Result<Rows> {
    let row = |i: u64| {
        let mut rng = Streams::new(1).rng(Purpose::Check, 0, i);
        let mut noise = [0.0; 2];
        fill_normal(&mut rng, &mut noise);
        let (sin, cos) = (PI * uniform(&mut rng)).sin_cos();
        let [x, y] = if i.is_multiple_of(2) { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
        [x + 0.1 * noise[0], y + 0.1 * noise[1]]
    };
    Rows::new((first..first + n).flat_map(row).collect(), 2)
}

fn fit(preset: Preset) -> Result<Model> {
    let options = PresetOptions { transforms: 3, hidden: vec![48, 48], ..Default::default() };
    let fit = Fit::new(preset).preset_options(options).columns(["x", "y"]).rows(moons(0, 2000)?);
    let mut trainer = fit.steps(600).threads(2).into_trainer()?;
    println!("{preset}: {} parameters", trainer.plan().parameters);
    loop {
        match trainer.advance()? {
            Event::Validated { step, valid_loss, .. } if step % 120 == 0 => {
                println!("  step {step:3}: {valid_loss:.3} nats");
            }
            Event::Warning(text) => println!("  note: {text}"),
            Event::Finished { reason } => {
                println!("  {reason}");
                return trainer.finish();
            }
            _ => {}
        }
    }
}

fn main() -> Result<()> {
    let test = moons(1_000_000, 2000)?;
    for preset in [Preset::Gaussian, Preset::NsfCoupling] {
        let model = fit(preset)?;
        let log_prob = model.log_prob(&test, None, 2)?;
        let mean = log_prob.iter().sum::<f64>() / log_prob.len() as f64;
        println!("  new rows: {mean:.3} nats a row on average");
        let path = std::env::temp_dir().join(format!("moons-{preset}.diffeo"));
        model.save(&path)?;
        let sample = Model::load(&path)?.sample(3, None, &SampleOptions::default())?;
        println!("  three draws of the model in {}: {:.2?}", path.display(), sample.values());
    }
    Ok(())
}
