//! The parameters of a fit, which have the names of the command line's options.

use std::path::PathBuf;
use std::time::Duration;

use diffeo::network::NetworkSpec;
use diffeo::train::{Change, FitOptions, Loss, Trim, ValidationChoice};
use diffeo::{
    BaseSpec, ColumnOrder, DenseEmbeddingSpec, Error, ImageShape, KindWish, Model, Precision,
    Preset, PresetOptions, Result, Schema, quoted,
};
use diffeo_table::{InferOptions, Input, Missing, ReadOptions, Roles, Wish};
use pyo3::prelude::*;

use crate::draws::{Seed, Threads};
use crate::model::PyModel;
use crate::table::{input_of, input_of_clips};

/// A column and the kind that it is to have.
pub(crate) type Asked = (String, Option<String>);

/// What `diffeo.fit` was given; what is None is as usual.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    start: Option<Py<PyModel>>,
    pub(crate) model: Option<String>,
    columns: Vec<Asked>,
    context: Vec<Asked>,
    exclude: Vec<String>,
    weight: Option<String>,
    missing: String,
    trim: Option<f64>,
    drop_constant: bool,
    dequantize: Vec<String>,
    any_subset: bool,
    transforms: Option<usize>,
    hidden: Option<Vec<usize>>,
    bins: Option<usize>,
    bound: Option<f64>,
    residual: Option<bool>,
    base: Option<String>,
    order: Option<String>,
    precision: Option<String>,
    embed: Option<usize>,
    pub(crate) graph: Option<(String, String)>,
    frames: Option<usize>,
    levels: Option<u32>,
    noise: Option<f64>,
    patch: Option<usize>,
    loss: Option<String>,
    epochs: Option<f64>,
    steps: Option<u64>,
    batch: Option<usize>,
    lr: Option<f64>,
    weight_decay: Option<f64>,
    context_dropout: Option<f64>,
    contrast: Option<f64>,
    clip_norm: Option<f64>,
    warmup: Option<f64>,
    average: Option<f64>,
    patience: Option<u32>,
    valid_share: Option<f64>,
    seed: Option<Seed>,
    threads: Option<Threads>,
    max_time: Option<f64>,
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) resume: bool,
    allow_changed: Vec<String>,
}

/// Share of the clips that decide when to stop, where none is asked for.
const USUAL_SHARE: f64 = 0.1;

impl Settings {
    /// Which part each column plays.
    pub(crate) fn roles(&self) -> Result<Roles> {
        let infer = InferOptions {
            drop_constant: self.drop_constant,
            dequantize: self.dequantize.clone(),
            any_subset: self.any_subset,
            beside_images: false,
        };
        Ok(Roles {
            columns: wishes(&self.columns)?,
            context: wishes(&self.context)?,
            exclude: self.exclude.clone(),
            weight: self.weight.clone(),
            infer,
            noise: self.noise,
        })
    }

    /// How the table is read.
    pub(crate) fn read_options(&self) -> Result<ReadOptions> {
        let missing = match self.missing.as_str() {
            "refuse" if self.any_subset => Missing::Model,
            "refuse" => Missing::Refuse,
            "drop" => Missing::Drop,
            "model" => Missing::Model,
            other => {
                return Err(Error::config(format!(
                    "missing: expected refuse, drop or model, found {}",
                    quoted(other)
                )));
            }
        };
        if self.frames > Some(0) && !self.context.is_empty() {
            return Err(Error::config("frames is what each frame is given; leave context out"));
        }
        Ok(ReadOptions { missing, earlier: self.frames(), ..ReadOptions::default() })
    }

    /// Which rows are left out as unlike the others, if some are to be.
    pub(crate) fn trim(&self, seed: u64) -> Option<Trim> {
        let (drop_constant, threads) = (self.drop_constant, self.threads());
        self.trim.map(|share| Trim { share, drop_constant, seed, threads })
    }

    /// The shape of the images, if the data are such and no columns of them are named.
    pub(crate) fn image(&self, input: &Input, options: &ReadOptions) -> Result<Option<ImageShape>> {
        self.roles()?.image_shape(input, options, self.levels)
    }

    /// A table, or clips, as the settings have it.
    pub(crate) fn input(&self, data: &Bound<'_, PyAny>) -> PyResult<Input> {
        match (self.frames(), self.start()) {
            (Some(_), _) => input_of_clips(data),
            (None, None) => input_of(data, &[]),
            (None, Some(model)) => {
                let Schema { columns, context, .. } = model.schema();
                let names = columns.iter().chain(context).map(|column| column.name.clone());
                input_of(data, &names.collect::<Vec<_>>())
            }
        }
    }

    /// The model whose weights the fit begins from, if any.
    pub(crate) fn start(&self) -> Option<&Model> {
        self.start.as_ref().map(|start| &start.get().model)
    }

    /// How many frames before it each is given, if the data are clips.
    fn frames(&self) -> Option<usize> {
        let of_start = self.start().map(|model| model.schema().earlier_frames());
        self.frames.or(of_start.filter(|frames| *frames > 0))
    }

    /// The share of whole clips that validate, if some do.
    pub(crate) fn share_of_clips(&self) -> Option<f64> {
        Some(self.valid_share.unwrap_or(USUAL_SHARE)).filter(|share| *share > 0.0)
    }

    /// The named model, if one is named.
    pub(crate) fn preset(&self) -> Result<Option<Preset>> {
        let named = self.model.as_deref().filter(|_| !self.is_auto());
        let named = named.map(str::parse).transpose();
        named.map_err(|e: Error| Error::config(format!("{}, or auto", e.message())))
    }

    /// Whether the best of a few models is to be taken.
    pub(crate) fn is_auto(&self) -> bool {
        self.model.as_deref() == Some("auto")
    }

    /// Whether it is said how many transforms there are to be.
    pub(crate) fn is_deep(&self) -> bool {
        self.transforms.is_some()
    }

    pub(crate) fn any_subset(&self) -> bool {
        self.any_subset
    }

    /// Refuses what processes would come to differ by that train together.
    pub(crate) fn expect_alike(&self) -> Result<()> {
        let refuse = |text: &str| Err(Error::config(format!("communicator: {text}")));
        if self.seed.is_none() {
            return refuse("all processes need the same seed; give one");
        }
        if self.max_time.is_some() {
            return refuse(
                "the clocks of processes differ; give steps or epochs instead of max_time",
            );
        }
        Ok(())
    }

    /// Whether nothing is said against another model than the usual one.
    pub(crate) fn is_free(&self) -> bool {
        self.model.is_none() && self.base.is_none() && self.order.is_none() && self.graph.is_none()
    }

    /// The shape of the model, for a table of so many rows.
    pub(crate) fn shape(&self, rows: usize, seed: u64) -> Result<PresetOptions> {
        let usual = PresetOptions::for_rows(rows);
        let hidden = self.hidden.clone().unwrap_or_else(|| usual.hidden.clone());
        // Residual blocks need equal widths; a choice of other widths is one against them.
        let equal = hidden.windows(2).all(|w| w[0] == w[1]);
        let network =
            NetworkSpec { hidden: hidden.clone(), residual: false, activation: usual.activation };
        let embed = |width| DenseEmbeddingSpec { network, width, members: 1 }.into();
        Ok(PresetOptions {
            transforms: self.transforms.unwrap_or(usual.transforms),
            bins: self.bins.unwrap_or(usual.bins),
            bound: self.bound.unwrap_or(usual.bound),
            residual: self.residual.unwrap_or(equal && usual.residual),
            base: self.base.as_deref().map_or(Ok(usual.base.clone()), str::parse::<BaseSpec>)?,
            order: self.order.as_deref().map(str::parse::<ColumnOrder>).transpose()?,
            precision: precision(self.precision.as_deref())?,
            embedding: self.embed.map(embed),
            patch: self.patch,
            hidden,
            seed,
            ..usual
        })
    }

    /// How to train.
    pub(crate) fn training(&self, seed: u64, threads: usize) -> Result<FitOptions> {
        let usual = FitOptions::default();
        Ok(FitOptions {
            loss: self.loss.as_deref().map(str::parse::<Loss>).transpose()?,
            epochs: self.epochs,
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.lr,
            weight_decay: self.weight_decay.unwrap_or(usual.weight_decay),
            clip_norm: self.clip_norm.unwrap_or(usual.clip_norm),
            warmup: self.warmup.unwrap_or(usual.warmup),
            average: self.average.or(usual.average),
            patience: self.patience.or(usual.patience),
            context_dropout: self.context_dropout.unwrap_or(usual.context_dropout),
            contrast: self.contrast.unwrap_or(usual.contrast),
            validation: match self.valid_share {
                Some(0.0) => ValidationChoice::None,
                Some(share) => ValidationChoice::Fraction(share),
                None => usual.validation,
            },
            seed,
            threads,
        })
    }

    pub(crate) fn seed(&self) -> Option<u64> {
        self.seed.map(|seed| seed.0)
    }

    pub(crate) fn threads(&self) -> usize {
        crate::draws::threads_or_all(self.threads)
    }

    /// How long training may take.
    pub(crate) fn max_time(&self) -> Result<Option<Duration>> {
        let span = |seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::config(format!("max_time: expected seconds of at least 0, found {seconds}"))
            })
        };
        self.max_time.map(span).transpose()
    }

    /// What a fit that goes on may do in another way.
    pub(crate) fn changes(&self) -> Result<Vec<Change>> {
        let change = |name: &String| match name.as_str() {
            "lr" => Ok(Change::LearningRate),
            "epochs" => Ok(Change::Epochs),
            _ => Err(Error::config(format!(
                "allow_changed: expected lr or epochs, found {}",
                quoted(name)
            ))),
        };
        self.allow_changed.iter().map(change).collect()
    }
}

pub(crate) fn wishes(asked: &[Asked]) -> Result<Vec<Wish>> {
    let wish = |(name, kind): &Asked| {
        let kind = kind
            .as_deref()
            .map(str::parse::<KindWish>)
            .transpose()
            .map_err(|e| Error::config(format!("column {}: {}", quoted(name), e.message())))?;
        Ok((name.clone(), kind))
    };
    asked.iter().map(wish).collect()
}

fn precision(name: Option<&str>) -> Result<Precision> {
    match name {
        None => Ok(PresetOptions::default().precision),
        Some("f32") => Ok(Precision::F32),
        Some("f64") => Ok(Precision::F64),
        Some(other) => {
            Err(Error::config(format!("precision: expected f32 or f64, found {}", quoted(other))))
        }
    }
}
