//! Units in a file, those that follow each other and are equal as one: an image has a thousand.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::image::ImageShape;
use super::support::Support;
use super::units::Unit;

/// Equal units in a row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    #[serde(default = "once", skip_serializing_if = "is_once")]
    times: usize,
    #[serde(default)]
    support: Support,
    center: f64,
    scale: f64,
}

fn once() -> usize {
    1
}

fn is_once(times: &usize) -> bool {
    *times == 1
}

/// Fewer are written one by one, as earlier releases did.
const SHORTEST: usize = 4;

pub(super) fn serialize<S: Serializer>(units: &[Unit], serializer: S) -> Result<S::Ok, S::Error> {
    let runs = units.chunk_by(|a, b| a == b).flat_map(|run| {
        let (times, each) = if run.len() < SHORTEST { (1, run.len()) } else { (run.len(), 1) };
        let Unit { support, center, scale } = run[0];
        (0..each).map(move |_| Run { times, support, center, scale })
    });
    serializer.collect_seq(runs)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Unit>, D::Error> {
    let runs = Vec::<Run>::deserialize(deserializer)?;
    let total = runs.iter().try_fold(0, |sum: usize, run| sum.checked_add(run.times));
    let most = ImageShape::NUMBERS_MAX.max(runs.len());
    if total.is_none_or(|total| total > most) {
        return Err(D::Error::custom(format!("more than {most} units")));
    }
    let unit = |run: &Run| Unit { support: run.support, center: run.center, scale: run.scale };
    Ok(runs.iter().flat_map(|run| std::iter::repeat_n(unit(run), run.times)).collect())
}

#[cfg(test)]
mod tests {
    use crate::columns::{Unit, Units};

    #[test]
    fn equal_units_are_written_once_and_few_as_ever() {
        let unit = |center| Unit { center, ..Unit::default() };
        let mut columns = vec![unit(1.0); 784];
        columns.extend([unit(2.0), unit(2.0), unit(3.0)]);
        let units = Units { columns, context: vec![] };
        let text = serde_json::to_string(&units).unwrap();
        assert!(text.len() < 400 && text.matches("times").count() == 1, "{text}");
        assert_eq!(serde_json::from_str::<Units>(&text).unwrap(), units);
    }

    #[test]
    fn a_file_cannot_ask_for_more_units_than_an_image_has() {
        let text =
            r#"{"columns": [{"times": 99999999999, "center": 0, "scale": 1}], "context": []}"#;
        assert!(serde_json::from_str::<Units>(text).is_err());
    }
}
