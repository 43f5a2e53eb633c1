//! WaveNet: the density of each sample given those before it.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Init, Purpose, Result, Streams, Trainable, Visitor, host_values};
use diffeo_kernels::TILE_ROWS;

use crate::dataset::{Dataset, Signal};
use crate::linear_prediction::LinearPrediction;
use crate::network::{FrameSize, Network, NetworkSpec};
use crate::output::Output;
use crate::training::Density;
use crate::windows::{Row, contexts, parameters};

/// `p(x) = product over t of p(x_t | x_<t, frames)`, with the parameters of each factor by a network of dilated causal filters.
///
/// Reference: van den Oord et al. *WaveNet: A Generative Model for Raw Audio*. 2016, arXiv:1609.03499; with one Gaussian, Ping, Peng, Chen. *ClariNet*. ICLR 2019, arXiv:1807.07281,
/// section 3.1; with logistics, Salimans et al. *PixelCNN++*. ICLR 2017, arXiv:1701.05517 (there of whole numbers).
#[derive(Clone, Debug)]
pub struct WaveNet {
    network: Network,
    output: Output,
    window: usize,
    hop: usize,
}

/// What is to be drawn: so many samples, of which these frames are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// Samples.
    pub samples: usize,
    /// Frames side by side; the last goes on.
    pub frames: Vec<f32>,
    /// Which draw it is: it has a generator of its own, whatever is drawn beside it.
    pub number: u64,
}

/// What is told how much is done of how much, and ends it with an error.
pub type Tick<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

impl WaveNet {
    /// With initial weights.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range.
    pub fn new(
        spec: &NetworkSpec,
        output: Output,
        (frames, hop): (Option<FrameSize>, usize),
        init: &mut Init,
    ) -> Result<Self> {
        output.validate()?;
        let network = Network::new(spec, frames, output.parameters(), init)?;
        Ok(Self { network, output, window: spec.window, hop })
    }

    /// Lets the mean of each factor start as a linear prediction from the samples before it.
    ///
    /// Samples next to each other are so alike that steps along gradients find one slowly.
    pub fn start_from(&mut self, dataset: &Dataset) {
        let order = self.window;
        let prediction = LinearPrediction { order, frame: 2 * dataset.condition.samples };
        let seen = dataset.seen();
        let coefficients = prediction.coefficients(seen.iter().map(|s| s.samples.as_slice()));
        let columns = self.output.means();
        self.network.visit(&mut |name, p| {
            if name == "direct" {
                let [rows, width] = p.value.dims();
                // The oldest sample first; each is read as two numbers.
                let mut values = vec![0.0; rows * width];
                for (back, a) in coefficients.iter().enumerate() {
                    let row = rows - 2 * (back + 1);
                    columns.clone().for_each(|column| values[row * width + column] = *a);
                }
                let options = (&p.value.device(), p.value.dtype());
                p.value = Tensor::from_data(TensorData::new(values, [rows, width]), options);
            }
        });
    }

    /// The family of each factor.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Parameters of each factor, `[n length, k]`.
    ///
    /// # Errors
    /// As [`Network::parameters`].
    pub fn parameters(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        self.network.parameters(x, context)
    }

    /// Draws waveforms, each by a generator of its own, one sample after another; `tick` is told after each.
    ///
    /// # Errors
    /// Those of `tick`; [`diffeo::ErrorKind::Device`] if weights cannot be read back.
    pub fn sample(
        &self,
        prompts: &[Prompt],
        temperature: f64,
        streams: Streams,
        tick: Tick<'_>,
    ) -> Result<Vec<Vec<f32>>> {
        let mut drawn = Vec::with_capacity(prompts.len());
        for prompts in prompts.chunks(TILE_ROWS) {
            let longest = prompts.iter().map(|p| p.samples).max().unwrap_or(0);
            let length = longest.next_multiple_of(self.hop).max(self.hop);
            let loaded = self.network.loaded(length)?;
            let frames = prompts.iter().map(|p| p.frames.as_slice());
            let contexts = contexts(&self.network, frames, length / self.hop);
            let mut running = loaded.start(&contexts);
            let rng = |prompt: &Prompt| streams.rng(Purpose::Sample, 0, prompt.number);
            let mut rngs: Vec<_> = prompts.iter().map(rng).collect();
            let mut rows: Vec<Vec<f32>> =
                prompts.iter().map(|p| Vec::with_capacity(p.samples)).collect();
            let mut samples = [0.0; TILE_ROWS];
            for t in 0..longest {
                running.step(&mut samples, |lane, params| match rngs.get_mut(lane) {
                    Some(rng) => self.output.draw(params, temperature, rng) as f32,
                    None => 0.0,
                });
                for ((row, prompt), &sample) in rows.iter_mut().zip(prompts).zip(&samples) {
                    if t < prompt.samples {
                        row.push(sample);
                    }
                }
                tick(t + 1, longest)?;
            }
            drawn.append(&mut rows);
        }
        Ok(drawn)
    }
}

impl Density for WaveNet {
    fn log_prob(
        &self,
        x: Tensor<2>,
        _mask: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>> {
        let [n, length] = x.dims();
        let params = self.network.parameters(x.clone(), context)?;
        Ok(self.output.log_prob(params, x.reshape([n * length, 1])).reshape([n, length]))
    }

    fn score(&self, signals: &[&Signal]) -> Result<Vec<Vec<f64>>> {
        let rows: Vec<Row<'_>> =
            signals.iter().map(|s| Row { samples: &s.samples, frames: &s.frames }).collect();
        let found = parameters(&self.network, &rows, self.hop)?;
        let of = |(row, params): (&Row<'_>, Vec<f32>)| {
            let count = row.samples.len();
            let tensor = |values: Vec<f32>, width: usize| {
                let data = TensorData::new(values, [count, width]);
                Tensor::from_data(data, (&Device::flex(), DType::F32))
            };
            let params = tensor(params, self.output.parameters());
            host_values(self.output.log_prob(params, tensor(row.samples.to_vec(), 1)))
        };
        rows.iter().zip(found).map(of).collect()
    }
}

impl Trainable for WaveNet {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}
