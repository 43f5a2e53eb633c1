//! `diffeo inspect` of a model of waveforms.

use std::path::Path;

use diffeo::{Result, printable, quoted};
use diffeo_audio::{AudioModel, AudioSpec};
use serde_json::{Value, json};

use crate::output::{Report, number};
use crate::progress::grouped;

/// What a file holds, if that is a model of waveforms.
///
/// # Errors
/// As [`AudioModel::load`].
pub(in crate::commands) fn inspected(path: &Path) -> Result<Option<Report>> {
    let Some(AudioModel { spec, summary, .. }) = AudioModel::load_if_any(path)? else {
        return Ok(None);
    };
    let mut report = Report::default();
    head(&mut report, &spec)?;
    known(&mut report, &spec);
    training(&mut report, &summary);
    report.key("spec", serde_json::to_value(&spec).unwrap_or(Value::Null));
    report.key("training", summary);
    Ok(Some(report))
}

fn head(report: &mut Report, spec: &AudioSpec) -> Result<()> {
    let (units, weights) = (spec.units, spec.weights()?);
    let levels = match units.step > 0.0 {
        true => format!("whole numbers {:.3e} apart", units.step),
        false => "numbers".to_owned(),
    };
    report.line(format!(
        "density of waveforms: a {} of {} weights, for {} samples a second that are {levels}",
        spec.kind.name(),
        grouped(weights),
        grouped(units.rate.into())
    ));
    report.key("model", spec.kind.name().to_lowercase());
    report.key("parameters", weights);
    report.key("rate", units.rate);
    report.key("step", number(units.step));
    Ok(())
}

fn known(report: &mut Report, spec: &AudioSpec) {
    let condition = &spec.condition;
    for label in &condition.labels {
        let shown: Vec<String> = label.values.iter().take(12).map(|v| quoted(v)).collect();
        let more = label.values.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        report.line(format!("told {}: {}{more}", printable(&label.name), shown.join(", ")));
    }
    if condition.bands > 0 {
        let prediction = match condition.order {
            0 => String::new(),
            order => format!(", from which {order} coefficients of linear prediction follow"),
        };
        report.line(format!(
            "told {} mel bands of each {} samples{prediction}",
            condition.bands, condition.samples
        ));
    }
    if condition.pitch {
        report.line("told the period of the voice, from which a prediction follows");
    }
    let labels = condition.labels.iter().map(|l| json!({ "name": l.name, "values": l.values }));
    report.key("labels", labels.collect::<Vec<_>>());
    report.key("mel", condition.bands);
    report.key("prediction", condition.order);
    report.key("pitch", condition.pitch);
}

fn training(report: &mut Report, summary: &Value) {
    let (Some(steps), Some(clips)) = (summary["steps"].as_u64(), summary["clips"].as_u64()) else {
        return;
    };
    let found = summary["valid"].as_object().into_iter().flatten();
    let found = found.filter_map(|(name, v)| Some(format!("{name} {:.4}", v.as_f64()?)));
    report.line(format!(
        "trained for {} steps on {} clips; validation: {}",
        grouped(steps),
        grouped(clips),
        found.collect::<Vec<_>>().join(", ")
    ));
}
