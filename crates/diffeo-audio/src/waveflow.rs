//! A flow over waveforms that needs no teacher.

use diffeo::burn::tensor::Tensor;
use diffeo::{Error, Init, Purpose, Result, Streams, Trainable, Visitor, fill_normal, visit_part};
use diffeo_kernels::TILE_ROWS;

use crate::affine;
use crate::dataset::Signal;
use crate::network::{FrameSize, LinesSpec, Network};
use crate::output::LN_2PI_HALF;
use crate::training::Density;
use crate::wavenet::{Prompt, Tick};
use crate::windows::{contexts, through};

/// Flows one after another, each over a waveform folded into lines: sample `t` is place `t / h` of line `t mod h`, or of line `h - 1 - t mod h` in every other flow.
///
/// ```text
/// z = (x - m) e^(-s),  (m, s) of a line by a network of the lines above it, of all places, and the frames
/// ln p(x) = sum over t of ln N(z_t; 0, 1) - s_t summed over flows
/// ```
///
/// A density is a pass of each network; a draw takes them line by line, `h` steps whatever the length.
///
/// Reference: Ping, Peng, Zhao, Song. *WaveFlow: A Compact Flow-based Model for Raw Audio*. ICML 2020, arXiv:1912.01219.
#[derive(Clone, Debug)]
pub struct WaveFlow {
    flows: Vec<Network>,
    height: usize,
    hop: usize,
}

const FLOWS_MAX: usize = 64;

impl WaveFlow {
    /// So many flows of networks of one kind, which start as the identity.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range, or lines that do not fill a frame.
    pub fn new(
        spec: &LinesSpec,
        flows: usize,
        (frames, hop): (Option<FrameSize>, usize),
        init: &mut Init,
    ) -> Result<Self> {
        if !(1..=FLOWS_MAX).contains(&flows) {
            return Err(Error::config(format!("expected 1 to {FLOWS_MAX} flows, found {flows}")));
        }
        if spec.height == 0 || !hop.is_multiple_of(spec.height) {
            return Err(Error::config(format!(
                "frames of {hop} samples cannot be folded into {} lines; take a divisor",
                spec.height
            )));
        }
        let flow = |i: usize| Network::of_lines(spec, i % 2 == 1, (frames, affine::NUMBERS), init);
        let flows = (0..flows).map(flow).collect::<Result<_>>()?;
        Ok(Self { flows, height: spec.height, hop })
    }

    /// Draws waveforms, each from noise of its own of so large a deviation.
    ///
    /// # Errors
    /// Those of `tick`, which is told after each line; [`diffeo::ErrorKind::Device`] if weights cannot be read back.
    pub fn sample(
        &self,
        prompts: &[Prompt],
        temperature: f64,
        streams: Streams,
        tick: Tick<'_>,
    ) -> Result<Vec<Vec<f32>>> {
        let mut drawn = Vec::with_capacity(prompts.len());
        for prompts in prompts.chunks(TILE_ROWS) {
            let noise = |prompt: &Prompt| {
                let mut noise = vec![0.0; prompt.samples];
                fill_normal(&mut streams.rng(Purpose::Sample, 0, prompt.number), &mut noise);
                noise.into_iter().map(|v| (temperature * v) as f32).collect()
            };
            let mut rows: Vec<Vec<f32>> = prompts.iter().map(noise).collect();
            let lines = self.flows.len() * self.height;
            for (i, flow) in self.flows.iter().rev().enumerate() {
                self.undo(flow, prompts, &mut rows, |line| tick(i * self.height + line, lines))?;
            }
            drawn.append(&mut rows);
        }
        Ok(drawn)
    }

    /// The noise that signals would be drawn from, and the sum of the log-scales of each sample.
    ///
    /// # Errors
    /// As [`Network::parameters`].
    pub fn noise(&self, signals: &[&Signal]) -> Result<(Vec<Vec<f32>>, Vec<Vec<f64>>)> {
        let frames: Vec<&[f32]> = signals.iter().map(|s| s.frames.as_slice()).collect();
        let mut rows: Vec<Vec<f32>> = signals.iter().map(|s| s.samples.clone()).collect();
        let mut log_scales: Vec<Vec<f64>> = rows.iter().map(|row| vec![0.0; row.len()]).collect();
        for flow in &self.flows {
            through(flow, (&mut rows, &frames), self.hop, |(row, t), sample, params| {
                let [shift, log_scale] = affine::of_sample(params);
                *sample = (*sample - shift) * (-log_scale).exp();
                log_scales[row][t] += f64::from(log_scale);
            })?;
        }
        Ok((rows, log_scales))
    }

    /// What a flow made rows of, in their place.
    fn undo(
        &self,
        flow: &Network,
        prompts: &[Prompt],
        rows: &mut [Vec<f32>],
        mut tick: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        // Silence goes on behind the end as far as it is seen.
        let length = (longest + flow.reach()[1]).next_multiple_of(self.hop);
        let loaded = flow.loaded(length)?;
        let contexts =
            contexts(flow, prompts.iter().map(|p| p.frames.as_slice()), length / self.hop);
        let mut running = loaded.lines(&contexts);
        for line in 0..self.height {
            let offset = if flow.is_flipped() { self.height - 1 - line } else { line };
            running.step(|lane, place, params| {
                let t = place * self.height + offset;
                // Behind the end is silence, as where a density is found.
                let Some(z) = rows.get_mut(lane).and_then(|row| row.get_mut(t)) else { return 0.0 };
                let [shift, log_scale] = affine::of_sample(&[params[0], params[1]]);
                *z = z.mul_add(log_scale.exp(), shift);
                *z
            });
            tick(line + 1)?;
        }
        Ok(())
    }
}

impl Density for WaveFlow {
    fn log_prob(
        &self,
        x: Tensor<2>,
        mask: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>> {
        // What is behind the end of rows is not seen here, where it mostly is other sound.
        let (dims, mut z, mut log_scale) = (x.dims(), x.clone(), x.zeros_like());
        for flow in &self.flows {
            let params = flow.parameters(z.clone(), context)?;
            let [shift, log] = affine::shift_and_log_scale(params, dims);
            z = (z - shift) * log.clone().neg().exp() * mask.clone();
            log_scale = log_scale + log;
        }
        Ok((z.square().mul_scalar(0.5) + log_scale).add_scalar(LN_2PI_HALF).neg())
    }

    fn score(&self, signals: &[&Signal]) -> Result<Vec<Vec<f64>>> {
        let (noise, mut found) = self.noise(signals)?;
        for (found, z) in found.iter_mut().flatten().zip(noise.iter().flatten()) {
            *found = -0.5 * f64::from(*z).powi(2) - LN_2PI_HALF - *found;
        }
        Ok(found)
    }
}

impl Trainable for WaveFlow {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (i, flow) in self.flows.iter_mut().enumerate() {
            visit_part(&format!("flow.{i}"), visitor, |visitor| flow.visit(visitor));
        }
    }
}
