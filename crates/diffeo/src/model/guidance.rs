//! A model that goes further where its context leads.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Model, TrainingSummary};
use crate::conditioner::GuidedSpec;
use crate::error::{Error, Result};
use crate::transforms::guide;

impl Model {
    /// The model whose conditioners have a [`GuidedSpec`] of a weight around them: what it draws is more like its context than what this model draws, and less varied. It has a density, too.
    ///
    /// For models of numbers given categories that were fitted with [`crate::train::FitOptions::context_dropout`], or of which nothing is known; of couplings and autoregressive layers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a weight out of -1 to 100, and for any other model.
    pub fn guided(&self, weight: f64) -> Result<Self> {
        GuidedSpec::expect_weight(weight)?;
        let spec = self.flow.spec();
        let hidden = self.summary.as_ref().map_or(f64::NAN, |summary| summary.context_dropout());
        let fault = if self.schema.context.is_empty() {
            Some("it has no context that could lead anywhere")
        } else if hidden == 0.0 {
            Some(
                "it does not know what rows are like without a context; fit it with context_dropout (--context-dropout), such as 0.1",
            )
        } else if spec.embedding.is_some() || self.schema.earlier_frames() > 0 {
            Some("its layers see what was made of the context, which cannot be hidden from them")
        } else if spec.marks.is_some() {
            Some("some of its columns have outcomes with probabilities, which would not be guided")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(Error::config(format!("this model cannot be guided: {fault}")));
        }
        let mut guided = spec.clone();
        guide(&mut guided.transforms, weight)?;
        let mut flow = guided.build(0)?;
        let weights: BTreeMap<_, _> = self.flow.parameters().into_iter().collect();
        flow.set_parameters(&weights)?;
        // The densities that were measured in training are those of another model.
        let summary = self.summary.clone().map(|summary| TrainingSummary {
            log_prob_lowest: None,
            log_prob_quantiles: Vec::new(),
            ..summary
        });
        Ok(Self { flow, summary, scorer: OnceLock::new(), ..self.clone() })
    }
}
