//! Models of clips: a frame given those before it.

mod support;

use std::f64::consts::LN_2;

use diffeo::train::{Fit, FitOptions};
use diffeo::{ImageShape, Model, Preset, PresetOptions, Rows, SampleOptions, Schema};
use support::rows;

const FRAMES: usize = 6;
const NUMBERS: usize = 16;

fn image() -> ImageShape {
    ImageShape { height: 4, width: 4, channels: 1, levels: 8 }
}

/// Clips of a bright dot that goes on by one pixel a frame, from line to line, over a dark ground with some noise.
fn clips(n: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = diffeo::Streams::new(seed).rng(diffeo::Purpose::Check, 0, 0);
    let mut clip = || {
        let start = (diffeo::uniform(&mut rng) * NUMBERS as f64) as usize;
        let frame = |t: usize, noise: &mut dyn FnMut() -> f64| {
            let dot = (start + t) % NUMBERS;
            let level = |j: usize, noise: f64| if j == dot { 6.0 + noise } else { noise };
            (0..NUMBERS).map(|j| level(j, noise())).collect::<Vec<f64>>()
        };
        let mut noise = || (diffeo::uniform(&mut rng) * 2.0).floor();
        (0..FRAMES).flat_map(|t| frame(t, &mut noise)).collect()
    };
    (0..n).map(|_| clip()).collect()
}

/// Rows of frames and their contexts.
fn table(clips: &[Vec<f64>], earlier: usize) -> (Rows, Rows) {
    let schema = Schema::frames(image(), earlier);
    let mut contexts = Vec::new();
    for clip in clips {
        let mut context = schema.first_context();
        for frame in clip.chunks_exact(NUMBERS) {
            let next = schema.next_context(frame, &context).unwrap();
            contexts.extend(std::mem::replace(&mut context, next));
        }
    }
    (rows(clips.concat(), NUMBERS), rows(contexts, schema.context.len()))
}

fn fit(preset: Preset, earlier: usize, steps: u64) -> Model {
    let options = PresetOptions { transforms: 2, hidden: vec![32], ..PresetOptions::for_images() };
    let (x, context) = table(&clips(300, 1), earlier.max(1));
    let fit = Fit::new(preset).preset_options(options).schema(Schema::frames(image(), earlier));
    let fit = if earlier > 0 { fit.given(context) } else { fit };
    let training = FitOptions { learning_rate: Some(5e-3), ..FitOptions::default() };
    fit.rows(x).options(training).steps(steps).seed(1).run().unwrap()
}

fn bits(log_prob: &[f64]) -> f64 {
    -log_prob.iter().sum::<f64>() / (log_prob.len() * NUMBERS) as f64 / LN_2
}

#[test]
fn a_frame_is_foretold_from_those_before_it_and_clips_run_backwards_are_told() {
    let (model, alone) = (fit(Preset::NsfImage, 1, 400), fit(Preset::NsfImage, 0, 400));
    let test = clips(100, 2);
    let (x, context) = table(&test, 1);
    let given = model.log_prob(&x, Some(&context), 2).unwrap();
    let foretold: Vec<f64> = (0..x.len()).filter(|i| i % FRAMES > 0).map(|i| given[i]).collect();
    let unseen = alone.log_prob(&x, None, 2).unwrap();
    assert!(bits(&foretold) < bits(&unseen) - 0.15, "{} {}", bits(&foretold), bits(&unseen));

    // The likelihood of a clip is the sum of its frames'; of the same frames backwards it is lower.
    let of_clips = |clips: &[Vec<f64>]| -> Vec<f64> {
        let (x, context) = table(clips, 1);
        let log_prob = model.log_prob(&x, Some(&context), 2).unwrap();
        log_prob.chunks_exact(FRAMES).map(|clip| clip.iter().sum()).collect()
    };
    let backwards: Vec<Vec<f64>> = test
        .iter()
        .map(|clip| clip.chunks_exact(NUMBERS).rev().flatten().copied().collect())
        .collect();
    let (right, wrong) = (of_clips(&test), of_clips(&backwards));
    let pairs = right.iter().flat_map(|a| wrong.iter().map(move |b| a > b));
    let area = pairs.filter(|higher| *higher).count() as f64 / (100.0 * 100.0);
    assert!(area > 0.99, "{area}");
}

#[test]
fn what_moves_on_costs_less_than_half_of_what_is_new() {
    let (side, frames) = (12, 6);
    let image = ImageShape { height: side, width: side, channels: 1, levels: 32 };
    let mut rng = diffeo::Streams::new(8).rng(diffeo::Purpose::Check, 0, 0);
    let mut below = |end: usize| (diffeo::uniform(&mut rng) * end as f64) as usize;
    // Squares of four by four pixels, all of them different, which go on by up to a pixel a frame along each side.
    let mut clip = || -> Vec<Vec<f64>> {
        let square: Vec<f64> = (0..16).map(|_| 1.0 + below(31) as f64).collect();
        let (mut at, by) = ([0; 2].map(|_: usize| 3 + below(3)), [0; 2].map(|_: usize| below(3)));
        let frame = |[line, pixel]: [usize; 2]| {
            let mut frame = vec![0.0; side * side];
            for (i, level) in square.iter().enumerate() {
                frame[(line + i / 4) * side + pixel + i % 4] = *level;
            }
            frame
        };
        let mut go_on = |_| {
            let found = frame(at);
            at = [0, 1].map(|k| (at[k] + by[k]).saturating_sub(1).min(side - 4));
            found
        };
        (0..frames).map(&mut go_on).collect()
    };
    let clips: Vec<Vec<Vec<f64>>> = (0..200).map(|_| clip()).collect();
    let table = |clips: &[Vec<Vec<f64>>], earlier: usize| {
        let schema = Schema::frames(image, earlier);
        let (mut x, mut contexts) = (Vec::new(), Vec::new());
        for clip in clips {
            let mut context = schema.first_context();
            for frame in clip {
                let next = match earlier {
                    0 => Vec::new(),
                    _ => schema.next_context(frame, &context).unwrap(),
                };
                contexts.extend(std::mem::replace(&mut context, next));
                x.extend_from_slice(frame);
            }
        }
        let context = (earlier > 0).then(|| rows(contexts, schema.context.len()));
        (rows(x, side * side), context)
    };
    let options = PresetOptions { transforms: 1, hidden: vec![32], ..PresetOptions::for_images() };
    let bits = |earlier: usize| {
        let (x, context) = table(&clips[..180], earlier);
        let fit = Fit::new(Preset::NsfImage).preset_options(options.clone());
        let fit = fit.schema(Schema::frames(image, earlier));
        let fit = if let Some(context) = context { fit.given(context) } else { fit };
        let training = FitOptions { learning_rate: Some(5e-3), ..FitOptions::default() };
        let model = fit.rows(x).options(training).steps(60).seed(1).run().unwrap();
        let (x, context) = table(&clips[180..], earlier);
        let log_prob = model.log_prob(&x, context.as_ref(), 2).unwrap();
        let given_two = log_prob.iter().enumerate().filter(|(i, _)| i % frames >= 2);
        let sum: f64 = given_two.map(|(_, log_prob)| log_prob).sum();
        -sum / (20 * (frames - 2) * side * side) as f64 / LN_2
    };
    let (given, alone) = (bits(2), bits(0));
    assert!(given < 0.5 * alone, "{given} {alone}");
}

#[test]
fn nothing_flows_from_the_future_and_a_file_keeps_what_a_model_is_given() {
    for preset in [Preset::NsfImage, Preset::Glow, Preset::TarFlow] {
        let model = fit(preset, 2, 20);
        let mut test = clips(3, 3);
        let scores = |test: &[Vec<f64>], model: &Model| {
            let (x, context) = table(test, 2);
            model.log_prob(&x, Some(&context), 1).unwrap()
        };
        let before = scores(&test, &model);
        let again = Model::from_bytes(&model.to_bytes().unwrap(), &Default::default()).unwrap();
        assert_eq!(again.schema(), model.schema());
        assert_eq!(scores(&test, &again), before);
        // Another third frame: the first two are as likely as before.
        test[1][2 * NUMBERS..3 * NUMBERS].fill(3.0);
        let after = scores(&test, &model);
        for (i, (a, b)) in before.iter().zip(&after).enumerate() {
            let is_told = (FRAMES + 2..=FRAMES + 4).contains(&i);
            assert_eq!(a != b, is_told, "{preset}: frame {i}");
        }
    }
}

#[test]
fn clips_go_on_frame_by_frame_to_the_same_bits() {
    let model = fit(Preset::NsfImage, 2, 200);
    let (x, context) = table(&clips(4, 5), 2);
    let schema = model.schema();
    let last = |clip: usize| (clip + 1) * FRAMES - 1;
    let ends = (0..4).map(|i| schema.next_context(x.row(last(i)), context.row(last(i))).unwrap());
    let ends = rows(ends.collect::<Vec<_>>().concat(), schema.context.len());
    let drawn = |threads: usize| -> Vec<Rows> {
        let options = SampleOptions { seed: 3, threads, ..SampleOptions::default() };
        let frames = model.continue_clips(ends.clone(), options).unwrap().take(3);
        frames.collect::<diffeo::Result<_>>().unwrap()
    };
    let frames = drawn(1);
    assert_eq!(frames, drawn(2));
    assert_ne!(frames[0], frames[1]);
    let is_level = |v: &f64| v.fract() == 0.0 && (0.0..8.0).contains(v);
    assert!(frames.iter().all(|frame| frame.values().iter().all(is_level)));
    let images = Schema::images(image());
    let alone = fit(Preset::NsfImage, 0, 5);
    assert_eq!(alone.schema(), &images);
    assert!(alone.continue_clips(ends, SampleOptions::default()).is_err());
}

#[test]
fn what_is_given_must_be_as_the_schema_says() {
    let schema = Schema::frames(image(), 2);
    schema.validate().unwrap();
    let text = serde_json::to_string(&schema).unwrap();
    assert!(text.len() < 400 && !text.contains("given.y0x0"), "{text}");
    assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
    let mut wrong = schema.clone();
    wrong.context.swap(0, 1);
    assert!(wrong.validate().unwrap_err().message().contains("4 x 4 x 2"));
    let bad =
        r#"{"columns": [], "given_image": {"height": 2, "width": 2, "channels": 1, "levels": 2}}"#;
    assert!(serde_json::from_str::<Schema>(bad).is_err());
    // Learned noise is of models at several scales.
    let options = PresetOptions { dequantise: true, ..PresetOptions::for_images() };
    let error = Preset::TarFlow.spec_for(&schema.shape(), &options).unwrap_err();
    assert!(error.message().contains("nsf-image"), "{error}");
    assert!(Preset::NsfImage.spec_for(&schema.shape(), &options).is_ok());
}
