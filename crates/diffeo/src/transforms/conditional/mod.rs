//! The conditional layer: scalar maps of some columns with parameters that follow from other columns.

mod gating;
mod step;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Int, Tensor};
use diffeo_kernels::ops::{MadeSampler, made_inverse, sum_rows};
use serde::{Deserialize, Serialize};

use super::Describe;
use super::permutation::{indices, inverse_order};
use crate::catalog::Cases;
use crate::conditioner::{Conditioner, ConditionerSpec};
use crate::error::{Error, Result};
use crate::monotone::{Monotone, MonotoneSpec, Scalarwise};
use crate::parameter::{Init, Visitor, visit_part};
use crate::place::Place;
use crate::step::{Steps, Weights};
use crate::transform::{Given, Mapped, Scales, Transform};
use gating::{Gating, There};

/// A [`Conditional`] layer, described by its two parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalSpec {
    /// Which columns influence which, and how.
    pub conditioner: ConditionerSpec,
    /// The scalar map.
    pub monotone: MonotoneSpec,
    /// Which columns may be absent.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
}

/// For each column, which number of the context says whether it is there, above one half if it is; none for a column that is always there,
/// nothing for all of them. A column that is absent stays as it is, whatever it is, and no other depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gates(pub Vec<Option<usize>>);

impl Gates {
    /// Whether all columns are always there.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Refuses gates that are not one for each column, or are beyond the context.
    fn validate(&self, at: Place) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        at.expect_width("gates", self.0.len())?;
        match self.0.iter().flatten().find(|gate| **gate >= at.context) {
            None => Ok(()),
            Some(gate) => Err(Error::config(format!(
                "gates: expected numbers of a context of {}, found {gate}",
                at.context
            ))),
        }
    }
}

impl ConditionalSpec {
    /// A scalar map with parameters from a conditioner.
    pub fn new(conditioner: impl Into<ConditionerSpec>, monotone: &MonotoneSpec) -> Self {
        let gates = Gates::default();
        Self { conditioner: conditioner.into(), monotone: monotone.clone(), gates }
    }

    /// The same with columns that may be absent.
    #[must_use]
    pub fn gated(self, gates: Gates) -> Self {
        Self { gates, ..self }
    }
}

impl Describe for ConditionalSpec {
    fn validate(&self, at: Place) -> Result<()> {
        self.monotone.validate()?;
        self.gates.validate(at)?;
        self.conditioner.validate(at)
    }

    fn count(&self, at: Place) -> Option<u64> {
        let conditioner = self.conditioner.count(at, self.monotone.params_per_dim() as u64)?;
        conditioner.checked_add(self.monotone.count()?)
    }

    fn work(&self, at: Place) -> Option<u64> {
        let conditioner = self.conditioner.work(at, self.monotone.params_per_dim() as u64)?;
        conditioner.checked_add(self.monotone.count()?)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        let conditioner = self.conditioner.build(at, self.monotone.params_per_dim(), init)?;
        let map = self.monotone.build(init);
        self.gates.validate(at)?;
        Ok(Box::new(Conditional::new(conditioner, map, &init.device)?.gated(&self.gates)))
    }

    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        let same =
            self.gates.0 == gates || self.gates.is_empty() && gates.iter().all(Option::is_none);
        same.then(|| gates.to_vec())
    }

    fn bound(&self) -> f64 {
        self.monotone.bound()
    }
}

impl Cases for ConditionalSpec {
    fn cases(at: Place) -> Vec<Self> {
        let conditioners = ConditionerSpec::cases(at).into_iter();
        let maps = MonotoneSpec::cases(at);
        let mut cases: Vec<Self> =
            conditioners.map(|conditioner| Self::new(conditioner, &maps[0])).collect();
        if at.context > 0 {
            // The last column may be absent.
            let gates = Gates((0..at.dims).map(|j| (j + 1 == at.dims).then_some(0)).collect());
            let conditioners = ConditionerSpec::cases(at).into_iter().zip(maps.iter().cycle());
            cases.extend(conditioners.map(|(c, map)| Self::new(c, map).gated(gates.clone())));
        }
        cases
    }
}

/// A description that is short for a conditioner and a scalar map.
pub(super) trait Short: Debug + Send + Sync {
    /// What it is short for.
    fn long(&self) -> ConditionalSpec;
}

impl<S: Short> Describe for S {
    fn validate(&self, at: Place) -> Result<()> {
        self.long().validate(at)
    }

    fn count(&self, at: Place) -> Option<u64> {
        self.long().count(at)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.long().build(at, init)
    }

    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        self.long().gates_after(gates)
    }

    fn bound(&self) -> f64 {
        self.long().bound()
    }
}

/// `z_i = g(x_i; theta_i(x_parents(i), c))` for the columns that are mapped, `z_i = x_i` for the others.
///
/// Autoregressive layers, couplings and element-wise maps are this with one conditioner or another (Papamakarios et al. 2021, section 3.1,
/// arXiv:1912.02762): the Jacobian is triangular in the order of the conditioner's levels.
///
/// * forward: one pass of the conditioner.
/// * inverse: a pass for each level; one pass where the conditioner reads in sequence ([`Conditioner::sequence`]). Where all columns are mapped one after another by a masked network and the map has a kernel, each
///   weight is used once instead, so it costs one pass too, and its gradient, unless columns may be absent, four where a training step takes three; this is so on the CPU.
#[derive(Clone, Debug)]
pub struct Conditional {
    conditioner: Box<dyn Conditioner>,
    map: Box<dyn Monotone>,
    /// Numbers of the columns that are seen, that are mapped and that are kept; absent where that is all of them or none.
    seen: Option<Tensor<1, Int>>,
    moved: Option<Tensor<1, Int>>,
    kept: Option<Tensor<1, Int>>,
    /// Whether no column that is seen is mapped.
    sees_kept_alone: bool,
    /// Puts `[kept, moved]` back into column order.
    restore: Option<Tensor<1, Int>>,
    gates: Option<Gating>,
    /// The weights prepared for the inverse in one pass, made when first needed.
    sampler: OnceLock<Option<Arc<MadeSampler>>>,
}

impl Conditional {
    /// A scalar map with parameters from a conditioner.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if the conditioner's columns are not columns.
    pub fn new(
        conditioner: Box<dyn Conditioner>,
        map: Box<dyn Monotone>,
        device: &Device,
    ) -> Result<Self> {
        let structure = conditioner.structure();
        let (of, kept) = (|columns: &Vec<usize>| indices(columns, device), structure.kept());
        let seen = structure.seen.as_ref().map(of);
        let moved = structure.moved.as_ref().map(of);
        let restore = match &structure.moved {
            Some(moved) => Some(of(&inverse_order(&[kept.clone(), moved.clone()].concat())?)),
            None => None,
        };
        let sees_kept_alone =
            structure.seen.as_ref().is_some_and(|seen| seen.iter().all(|c| kept.contains(c)));
        let kept = (!kept.is_empty()).then(|| of(&kept));
        let (gates, sampler) = (None, OnceLock::new());
        Ok(Self { conditioner, map, seen, moved, kept, sees_kept_alone, restore, gates, sampler })
    }

    /// The same with columns that may be absent.
    fn gated(self, gates: &Gates) -> Self {
        let gates = (!gates.is_empty()).then(|| Gating { gates: gates.0.clone() });
        Self { gates, ..self }
    }

    fn columns(x: &Tensor<2>, columns: Option<&Tensor<1, Int>>) -> Tensor<2> {
        match columns {
            Some(columns) => x.clone().select(1, columns.clone()),
            None => x.clone(),
        }
    }

    /// The row whose mapped columns are `moved` and whose others are those of `x`.
    fn joined(&self, x: &Tensor<2>, moved: Tensor<2>) -> Tensor<2> {
        let all = match &self.kept {
            Some(kept) => Tensor::cat(vec![x.clone().select(1, kept.clone()), moved], 1),
            None => moved,
        };
        match &self.restore {
            Some(restore) => all.select(1, restore.clone()),
            None => all,
        }
    }

    fn mapped(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Scalarwise> {
        let moved = Self::columns(x, self.moved.as_ref());
        let Some(there) = self.there(x, given) else {
            let seen = Self::columns(x, self.seen.as_ref());
            return self.map.forward(moved, self.conditioner.parameters(seen, given)?);
        };
        let seen = Self::columns(&there.of(x), self.seen.as_ref());
        let params = self.conditioner.parameters(seen, given)?;
        let there = there.columns(self.moved.as_ref());
        Ok(there.keep(self.map.forward(moved.clone(), params)?, moved))
    }

    /// Which columns of which rows are there; `None` if all are.
    fn there(&self, x: &Tensor<2>, given: &Given<'_>) -> Option<There> {
        let gates = self.gates.as_ref()?;
        Some(gates.there(x, given.context?))
    }

    /// The inverse at the price of one pass of the network; `None` where there is no kernel for it.
    fn solve_at_once(&self, z: &Tensor<2>, given: &Given<'_>) -> Option<Scalarwise> {
        let structure = self.conditioner.structure();
        let (network, map) = (self.conditioner.network()?, self.map.kernel()?);
        if !structure.is_sequential() {
            return None;
        }
        let there = self.there(z, given).map(|there| there.columns(self.moved.as_ref()));
        let z = Self::columns(z, self.moved.as_ref());
        let (graph, dims) = (network.graph(), structure.dims());
        let prepare = || MadeSampler::new(graph, &network.weights(), map, dims).map(Arc::new);
        let sampler = self.sampler.get_or_init(prepare).as_ref();
        let addend = network.context_addend(given.context);
        // The sampler has its weights at hand and refuses where a gradient is wanted.
        let [value, log_slope] = sampler
            .and_then(|sampler| sampler.run(&z, there.as_ref().map(There::mask), addend.as_ref()))
            .or_else(|| match there {
                Some(_) => None,
                None => made_inverse(graph, &network.weights(), map, &z, addend.as_ref()),
            })?;
        Some(Scalarwise { value, log_slope })
    }

    /// The inverse level by level: each once where the conditioner reads in sequence, else in a pass for each.
    fn solve(&self, z: &Tensor<2>, given: &Given<'_>) -> Result<Scalarwise> {
        let moved = Self::columns(z, self.moved.as_ref());
        let there = self.there(z, given);
        let there_moved = there.as_ref().map(|there| there.columns(self.moved.as_ref()));
        let mut reader = self.conditioner.sequence(z, given);
        let (mut values, mut log_slopes, mut first) = (Vec::new(), Vec::new(), 0);
        let mut before: Option<Tensor<2>> = None;
        for &count in self.conditioner.structure().levels() {
            let next = reader.as_mut().and_then(|reader| reader.next(before.as_ref()));
            let params = match next {
                Some(params) => params,
                None => {
                    reader = None;
                    self.level_params(z, (&moved, &values), (first, count), (&there, given))?
                }
            };
            let level = moved.clone().narrow(1, first, count);
            let mut solved = self.map.inverse(level.clone(), params)?;
            before = Some(solved.value.clone());
            if let Some(there) = &there_moved {
                let there = there.part(first, count);
                solved = there.keep(solved, level);
                before = Some(there.of(&solved.value));
            }
            values.push(solved.value);
            log_slopes.push(solved.log_slope);
            first += count;
        }
        let [value, log_slope] = [values, log_slopes].map(|mut levels| match levels.len() {
            0 => Tensor::zeros([z.dims()[0], 0], (&z.device(), z.dtype())),
            1 => levels.swap_remove(0),
            _ => Tensor::cat(levels, 1),
        });
        Ok(Scalarwise { value, log_slope })
    }

    /// The parameters of a level, its first column and how many it has, by a pass of the whole conditioner, given the columns that were solved.
    fn level_params(
        &self,
        z: &Tensor<2>,
        (moved, solved): (&Tensor<2>, &[Tensor<2>]),
        (first, count): (usize, usize),
        (there, given): (&Option<There>, &Given<'_>),
    ) -> Result<Tensor<2>> {
        let width = moved.dims()[1];
        let seen = if self.sees_kept_alone && there.is_none() {
            Self::columns(z, self.seen.as_ref())
        } else {
            let unknown = moved.zeros_like().narrow(1, first, width - first);
            let joined = self.joined(z, Tensor::cat([solved, &[unknown]].concat(), 1));
            let joined = there.as_ref().map_or(joined.clone(), |there| there.of(&joined));
            Self::columns(&joined, self.seen.as_ref())
        };
        let (params, k) = (self.conditioner.parameters(seen, given)?, self.map.params_per_dim());
        Ok(if count == width { params } else { params.narrow(1, first * k, count * k) })
    }
}

impl Transform for Conditional {
    fn dims(&self) -> usize {
        self.conditioner.structure().dims()
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let mapped = self.mapped(&x, given)?;
        let log_det = sum_rows(mapped.log_slope);
        Ok(Mapped { value: self.joined(&x, mapped.value), log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        // Where one pass gives all parameters, it does so faster over all rows at a time.
        let is_flat = self.conditioner.structure().levels().len() == 1;
        let at_once = if is_flat { None } else { self.solve_at_once(&z, given) };
        let solved = at_once.map_or_else(|| self.solve(&z, given), Ok)?;
        let log_det = sum_rows(solved.log_slope);
        Ok(Mapped { value: self.joined(&z, solved.value), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // The visitor may change the weights that were prepared.
        self.sampler = OnceLock::new();
        self.conditioner.visit(visitor);
        visit_part("map", visitor, |v| self.map.visit(v));
    }

    fn scales(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Vec<Scales>> {
        let bound = self.map.log_slope_max();
        if bound.is_infinite() {
            return Ok(Vec::new());
        }
        Ok(vec![Scales { log_scales: self.mapped(x, given)?.log_slope, bound }])
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let program = match self.conditioner.network() {
            Some(network) => step::Program::Network(network.program(&weights.part("network"))?),
            None => step::Program::Tiled(self.conditioner.program(weights)?),
        };
        let structure = self.conditioner.structure().clone();
        let map = Arc::clone(self.map.kernel()?);
        let gates = self.gates.as_ref().map(|gates| gates.gates.as_slice()).unwrap_or_default();
        Some(vec![Box::new(step::ConditionalStep::new(program, map, structure, gates))])
    }
}
