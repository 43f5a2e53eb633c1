//! Solutions in double precision, beside training and scoring: how often a field is evaluated, and where rows are on their way.

use burn::tensor::{DType, Tensor, TensorData};
use diffeo_kernels::ops::Direction;
use diffeo_kernels::{
    Aligned, Directions, DualWeights, FieldWork, Penalty, RowsGiven, TILE_ROWS, Taken, Tape, Tile,
    tile_count, to_tiles, unit_probes,
};

use super::{Continuous, Solver, alone, not_solved};
use crate::error::Result;
use crate::host::linalg::host_values;
use crate::transform::Given;

/// A field with its weights, and the context of some rows.
struct Equation<'a> {
    layer: &'a Continuous,
    flat: Vec<f64>,
    packed: Vec<Aligned<f64>>,
    /// In tiles.
    context: Vec<f64>,
}

impl<'a> Equation<'a> {
    fn new(layer: &'a Continuous, given: &Given<'_>) -> Result<Self> {
        let network = layer.field.network();
        let (flat, mut packed) =
            (host_values(layer.flat())?, vec![Aligned::default(); network.packed()]);
        network.pack(&flat, &mut packed);
        let context = given.context.filter(|_| layer.context.is_some());
        let context = context.map_or(Ok(Vec::new()), tiled)?;
        Ok(Self { layer, flat, packed, context })
    }

    fn weights(&self) -> DualWeights<'_, f64> {
        DualWeights { flat: &self.flat, packed: &self.packed }
    }

    fn tile<'b>(&'b self, tile: usize, probes: &'b [f64]) -> Tile<'b, f64> {
        let of_tile = self.layer.field.network().context() * TILE_ROWS;
        let context = &self.context[tile * of_tile..][..of_tile];
        Tile { context, probes, penalty: Penalty::default() }
    }

    /// Solves one tile, forward.
    fn solve(
        &self,
        given: Tile<'_, f64>,
        solver: &Solver,
        x: &mut [f64],
        tape: Tape<'_, f64>,
        work: &mut FieldWork<f64>,
    ) -> Result<()> {
        let (how, to) = ((Direction::Forward, solver), (x, &mut [0.0; TILE_ROWS]));
        let found = self.layer.field.solve(self.weights(), given, how, to, Some(tape), work);
        found.map(|_| ()).map_err(|stalled| not_solved(&stalled))
    }
}

fn tiled(rows: &Tensor<2>) -> Result<Vec<f64>> {
    let [n, width] = rows.dims();
    let mut tiles = vec![0.0; tile_count(n) * width * TILE_ROWS];
    to_tiles(&host_values(rows.clone())?, width, &mut tiles);
    Ok(tiles)
}

fn untiled(tiles: &[f64], [n, width]: [usize; 2]) -> Vec<f64> {
    let at = |row: usize, column: usize| {
        tiles[(row / TILE_ROWS * width + column) * TILE_ROWS + row % TILE_ROWS]
    };
    (0..n).flat_map(|row| (0..width).map(move |column| at(row, column))).collect()
}

impl Continuous {
    /// The solver of scoring, for rows of this type.
    fn exact_solver(&self, dtype: DType) -> Solver {
        self.solver.solver(false, dtype == DType::F64)
    }

    /// [`crate::Transform::evaluations`].
    pub(super) fn count_evaluations(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<f64> {
        let (n, d) = (x.dims()[0], self.field.dims());
        let (equation, solver) = (Equation::new(self, given)?, self.exact_solver(x.dtype()));
        let context = given.context.filter(|_| self.context.is_some());
        let context = context.map_or(Ok(Vec::new()), |context| host_values(context.clone()))?;
        let probes = unit_probes(d);
        let directions = Directions::Same(&probes);
        let given = RowsGiven { context: &context, directions, penalty: Penalty::default() };
        let (mut x, mut log_det) = (host_values(x.clone())?, vec![0.0; n]);
        let (how, to) = ((Direction::Forward, &solver), (&mut x[..], &mut log_det[..]));
        let work = &mut FieldWork::default();
        let found = self.field.solve_rows(equation.weights(), given, how, to, work);
        let found = found.map_err(|stalled| not_solved(&stalled))?;
        Ok(found as f64 / tile_count(n).max(1) as f64)
    }

    /// [`crate::Transform::path`].
    pub(super) fn places(
        &self,
        x: &Tensor<2>,
        given: &Given<'_>,
        stops: usize,
    ) -> Result<Vec<Tensor<2>>> {
        let ([n, d], mut work) = (x.dims(), FieldWork::default());
        let (dtype, equation) = (x.dtype(), Equation::new(self, given)?);
        let solver = alone(self.exact_solver(dtype), dtype == DType::F64);
        let mut places = vec![Vec::with_capacity(tile_count(n) * d * TILE_ROWS); stops];
        for (tile, x) in tiled(x)?.chunks_exact_mut(d * TILE_ROWS).enumerate() {
            let given = equation.tile(tile, &[]);
            let [mut starts, mut times, mut sizes] = std::array::from_fn(|_| Aligned::default());
            let tape = Tape { starts: &mut starts, times: &mut times, sizes: &mut sizes };
            equation.solve(given, &solver, x, tape, &mut work)?;
            let taken = Taken { starts: &starts, times: &times, sizes: &sizes };
            for (stop, places) in places.iter_mut().enumerate() {
                let (at, t) = (places.len(), (stop + 1) as f64 / stops as f64);
                places.extend_from_slice(x);
                if stop + 1 < stops {
                    let (weights, to) = (equation.weights(), &mut places[at..]);
                    self.field.place(weights, given, (taken, &solver), t, to, &mut work);
                }
            }
        }
        let tensor = |tiles: Vec<f64>| {
            Tensor::from_data(
                TensorData::new(untiled(&tiles, [n, d]), [n, d]),
                (&x.device(), dtype),
            )
        };
        Ok(places.into_iter().map(tensor).collect())
    }
}
