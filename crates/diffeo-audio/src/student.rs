//! A flow that draws all samples of a waveform at once.

use diffeo::burn::tensor::{DType, Tensor};
use diffeo::{Error, Init, Purpose, Result, Streams, Trainable, Visitor, fill_normal, visit_part};
use diffeo_kernels::TILE_ROWS;

use crate::affine;
use crate::dataset::Signal;
use crate::network::{FrameSize, Network, NetworkSpec};
use crate::output::LN_2PI_HALF;
use crate::wavenet::{Prompt, Tick};
use crate::windows::{contexts, through};

const FLOWS_MAX: usize = 64;

/// Inverse autoregressive flows one after another, from white noise to a waveform:
///
/// ```text
/// z^0 ~ N(0, 1),  z^i_t = z^(i-1)_t e^(s^i_t) + m^i_t,  (m^i_t, s^i_t) by a network of z^(i-1)_<t and the frames
/// x = z^K,  x_t | z^0_<t ~ N(M_t, e^(2 L_t)),  M^i = M^(i-1) e^(s^i) + m^i,  L = sum over i of s^i
/// ```
///
/// A draw is a pass of each network over all samples. The density of a recording takes each network sample by sample.
///
/// Reference: Kingma et al. *Improving Variational Inference with Inverse Autoregressive Flow*. NeurIPS 2016, arXiv:1606.04934; Ping, Peng, Chen. *ClariNet*. ICLR 2019, arXiv:1807.07281, section 3.2.
#[derive(Clone, Debug)]
pub struct Student {
    flows: Vec<Network>,
    hop: usize,
}

/// Waveforms that were drawn, and what is known of each sample given the noise before it, all `[n, length]`.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The waveforms.
    pub x: Tensor<2>,
    /// The means `M`.
    pub mean: Tensor<2>,
    /// The log-scales `L`.
    pub log_scale: Tensor<2>,
}

impl Student {
    /// So many flows of networks of one kind, which start as the identity.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range.
    pub fn new(
        spec: &NetworkSpec,
        flows: usize,
        (frames, hop): (Option<FrameSize>, usize),
        init: &mut Init,
    ) -> Result<Self> {
        if !(1..=FLOWS_MAX).contains(&flows) {
            return Err(Error::config(format!("expected 1 to {FLOWS_MAX} flows, found {flows}")));
        }
        let flows = (0..flows).map(|_| Network::new(spec, frames, affine::NUMBERS, init));
        Ok(Self { flows: flows.collect::<Result<_>>()?, hop })
    }

    /// Precision of the weights.
    pub fn dtype(&self) -> DType {
        let mut dtype = DType::F32;
        self.clone().visit(&mut |_, p| dtype = p.value.dtype());
        dtype
    }

    /// What becomes of noise, `[n, length]`.
    ///
    /// # Errors
    /// As [`Network::parameters`].
    pub fn draw(&self, noise: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Drawn> {
        let dims = noise.dims();
        let zeros = noise.zeros_like();
        let (mut x, mut mean, mut log_scale) = (noise, zeros.clone(), zeros);
        for flow in &self.flows {
            let params = flow.parameters(x.clone(), context)?;
            let [shift, log] = affine::shift_and_log_scale(params, dims);
            let scale = log.clone().exp();
            x = x * scale.clone() + shift.clone();
            mean = mean * scale + shift;
            log_scale = log_scale + log;
        }
        Ok(Drawn { x, mean, log_scale })
    }

    /// `ln q(x_t | x_<t)` of each sample that was drawn from noise, `[n, length]`.
    pub fn log_prob_of(noise: &Tensor<2>, drawn: &Drawn) -> Tensor<2> {
        let square = noise.clone().square().mul_scalar(0.5);
        (square + drawn.log_scale.clone()).add_scalar(LN_2PI_HALF).neg()
    }

    /// Draws waveforms, each from noise of its own of so large a deviation.
    ///
    /// # Errors
    /// As [`Network::parameters`]; those of `tick`, which is told after each flow.
    pub fn sample(
        &self,
        prompts: &[Prompt],
        temperature: f64,
        streams: Streams,
        tick: Tick<'_>,
    ) -> Result<Vec<Vec<f32>>> {
        let noise = |prompt: &Prompt| {
            let mut noise = vec![0.0; prompt.samples];
            fill_normal(&mut streams.rng(Purpose::Sample, 0, prompt.number), &mut noise);
            noise.into_iter().map(|v| (temperature * v) as f32).collect()
        };
        let mut rows: Vec<Vec<f32>> = prompts.iter().map(noise).collect();
        let frames: Vec<&[f32]> = prompts.iter().map(|p| p.frames.as_slice()).collect();
        for (done, flow) in self.flows.iter().enumerate() {
            through(flow, (&mut rows, &frames), self.hop, |_, sample, params| {
                let [shift, log_scale] = affine::of_sample(params);
                *sample = sample.mul_add(log_scale.exp(), shift);
            })?;
            tick(done + 1, self.flows.len())?;
        }
        Ok(rows)
    }

    /// `ln q(x_t | x_<t)` of each sample of some signals, found sample by sample: the noise that each came from.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Device`] if weights cannot be read back.
    pub fn score(&self, signals: &[&Signal]) -> Result<Vec<Vec<f64>>> {
        let mut found = Vec::with_capacity(signals.len());
        for signals in signals.chunks(TILE_ROWS) {
            let mut rows: Vec<Vec<f32>> = signals.iter().map(|s| s.samples.clone()).collect();
            let mut log_scales: Vec<Vec<f64>> =
                rows.iter().map(|row| vec![0.0; row.len()]).collect();
            for flow in self.flows.iter().rev() {
                self.undo(flow, signals, &mut rows, &mut log_scales)?;
            }
            for (row, log_scales) in rows.into_iter().zip(log_scales) {
                let of = |(z, log_scale): (&f32, f64)| {
                    -0.5 * f64::from(*z).powi(2) - LN_2PI_HALF - log_scale
                };
                found.push(row.iter().zip(log_scales).map(of).collect());
            }
        }
        Ok(found)
    }

    /// What a flow made rows of, in their place.
    fn undo(
        &self,
        flow: &Network,
        signals: &[&Signal],
        rows: &mut [Vec<f32>],
        log_scales: &mut [Vec<f64>],
    ) -> Result<()> {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = longest.next_multiple_of(self.hop).max(self.hop);
        let loaded = flow.loaded(length)?;
        let frames = signals.iter().map(|signal| signal.frames.as_slice());
        let contexts = contexts(flow, frames, length / self.hop);
        let mut running = loaded.start(&contexts);
        let mut samples = [0.0; TILE_ROWS];
        for t in 0..longest {
            running.step(&mut samples, |lane, params| {
                let Some(x) = rows.get_mut(lane).and_then(|row| row.get_mut(t)) else { return 0.0 };
                let [shift, log_scale] = affine::of_sample(&[params[0], params[1]]);
                *x = (*x - shift) * (-log_scale).exp();
                log_scales[lane][t] += f64::from(log_scale);
                *x
            });
        }
        Ok(())
    }
}

impl Trainable for Student {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (i, flow) in self.flows.iter_mut().enumerate() {
            visit_part(&format!("flow.{i}"), visitor, |visitor| flow.visit(visitor));
        }
    }
}
