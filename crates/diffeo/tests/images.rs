//! Models of images: their bits are counted right.

mod support;

use std::f64::consts::LN_2;

use diffeo::train::{Fit, FitOptions};
use diffeo::{
    ErrorKind, FlowSpec, ImageShape, LayerSpec, Model, Precision, Preset, PresetOptions, Rows,
    SampleOptions, Schema, Units,
};
use support::{randomised, rows};

fn shape(height: usize, width: usize, channels: usize, levels: u32) -> ImageShape {
    ImageShape { height, width, channels, levels }
}

/// Images that look random, of the shape.
fn noise(image: ImageShape, n: usize, seed: u64) -> Rows {
    let streams = diffeo::Streams::new(seed);
    let mut rng = streams.rng(diffeo::Purpose::Check, 0, 0);
    let levels = f64::from(image.levels);
    let values = (0..n * image.numbers()).map(|_| (diffeo::uniform(&mut rng) * levels).floor());
    rows(values.collect(), image.numbers())
}

fn options(transforms: usize) -> PresetOptions {
    let hidden = vec![12, 12];
    PresetOptions { transforms, hidden, bins: 5, ..PresetOptions::for_images() }
}

/// A model of images with the units of a fit.
fn model_of(spec: &FlowSpec, image: ImageShape, size: f64) -> Model {
    let schema = Schema::images(image);
    let flow = if size > 0.0 { randomised(spec, 3, size) } else { spec.build(0).unwrap() };
    Model::with_units(flow, schema, Units::of_images(&image)).unwrap()
}

fn preset(preset: Preset, image: ImageShape, transforms: usize, size: f64) -> Model {
    let spec = preset.spec_for(&Schema::images(image).shape(), &options(transforms));
    model_of(&spec.unwrap(), image, size)
}

/// All models of images, and one whose noise is learned.
fn all(image: ImageShape, options: &PresetOptions) -> Vec<(String, FlowSpec)> {
    let spec = |preset: Preset, options: &PresetOptions| {
        preset.spec_for(&Schema::images(image).shape(), options).unwrap()
    };
    let mut all: Vec<(String, FlowSpec)> = Preset::of_images()
        .map(|preset| (preset.name().to_owned(), spec(preset, options)))
        .collect();
    let learned = PresetOptions { dequantise: true, ..options.clone() };
    all.push(("nsf-image of learned noise".to_owned(), spec(Preset::NsfImage, &learned)));
    all
}

fn tarflow(image: ImageShape, transforms: usize, size: f64) -> Model {
    preset(Preset::TarFlow, image, transforms, size)
}

/// Fault 33 of the peers: a factor that is left out of a log-determinant shows in these numbers.
#[test]
fn p33_uvadlc_notebooks_uniform_numbers_take_their_bits_exactly() {
    for levels in [256, 32, 2] {
        let image = shape(4, 4, 2, levels);
        let x = noise(image, 20, 5);
        // Splines and affine maps start as the identity, mixtures near it.
        let models = all(image, &options(4)).into_iter();
        let models = models.filter(|(name, _)| name != "flowpp").map(|(_, spec)| spec);
        for spec in models.chain([FlowSpec::new(image.numbers(), vec![])]) {
            let model = model_of(&spec.in_precision(Precision::F64), image, 0.0);
            let bits = f64::from(levels).log2() * image.numbers() as f64;
            for log_prob in model.log_prob(&x, None, 1).unwrap() {
                let error = (-log_prob / LN_2 - bits).abs();
                assert!(error < 1e-9 * bits, "{levels} levels: {error}");
            }
        }
    }
}

#[test]
fn uniform_bytes_still_take_eight_bits_after_training() {
    let image = shape(4, 4, 1, 256);
    for (name, spec) in all(image, &options(2)) {
        let fit = Fit::of(spec).schema(Schema::images(image));
        let model = fit.rows(noise(image, 4000, 7)).steps(150).seed(1).run().unwrap();
        let test = noise(image, 2000, 8);
        let log_probs = model.log_prob(&test, None, 2).unwrap();
        let mean = log_probs.iter().sum::<f64>() / log_probs.len() as f64;
        let bits = -mean / LN_2 / 16.0;
        assert!((bits - 8.0).abs() < 0.005, "{name}: {bits}");
    }
}

/// Two pixels of sixteen levels: what a cell holds is estimated without bias, so all cells hold one together; and a bound is below.
#[test]
fn all_images_together_have_probability_one_and_bounds_rise_to_it() {
    let image = shape(1, 2, 1, 16);
    let model = tarflow(image, 2, 0.06);
    let all: Vec<f64> = (0..256).flat_map(|i| [f64::from(i / 16), f64::from(i % 16)]).collect();
    let all = rows(all, 2);
    let by = |points: usize| {
        let model = model.clone().with_noise_points(points).unwrap();
        model.log_prob(&all, None, 2).unwrap()
    };
    let exact = by(4000);
    let total: f64 = exact.iter().map(|p| p.exp()).sum();
    assert!((total - 1.0).abs() < 0.005, "{total}");
    // In proportion to what is likely. (A wilder flow has mass in corners of cells that uniform points do not find.)
    let mean = |bound: &[f64]| exact.iter().zip(bound).map(|(p, b)| p.exp() * b).sum::<f64>();
    let bounds: Vec<f64> = [1, 8, 1024].map(|points| mean(&by(points))).to_vec();
    let truth = mean(&exact);
    assert!(bounds.is_sorted() && bounds[0] < truth - 0.01, "{bounds:?} {truth}");
    assert!(bounds[2] < truth + 1e-3 && truth - bounds[2] < 0.005, "{bounds:?} {truth}");
    assert!(model.with_noise_points(0).is_err());
}

/// Four pixels of two levels, by a flow whose noise is anything but uniform: a bijection of each cell onto itself moves no probability to another.
#[test]
fn learned_noise_keeps_the_probability_of_each_cell() {
    let image = shape(2, 2, 1, 2);
    let options = PresetOptions { dequantise: true, ..options(1) };
    let spec = Preset::NsfImage.spec_for(&Schema::images(image).shape(), &options).unwrap();
    let is_noise = |layer: &LayerSpec| matches!(layer, LayerSpec::Dequantise(_));
    let place = spec.transforms.iter().position(is_noise).unwrap();
    let mut learned = randomised(&spec, 3, 0.06);
    learned.visit(&mut |name, parameter| {
        if name.starts_with(&format!("transform.{place}.")) {
            parameter.value = parameter.value.clone().mul_scalar(4.0);
        }
    });
    let of = |flow: &diffeo::Flow, points: usize| {
        let (schema, units) = (Schema::images(image), Units::of_images(&image));
        let model = Model::with_units(flow.clone(), schema, units).unwrap();
        model.with_noise_points(points).unwrap()
    };
    let states = (0..16).flat_map(|i| [0, 1, 2, 3].map(|bit| f64::from(i >> bit & 1)));
    let states = rows(states.collect(), 4);
    let of_images = of(&learned, 32_000).log_prob(&states, None, 2).unwrap();
    let total: f64 = of_images.iter().map(|p| p.exp()).sum();
    assert!((total - 1.0).abs() < 0.005, "{total}");
    // The same layers without it, of the same weights, which are named by their places.
    let mut rest = spec.clone();
    rest.transforms.remove(place);
    let mut weights = std::collections::BTreeMap::new();
    learned.visit(&mut |name, parameter| {
        weights.insert(name.to_owned(), parameter.value.clone());
    });
    let mut flow = rest.build(0).unwrap();
    flow.visit(&mut |name, parameter| {
        let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
        if let Ok(i) = parts[1].parse::<usize>()
            && i >= place
        {
            parts[1] = (i + 1).to_string();
        }
        parameter.value = weights[&parts.join(".")].clone();
    });
    let plain = of(&flow, 32_000).log_prob(&states, None, 2).unwrap();
    for (a, b) in of_images.iter().zip(&plain) {
        assert!((a - b).abs() < 0.05, "{a} {b}: {of_images:?} {plain:?}");
    }
    // By one draw the two are far apart: the noise is not uniform any more.
    let by_one = |flow| of(flow, 1).log_prob(&states, None, 2).unwrap();
    let apart = by_one(&learned).iter().zip(by_one(&flow)).map(|(a, b)| (a - b).abs()).sum::<f64>();
    assert!(apart / 16.0 > 0.15, "{apart}");
}

#[test]
fn a_score_depends_on_the_image_alone() {
    let image = shape(4, 6, 3, 256);
    let x = noise(image, 70, 2);
    for model in all(image, &options(3)).iter().map(|(_, spec)| model_of(spec, image, 0.3)) {
        let all = model.log_prob(&x, None, 2).unwrap();
        for i in [0, 31, 69] {
            let alone = model.log_prob(&x.slice(i..i + 1), None, 1).unwrap();
            assert_eq!(alone[0].to_bits(), all[i].to_bits());
        }
    }
}

/// Through three scales.
#[test]
fn images_come_back_from_the_base() {
    let image = shape(8, 8, 1, 256);
    for (precision, limit) in [(Precision::F32, 1e-5), (Precision::F64, 1e-12)] {
        let options = PresetOptions { precision, ..options(4) };
        for (name, spec) in all(image, &options) {
            let model = model_of(&spec, image, 0.05);
            let error = model.round_trip_error(&noise(image, 30, 3), None, 1).unwrap();
            let worst = error.into_iter().fold(0.0, f64::max);
            assert!(worst < limit, "{name} {precision:?}: {worst}");
        }
    }
}

/// Fault 27 of the peers, and black images.
#[test]
fn p27_glow_pytorch_samples_are_images_at_every_temperature() {
    let image = shape(4, 4, 3, 32);
    let sizes = Preset::of_images().flat_map(|of| [0.0, 0.1, 0.4].map(|size| (of, size)));
    // Matrices of absurd weights have inverses beyond all numbers; splines take any.
    for (of, size) in sizes.chain([(Preset::TarFlow, 2.0)]) {
        let model = preset(of, image, 4, size);
        for temperature in [0.0, 0.3, 0.6, 1.0, 1.5] {
            let options = SampleOptions { temperature, ..SampleOptions::default() };
            let x = model.sample(40, None, &options).unwrap();
            let is_level = |v: &f64| v.fract() == 0.0 && (0.0..32.0).contains(v);
            assert!(x.values().iter().all(is_level), "{of}, size {size}");
            let first = x.row(0);
            let is_black = x.values().iter().all(|v| *v == 0.0);
            assert!(!is_black, "{of}, size {size}, temperature {temperature}");
            let same = (1..40).all(|i| x.row(i) == first);
            assert_eq!(same, temperature == 0.0, "{of}, size {size}, temperature {temperature}");
        }
    }
}

#[test]
fn a_file_says_the_shape_and_not_each_pixel() {
    let model = tarflow(shape(8, 8, 3, 256), 1, 0.3);
    let bytes = model.to_bytes().unwrap();
    let again = Model::from_bytes(&bytes, &diffeo::transforms::Registry::new()).unwrap();
    assert_eq!(again.schema(), model.schema());
    let x = noise(shape(8, 8, 3, 256), 5, 1);
    let [a, b] = [&model, &again].map(|model| model.log_prob(&x, None, 1).unwrap());
    assert_eq!(a, b);
    let text = serde_json::to_string(model.schema()).unwrap();
    assert!(text.len() < 150, "{text}");
    for bad in [
        r#"{"image": {"height": 99999999, "width": 99999999, "channels": 1, "levels": 256}}"#,
        r#"{"columns": [], "image": {"height": 2, "width": 2, "channels": 1, "levels": 256}}"#,
        r#"{"context": []}"#,
    ] {
        assert!(serde_json::from_str::<Schema>(bad).is_err(), "{bad}");
    }
}

#[test]
fn models_of_images_and_of_tables_are_told_apart() {
    let error = Preset::TarFlow.spec(4, 0, &options(2)).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.message().contains("images"), "{error}");
    let images = Schema::images(shape(4, 6, 1, 256)).shape();
    let of = |preset: Preset, patch| {
        preset.spec_for(&images, &PresetOptions { patch: Some(patch), ..options(2) })
    };
    assert!(of(Preset::TarFlow, 2).is_ok());
    assert!(of(Preset::TarFlow, 4).unwrap_err().message().contains("use 2"));
    for preset in [Preset::Nsf, Preset::Glow, Preset::Flowpp] {
        assert!(of(preset, 2).unwrap_err().message().contains("tarflow"), "{preset}");
    }
    let odd = Schema::images(shape(4, 5, 1, 256)).shape();
    let error = Preset::Glow.spec_for(&odd, &options(2)).unwrap_err();
    assert!(error.message().contains("4 x 5") && error.message().contains("tarflow"), "{error}");
    assert_eq!(Preset::usual_of(shape(4, 5, 1, 256)), Preset::TarFlow);
    assert_eq!(Preset::usual_of(shape(4, 6, 1, 256)), Preset::NsfImage);
    // Of tables, or of images, as they come.
    assert!(Preset::Flowpp.spec(5, 0, &options(2)).is_ok());
}

/// What the flow changes nothing of is normal, so that what is cleaned of noise is known: the mean of a normal given a normal.
#[test]
fn draws_of_a_model_of_noised_images_are_cleaned_of_the_noise() {
    let (image, share) = (shape(2, 2, 1, 256), 0.1);
    let schema = Schema::images(image).noised(share).unwrap();
    let flow = FlowSpec::new(4, vec![]).build(0).unwrap();
    let options = SampleOptions { seed: 5, ..SampleOptions::default() };
    let plain = Model::new(flow.clone(), Schema::real(["a", "b", "c", "d"])).unwrap();
    let z = plain.sample(500, None, &options).unwrap();
    let model = Model::with_units(flow, schema.clone(), Units::of_noised_images(&image)).unwrap();
    let [center, scale] = [127.5, 256.0 / 12f64.sqrt()];
    let shrunk = 1.0 - (share * 255.0 / scale).powi(2);
    let expected = z.values().iter().map(|z| (center + scale * z * shrunk).round());
    let (found, log_prob) = model.sample_with_log_prob(500, None, &options).unwrap();
    for (found, expected) in found.values().iter().zip(expected) {
        assert_eq!(*found, expected.clamp(0.0, 255.0));
    }
    assert_eq!(log_prob, model.log_prob(&found, None, 1).unwrap());
    let again = Model::from_bytes(&model.to_bytes().unwrap(), &Default::default()).unwrap();
    assert_eq!(again.schema(), &schema);
    assert_eq!(again.sample(500, None, &options).unwrap(), found);
}

/// Two images, which are far apart: with noise they are a density, and draws are they again.
#[test]
fn few_images_with_noise_are_drawn_as_they_were() {
    let (image, share) = (shape(4, 4, 1, 256), 0.05);
    let schema = Schema::images(image).noised(share).unwrap();
    let pixel = |i: usize| if (i % 16 + i / 16).is_multiple_of(2) { 30.0 } else { 220.0 };
    let two: Vec<f64> = (0..32 * 400).map(|i| pixel(i % 32)).collect();
    let spec = Preset::NsfImage.spec_for(&schema.shape(), &options(2)).unwrap();
    let fit = Fit::of(spec).schema(schema).rows(rows(two, 16));
    let options = FitOptions { learning_rate: Some(3e-3), ..FitOptions::default() };
    let model = fit.options(options).steps(1500).seed(1).run().unwrap();
    let drawn = model.sample(200, None, &SampleOptions::default()).unwrap();
    let distance = |i: usize| {
        let to = |which: usize| {
            let each = drawn.row(i).iter().enumerate();
            each.map(|(j, v)| (v - pixel(16 * which + j)).powi(2)).sum::<f64>() / 16.0
        };
        to(0).min(to(1)).sqrt()
    };
    let mut all: Vec<f64> = (0..200).map(distance).collect();
    all.sort_by(f64::total_cmp);
    assert!(all[100] < 0.6 * share * 255.0, "{}, of noise of {}", all[100], share * 255.0);
}

#[test]
fn noise_is_of_images_alone_and_within_bounds() {
    let image = shape(2, 2, 1, 4);
    for share in [0.0, -0.1, 0.6, f64::NAN] {
        let error = Schema::images(image).noised(share).unwrap_err();
        assert!(error.message().contains("0.5"), "{error}");
    }
    for schema in [Schema::real(["a"]), Schema::frames(image, 1)] {
        assert!(schema.noised(0.1).unwrap_err().message().contains("of images"));
    }
    let schema = Schema::images(image).noised(0.1).unwrap();
    let flow = FlowSpec::new(4, vec![]).build(0).unwrap();
    let model = Model::with_units(flow, schema, Units::of_noised_images(&image)).unwrap();
    assert!(model.with_noise_points(4).unwrap_err().message().contains("with noise"));
}
