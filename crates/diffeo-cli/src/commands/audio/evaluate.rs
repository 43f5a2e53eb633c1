//! `diffeo audio evaluate`: how likely recordings are, beside linear prediction and a codec.

use diffeo::Result;
use diffeo::inference::Estimate;
use diffeo_audio::{AudioModel, Clip, LinearPrediction, bits};
use serde_json::{Value, json};

use super::clips;
use super::score::{Scored, scored, wanted};
use crate::args::{AudioEvaluateArgs, Common};
use crate::faults::Faults;
use crate::output::{Console, Report, number};
use crate::progress::grouped;
use crate::{options, signals};

/// Coefficients of the linear predictions that are told beside the model.
const ORDERS: [usize; 2] = [16, 32];
/// Seconds of a frame of these.
const FRAME: f64 = 0.02;

/// Runs `diffeo audio evaluate`.
pub(super) fn run(args: &AudioEvaluateArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    clips::threads(common, &mut faults)?;
    let path = options::required("MODEL", args.model.as_ref(), &mut faults);
    let seed = options::seed(args.seed, &mut faults).unwrap_or(0);
    faults.finish()?;
    let model = AudioModel::load(&path)?;
    signals::defer()?;
    let wanted = |clips: &[Clip]| wanted(&model, args.held_out, clips);
    let found = scored(&model, &args.clips, (seed, wanted), console)?;
    let samples: usize = found.iter().map(|scored| scored.samples).sum();
    let log_prob = found.iter().map(|scored| scored.log_prob).sum::<f64>() / samples as f64;
    // Clips are independent of each other, samples are not.
    let residuals: Vec<f64> = found
        .iter()
        .map(|s| (s.log_prob - log_prob * s.samples as f64) * found.len() as f64 / samples as f64)
        .collect();
    let error = Estimate::of_mean(&residuals).standard_error;
    let units = model.spec.units;
    // Of clips of other whole numbers, or of none, a density bounds no code.
    let others = found.iter().filter(|scored| scored.recording.step != units.step).count();
    let step = if others == 0 { units.step } else { 0.0 };
    if others > 0 && units.step > 0.0 {
        console.note(format!(
            "{} clips are not of the whole numbers that the model is of (other bits, floats, or another rate): no bits are told",
            grouped(others as u64)
        ));
    }
    let mut report = Report::default();
    report.line(format!(
        "{} clip{}, {} samples",
        grouped(found.len() as u64),
        if found.len() == 1 { "" } else { "s" },
        grouped(samples as u64)
    ));
    // Of one clip nothing is known of how far clips differ.
    let deviation = if error.is_nan() { String::new() } else { format!(" ± {error:.4}") };
    let mut rows = vec![vec![
        "model".to_owned(),
        format!("{log_prob:.4}{deviation} nats a sample"),
        in_bits(log_prob, step),
    ]];
    let mut others = Vec::new();
    let baselines = baselines(&found, &model)?;
    for (order, found) in ORDERS.into_iter().zip(baselines.predicted) {
        rows.push(vec![
            format!("linear prediction of order {order}, fitted to each 20 ms"),
            format!("{found:.4} nats a sample"),
            in_bits(found, step),
        ]);
        let bits = bits(found, step).map_or(Value::Null, number);
        others.push(json!({
            "order": order, "nats_per_sample": number(found), "bits_per_sample": bits,
        }));
    }
    let (nats, coded) = match baselines.flac {
        Some(bits) => (String::new(), format!("{bits:.3} bits")),
        None => ("not of sound that is no whole numbers".to_owned(), String::new()),
    };
    rows.push(vec!["FLAC".to_owned(), nats, coded]);
    report.table(&rows);
    report.key("clips", found.len());
    report.key("samples", samples);
    report.number("nats_per_sample", log_prob);
    report.number("stderr", error);
    report.key("bits_per_sample", bits(log_prob, step).map_or(Value::Null, number));
    report.key("linear_prediction", others);
    report.key("flac", json!({ "bits_per_sample": baselines.flac.map_or(Value::Null, number) }));
    Ok(report)
}

fn in_bits(log_prob: f64, step: f64) -> String {
    bits(log_prob, step).map_or(String::new(), |bits| format!("{bits:.3} bits"))
}

/// What models without weights make of recordings.
struct Baselines {
    /// Mean log-density of a sample by linear prediction of each of [`ORDERS`].
    predicted: [f64; 2],
    /// Bits of a sample as a codec writes it; none if some recording is no whole numbers.
    flac: Option<f64>,
}

/// Those of the recordings as the model sees them.
fn baselines(found: &[Scored], model: &AudioModel) -> Result<Baselines> {
    let units = model.spec.units;
    let frame = (FRAME * f64::from(units.rate)).round() as usize;
    let (mut sums, mut bits, mut count) = ([0.0; 2], Some(0), 0);
    for scored in found {
        signals::check()?;
        let recording = &scored.recording;
        let n = recording.samples.len();
        // A number within a rounding error is uniform.
        let noise = units.step * units.step / 12.0;
        for (sum, order) in sums.iter_mut().zip(ORDERS) {
            let prediction = LinearPrediction { order, frame };
            *sum += n as f64 * prediction.log_prob(&recording.samples, noise)?;
        }
        bits = bits.zip(recording.flac_bits()?).map(|(sum, bits)| sum + bits);
        count += n;
    }
    let each = |sum: f64| sum / count as f64;
    Ok(Baselines { predicted: sums.map(each), flac: bits.map(|bits| each(bits as f64)) })
}
