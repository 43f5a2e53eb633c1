//! How a layer runs on the CPU without tensors: as a step of a program over flat weights.
//!
//! All matrices are tiled, `[tiles, width, TILE_ROWS]`; rows that fill up the last tile are copies and have no weight in any gradient.
//! A step holds no numbers. What it computes from the weights, what its forward pass leaves for its backward pass, and what it
//! needs while it runs are arrays of an [`Arena`], which are kept from call to call.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::{Aligned, LinearScratch, Real, Regression, TILE_ROWS};

use crate::error::Result;
use crate::host::draws::Draws;

/// A layer's steps, the data end first.
pub type Steps = Vec<Box<dyn AnyStep>>;

/// What all steps of a run have in common.
#[derive(Debug)]
pub struct Pass<'a, T> {
    /// Tiles of rows.
    pub tiles: usize,
    /// All weights of the flow.
    pub weights: &'a [T],
    /// `[tiles, context width, TILE_ROWS]`; empty without context.
    pub context: &'a [T],
    /// Gradient of the loss by each row's log-determinant, `[tiles, TILE_ROWS]`; empty when there is no backward pass.
    pub log_det_gradient: &'a [T],
    /// Random numbers in a training step, for layers that estimate; [`Weights::draws`] are those of a layer.
    pub draws: Option<Draws>,
}

/// A bijection of rows in one precision, with its backward pass.
pub trait Step<T>: Send + Sync + Debug {
    /// Computes what depends on the weights alone.
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let _ = (weights, loaded);
    }

    /// Maps `x` to `z`, adds to the log-determinants, and leaves on the tape what [`Step::backward`] needs.
    ///
    /// # Errors
    /// As [`crate::Transform::forward`].
    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()>;

    /// Turns the gradient by `z` into that by `x`, in place (if it is wanted), and writes the gradient of the step's weights.
    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        kept: (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    );

    /// The field of a step that solves a differential equation.
    fn velocity(&self) -> Option<&dyn Velocity<T>> {
        None
    }
}

/// A field that can be held to velocities without solving its equation.
pub trait Velocity<T> {
    /// Adds `|v(t, x, c) - u|^2` of each row to `losses`, and writes the gradient of their weighted sum by the step's weights; `loaded` is what [`Step::load`] made of
    /// these.
    fn regress(
        &self,
        at: Regression<'_, T>,
        losses: &mut [f64],
        loaded: (&Arena<T>, &mut Scratch<T>),
        gradient: &mut [T],
    );
}

/// A step in both precisions.
pub trait AnyStep: Step<f32> + Step<f64> {}

impl<S: Step<f32> + Step<f64>> AnyStep for S {}

/// A step inside another one, which runs it in the precision that it runs in itself.
#[derive(Clone, Debug)]
pub(crate) struct InnerStep {
    single: Arc<dyn Step<f32>>,
    double: Arc<dyn Step<f64>>,
}

impl InnerStep {
    pub(crate) fn new(step: Box<dyn AnyStep>) -> Self {
        let step: Arc<dyn AnyStep> = Arc::from(step);
        Self { single: Arc::clone(&step) as _, double: step }
    }

    /// The step in one precision.
    pub(crate) fn of<T: Real>(&self) -> &dyn Step<T> {
        let step: &Arc<dyn Step<T>> = in_precision([&self.single, &self.double]);
        &**step
    }
}

/// Which of two things, one for each precision, is of the type that the caller's precision makes it.
pub(crate) fn in_precision<P: Any>(both: [&dyn Any; 2]) -> &P {
    match both.into_iter().find_map(|p| p.downcast_ref()) {
        Some(found) => found,
        None => unreachable!("a real number is f32 or f64"),
    }
}

/// What a step has kept.
#[derive(Debug)]
pub struct Kept<'a, T> {
    /// What [`Step::load`] made of the weights.
    pub loaded: &'a Arena<T>,
    /// What a forward pass leaves for its backward pass.
    pub tape: &'a mut Arena<T>,
}

/// What a backward pass needs while it runs.
#[derive(Debug, Default)]
pub struct Scratch<T> {
    /// Arrays of any use.
    pub arena: Arena<T>,
    /// Of the products' backward passes.
    pub linear: LinearScratch<T>,
    /// Where steps leave their gradients by the context, if it has one.
    pub context: ContextGradient<T>,
}

/// The sum of all gradients by what the steps see of the context, `[tiles, context width, TILE_ROWS]`; nothing where that has no weights before it.
#[derive(Debug, Default)]
pub struct ContextGradient<T>(Option<Aligned<T>>);

impl<T: Real> ContextGradient<T> {
    /// Starts a sum of so many numbers, or asks for none.
    pub fn start(&mut self, len: Option<usize>) {
        self.0 = len.map(|len| {
            let mut sum = self.0.take().unwrap_or_default();
            sum.resize(len);
            sum.fill(T::ZERO);
            sum
        });
    }

    /// Whether it is asked for.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Adds the gradient by part of the context, of tiles from this place on.
    pub fn add(&mut self, at: usize, by_context: &[T]) {
        let Some(sum) = &mut self.0 else { return };
        let sum = sum[at..][..by_context.len()].iter_mut();
        sum.zip(by_context).for_each(|(sum, by)| *sum += *by);
    }

    /// The sum.
    pub fn sum(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Arrays of no fixed length, each of which its owner knows by its number; and those of steps inside the owner.
#[derive(Debug)]
pub struct Arena<T> {
    arrays: Vec<Aligned<T>>,
    inner: Vec<Self>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { arrays: Vec::new(), inner: Vec::new() }
    }
}

impl<T: Real> Arena<T> {
    /// The first `N` arrays, and `more` after them.
    pub fn arrays<const N: usize>(
        &mut self,
        more: usize,
    ) -> (&mut [Aligned<T>; N], &mut [Aligned<T>]) {
        first_of(&mut self.arrays, more)
    }

    /// The first `N` arrays, and the arena of a step inside.
    pub fn around<const N: usize>(&mut self) -> (&mut [Aligned<T>; N], &mut Self) {
        match self.with_inner(0, 1) {
            (first, _, [inner, ..]) => (first, inner),
            _ => unreachable!("an arena was made"),
        }
    }

    /// The first `N` arrays, `more` after them, and the arenas of so many steps inside.
    pub fn with_inner<const N: usize>(
        &mut self,
        more: usize,
        inner: usize,
    ) -> (&mut [Aligned<T>; N], &mut [Aligned<T>], &mut [Self]) {
        self.inner.resize_with(inner.max(self.inner.len()), Self::default);
        let (first, rest) = first_of(&mut self.arrays, more);
        (first, rest, &mut self.inner[..inner])
    }

    /// The arena of step `i` inside, to be read.
    pub fn inner(&self, i: usize) -> &Self {
        &self.inner[i]
    }

    /// Array `i`, to be read.
    pub fn array(&self, i: usize) -> &Aligned<T> {
        &self.arrays[i]
    }

    /// The arrays from number `first` on, to be read.
    pub fn after(&self, first: usize) -> &[Aligned<T>] {
        &self.arrays[first..]
    }
}

fn first_of<T: Real, const N: usize>(
    arrays: &mut Vec<Aligned<T>>,
    more: usize,
) -> (&mut [Aligned<T>; N], &mut [Aligned<T>]) {
    if arrays.len() < N + more {
        arrays.resize_with(N + more, Aligned::default);
    }
    match arrays.split_first_chunk_mut() {
        Some((first, rest)) => (first, &mut rest[..more]),
        None => unreachable!("so many arrays were made"),
    }
}

/// Where a layer finds its weights: by the names that it shows them with.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    ranges: &'a BTreeMap<String, Range<usize>>,
    prefix: String,
    /// Which layer of several it is, from the outermost on.
    layer: Vec<usize>,
}

impl<'a> Weights<'a> {
    /// All weights of a flow.
    pub fn new(ranges: &'a BTreeMap<String, Range<usize>>) -> Self {
        Self { ranges, prefix: String::new(), layer: Vec::new() }
    }

    /// The weights of a part, as [`crate::visit_part`] shows it.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), layer: self.layer.clone(), ..*self }
    }

    /// The weights of the `i`-th of several layers, as [`Self::part`].
    #[must_use]
    pub fn layer(&self, i: usize) -> Self {
        let mut layer = self.part(&i.to_string());
        layer.layer.push(i);
        layer
    }

    /// What makes of the random numbers of a pass those of this layer: the same as [`crate::transform::Given::part`] of each layer that it is inside of.
    pub fn draws(&self) -> impl Fn(Draws) -> Draws + Send + Sync + use<> {
        let layer = self.layer.clone();
        move |draws| layer.iter().fold(draws, |draws, i| draws.part(*i))
    }

    /// Where a parameter lies among the flat weights; `None` if there is none of that name.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        self.ranges.get(&format!("{}{name}", self.prefix)).cloned()
    }
}

/// Copies columns: column `i` of `to` is column `columns[i]` of `from`, which has `width` of them.
pub(crate) fn gather<T: Copy>(from: &[T], width: usize, columns: &[usize], to: &mut [T]) {
    let tiles = from.chunks_exact((width * TILE_ROWS).max(1));
    for (from, to) in tiles.zip(to.chunks_exact_mut((columns.len() * TILE_ROWS).max(1))) {
        for (to, &column) in to.chunks_exact_mut(TILE_ROWS).zip(columns) {
            to.copy_from_slice(&from[column * TILE_ROWS..][..TILE_ROWS]);
        }
    }
}

/// Puts columns back: column `columns[i]` of `to`, which has `width` of them, becomes column `i` of `from`.
pub(crate) fn scatter<T: Copy>(from: &[T], columns: &[usize], to: &mut [T], width: usize) {
    let tiles = from.chunks_exact((columns.len() * TILE_ROWS).max(1));
    for (from, to) in tiles.zip(to.chunks_exact_mut((width * TILE_ROWS).max(1))) {
        for (from, &column) in from.chunks_exact(TILE_ROWS).zip(columns) {
            to[column * TILE_ROWS..][..TILE_ROWS].copy_from_slice(from);
        }
    }
}
