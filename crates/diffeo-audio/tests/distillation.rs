//! Students of teachers whose answer is known.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Init, Purpose, Result, Streams, Trainable, fill_normal, host_values};
use diffeo_audio::{
    Condition, Dataset, Density, Distillation, DistillationOptions, GaussianTeacher, Label,
    NetworkSpec, Output, Prompt, Recording, Signal, Stft, Student, Task, Training, TrainingOptions,
    Units, WaveNet,
};

/// `x_t ~ N(a x_(t-1) + b x_(t-2), s^2)`, of unit power.
#[derive(Clone, Copy)]
struct SecondOrder {
    a: f64,
    b: f64,
    s: f64,
}

impl SecondOrder {
    /// With a resonance at an angle, the sharper the nearer `r` is to 1.
    fn new(r: f64, angle: f64) -> Self {
        let (a, b) = (2.0 * r * angle.cos(), -r * r);
        let power = (1.0 - b) / ((1.0 + b) * ((1.0 - b) * (1.0 - b) - a * a));
        Self { a, b, s: (1.0 / power).sqrt() }
    }

    /// Power at a frequency, in parts of the rate.
    fn density(&self, frequency: f64) -> f64 {
        let turn = std::f64::consts::TAU * frequency;
        let re = 1.0 - self.a * turn.cos() - self.b * (2.0 * turn).cos();
        let im = self.a * turn.sin() + self.b * (2.0 * turn).sin();
        self.s * self.s / (re * re + im * im)
    }

    fn recording(&self, count: usize) -> Recording {
        let mut noise = vec![0.0; count];
        fill_normal(&mut Streams::new(9).rng(Purpose::Check, 0, 0), &mut noise);
        let mut x = vec![0.0; count];
        for t in 0..count {
            let before = |k: usize| if t >= k { x[t - k] } else { 0.0 };
            x[t] = self.a * before(1) + self.b * before(2) + self.s * noise[t];
        }
        Recording { samples: x, rate: 8000, step: 0.0 }
    }
}

/// The row later by some samples.
fn later(x: &Tensor<2>, by: usize) -> Tensor<2> {
    let [n, length] = x.dims();
    let silence = Tensor::<2>::zeros([n, by], (&x.device(), x.dtype()));
    Tensor::cat(vec![silence, x.clone().narrow(1, 0, length - by)], 1)
}

impl GaussianTeacher for SecondOrder {
    fn predict(&self, x: Tensor<2>, _: Option<&Tensor<2>>) -> Result<[Tensor<2>; 2]> {
        let mean = later(&x, 1).mul_scalar(self.a) + later(&x, 2).mul_scalar(self.b);
        Ok([mean.clone(), mean.zeros_like().add_scalar(self.s.ln())])
    }
}

/// A dataset of one recording of which nothing is known.
fn unconditional(recording: Recording) -> Dataset {
    let units = Units { scale: 1.0, ..Units::of(std::slice::from_ref(&recording)).unwrap() };
    let condition = Condition::none(8000);
    let signal = Signal::new("x", &recording, (&units, &condition), vec![]).unwrap();
    Dataset { units, condition, signals: vec![signal] }
}

fn init(dtype: DType) -> Init {
    Init::new(1, dtype, Device::flex())
}

/// Gives a module weights that are far from those of the start.
fn shake(module: &mut impl Trainable, init: &mut Init, bound: f64) {
    module.visit(&mut |_, p| p.value = init.uniform(p.value.dims(), bound));
}

/// Kullback-Leibler divergence and spectrum of a student of a process that is known: below a thousandth of a nat a sample, and within half a decibel.
#[test]
fn a_student_learns_a_known_process() {
    let teacher = SecondOrder::new(0.9, 0.9);
    let dataset = unconditional(teacher.recording(20_000));
    let spec = NetworkSpec::cycles(4, 48, [3, 3]);
    let student = Student::new(&spec, 2, (None, 80), &mut init(DType::F32)).unwrap();
    let options = TrainingOptions {
        steps: 600,
        rows: 32,
        length: 320,
        learning_rate: 1e-2,
        ..TrainingOptions::default()
    };
    let shape = ([options.rows, options.length], Streams::new(0));
    let only_kl = DistillationOptions { spectral: 0.0, ..DistillationOptions::default() };
    let task = Distillation::new(teacher, [dataset.clone(), dataset], shape, only_kl).unwrap();
    let before = task.divergence(&student).unwrap();
    let mut training = Training::new(student, options, serde_json::Value::Null).unwrap();
    while !training.is_done() {
        training.advance(&task).unwrap();
    }
    let (student, _) = training.finish(&task).unwrap();
    let found = task.divergence(&student).unwrap();
    println!("{before:?} to {found:?}");
    // A student starts as white noise, of which the divergence is known but for two samples of each row.
    let SecondOrder { a, b, s } = teacher;
    let white = s.ln() + (1.0 + a * a + b * b) / (2.0 * s * s) - 0.5;
    assert!((before.kl / white - 1.0).abs() < 0.02, "{} for {white}", before.kl);
    assert!(found.kl < 1e-3, "{found:?}");

    let prompts = (0..16)
        .map(|number| Prompt { samples: 25_600, frames: vec![], number })
        .collect::<Vec<_>>();
    let drawn = student.sample(&prompts, 1.0, Streams::new(5), &mut |_, _| Ok(())).unwrap();
    let stft = Stft::new(256, 64).unwrap();
    let rows: Vec<f64> = drawn.into_iter().flatten().map(f64::from).collect();
    let rows =
        Tensor::from_data(TensorData::new(rows, [16, 25_600]), (&Device::flex(), DType::F64));
    let power = host_values(stft.power(rows).mean_dim(0)).unwrap();
    // The sum of the squared window.
    let white = 0.375 * 256.0;
    for (k, power) in power.iter().enumerate().skip(2).take(125) {
        let apart = 10.0 * (power / white / teacher.density(k as f64 / 256.0)).log10();
        assert!(apart.abs() < 0.5, "{apart:.2} dB at frequency {k} of 128");
    }
}

fn conditional() -> (Dataset, Condition) {
    let labels = vec![Label { name: "who".into(), values: vec!["a".into(), "b".into()] }];
    let condition = Condition { samples: 16, labels, bands: 2, order: 3, pitch: true };
    let recording = SecondOrder::new(0.8, 1.2).recording(512);
    let units = Units::of(std::slice::from_ref(&recording)).unwrap();
    let of = |value| Signal::new("x", &recording, (&units, &condition), vec![value]).unwrap();
    (Dataset { units, condition: condition.clone(), signals: vec![of(0), of(1)] }, condition)
}

fn modules(condition: &Condition, dtype: DType) -> (WaveNet, Student) {
    let (mut init, frames) = (init(dtype), (condition.frame_size(), condition.samples));
    let spec = NetworkSpec::cycles(5, 4, [4, 3]);
    let mut teacher = WaveNet::new(&spec, Output::Gaussian {}, frames, &mut init).unwrap();
    let mut student = Student::new(&spec, 3, frames, &mut init).unwrap();
    shake(&mut teacher, &mut init, 0.4);
    shake(&mut student, &mut init, 0.3);
    (teacher, student)
}

#[test]
fn the_closed_form_is_the_mean_over_draws() {
    let (dataset, condition) = conditional();
    let (teacher, student) = modules(&condition, DType::F64);
    let (n, length) = (512, 64);
    let mut noise = vec![0.0; n * length];
    fill_normal(&mut Streams::new(2).rng(Purpose::Check, 0, 0), &mut noise);
    let noise =
        Tensor::from_data(TensorData::new(noise, [n, length]), (&Device::flex(), DType::F64));
    let batch = dataset.batch(Streams::new(1), 0, [n, length]).unwrap();
    let context = batch.context.unwrap().cast(DType::F64);
    let drawn = student.draw(noise.clone(), Some(&context)).unwrap();
    let own = Student::log_prob_of(&noise, &drawn);
    let its = teacher.log_prob(drawn.x.clone(), &batch.mask, Some(&context)).unwrap();
    let [mean, log_scale] = teacher.predict(drawn.x, Some(&context)).unwrap();
    let apart = log_scale.clone() - drawn.log_scale;
    let squares =
        apart.clone().mul_scalar(-2.0).exp() + ((drawn.mean - mean) / log_scale.exp()).square();
    let closed = apart + squares.mul_scalar(0.5).sub_scalar(0.5);
    let difference = host_values((own - its - closed).mean_dim(1)).unwrap();
    let mean = difference.iter().sum::<f64>() / n as f64;
    let variance = difference.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let error = (variance / n as f64).sqrt();
    assert!(error > 1e-4 && mean.abs() < 4.0 * error, "{mean} within {error}");
}

#[test]
fn gradients_go_through_the_teacher() {
    let (dataset, condition) = conditional();
    let (teacher, student) = modules(&condition, DType::F64);
    let shape = ([4, 64], Streams::new(3));
    let options = DistillationOptions { windows: vec![16, 64], ..DistillationOptions::default() };
    let task = Distillation::new(teacher, [dataset.clone(), dataset], shape, options).unwrap();
    let loss = |student: &Student| host_values(task.loss(student, 0).unwrap()).unwrap()[0];
    let mut tracked = student.clone();
    let mut leaves = Vec::new();
    tracked.visit(&mut |name, p| {
        p.value = p.value.clone().autodiff().require_grad();
        leaves.push((name.to_owned(), p.value.clone()));
    });
    let gradients = task.loss(&tracked, 0).unwrap().backward();
    for (i, (name, leaf)) in leaves.iter().enumerate() {
        let gradient = host_values(leaf.grad(&gradients).unwrap()).unwrap();
        let at = gradient.len() / 2;
        let moved = |by: f64| {
            let (mut student, mut j) = (student.clone(), 0);
            student.visit(&mut |_, p| {
                if i == j {
                    let mut values = host_values(p.value.clone()).unwrap();
                    values[at] += by;
                    let data = TensorData::new(values, p.value.dims());
                    p.value = Tensor::from_data(data, (&Device::flex(), DType::F64));
                }
                j += 1;
            });
            loss(&student)
        };
        let (step, found) = (1e-5, gradient[at]);
        let expected = (moved(step) - moved(-step)) / (2.0 * step);
        assert!(
            (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
            "{name}: {found} {expected}"
        );
    }
}

#[test]
fn a_density_found_sample_by_sample_is_that_of_the_draw() {
    let (_, condition) = conditional();
    let (_, student) = modules(&condition, DType::F32);
    let length = 96;
    let mut noise = vec![0.0; 3 * length];
    fill_normal(&mut Streams::new(4).rng(Purpose::Check, 0, 0), &mut noise);
    let frames: Vec<f32> = (0..3 * 6 * 6).map(|i| (0.7 * i as f32).sin()).collect();
    let tensor = |values: Vec<f32>, width: usize| {
        Tensor::from_data(TensorData::new(values, [3, width]), (&Device::flex(), DType::F32))
    };
    let noise = tensor(noise.into_iter().map(|v| v as f32).collect(), length);
    let context = tensor(frames.clone(), 36);
    let drawn = student.draw(noise.clone(), Some(&context)).unwrap();
    let expected = host_values(Student::log_prob_of(&noise, &drawn)).unwrap();
    let x: Vec<f32> = host_values(drawn.x).unwrap().into_iter().map(|v| v as f32).collect();
    let signals: Vec<Signal> = (0..3)
        .map(|i| Signal {
            name: i.to_string(),
            samples: x[i * length..(i + 1) * length].to_vec(),
            frames: frames[i * 36..(i + 1) * 36].to_vec(),
            values: vec![0],
        })
        .collect();
    let found = student.score(&signals.iter().collect::<Vec<_>>()).unwrap();
    for (a, b) in found.iter().flatten().zip(&expected) {
        assert!((a - b).abs() < 2e-3 * (1.0 + b.abs()), "{a} {b}");
    }
}
