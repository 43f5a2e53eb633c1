//! Starts, limits, and rows by themselves.

use burn::tensor::{DType, Device, TensorData};

use super::*;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, normal};

fn tensor(values: Vec<f64>, width: usize, dtype: DType) -> Tensor<2> {
    let shape = [values.len() / width, width];
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), dtype))
}

fn host<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    host_values(t).unwrap()
}

fn fresh(units: &[usize], dims: usize, dtype: DType) -> BlockAutoregressive {
    let spec = BlockAutoregressiveSpec { units: units.to_vec() };
    let at = Place::new(dims, 0);
    spec.validate(at).unwrap();
    BlockAutoregressive::new(&spec, at, &mut Init::new(1, dtype, Device::flex()))
}

/// With normal weights of a deviation where they may be any.
fn wild(units: &[usize], dims: usize, size: f64, dtype: DType) -> BlockAutoregressive {
    let (mut layer, mut row) = (fresh(units, dims, dtype), 0);
    layer.visit(&mut |_, p| {
        row += 1;
        let mut rng = Streams::new(4).rng(Purpose::Check, 7, row);
        let [n, m] = p.value.dims();
        let values = (0..n * m).map(|_| size * normal(&mut rng)).collect();
        p.value = tensor(values, m, dtype);
        p.value = p.masked();
    });
    layer
}

#[test]
fn it_starts_near_the_identity() {
    for units in [&[16][..], &[12, 9]] {
        let layer = fresh(units, 3, DType::F64);
        let x: Vec<f64> = (0..51).map(|i| 0.08 * f64::from(i - 25)).collect();
        let given = Given::default();
        let found = layer.forward(tensor(x.clone(), 3, DType::F64), &given).unwrap();
        for (z, x) in host(found.value).iter().zip(&x) {
            assert!((z - x).abs() < 0.5, "{units:?}: {x} to {z}");
        }
        // The line has a slope of a half, and the network adds no more than that or little more.
        assert!(host(found.log_det).iter().all(|v| (-2.1..0.6).contains(v)), "{units:?}");
        let of = |others: f64| {
            let rows = tensor(vec![others, others, 0.7], 3, DType::F64);
            host(layer.forward(rows, &given).unwrap().value)[2]
        };
        // Units of the last column see the others from the start; what they make of it is small.
        assert!((of(0.0) - of(0.2)).abs() < 0.2, "{units:?}");
    }
}

#[test]
fn the_slope_is_that_of_the_value_up_to_where_numbers_are_held_and_beyond() {
    let layer = wild(&[6, 5], 2, 3.0, DType::F64);
    let x = vec![0.3, -0.2, 1e17, -1e17, 2e18, 0.1, -1e30, 1e30, f64::MAX, 1.0];
    let mapped = |x| layer.forward(x, &Given::default()).unwrap();
    let log_det = host(mapped(tensor(x.clone(), 2, DType::F64)).log_det);
    let slopes: Vec<Vec<f64>> = (0..2)
        .map(|i| {
            let x = tensor(x.clone(), 2, DType::F64).autodiff().require_grad();
            let gradients = mapped(x.clone()).value.narrow(1, i, 1).sum().backward();
            host(x.grad(&gradients).unwrap())
        })
        .collect();
    for (r, found) in log_det.iter().enumerate() {
        let expected: f64 = (0..2).map(|i| slopes[i][2 * r + i].ln()).sum();
        assert!((found - expected).abs() < 1e-10, "row {r}: {found} against {expected}");
    }
}

#[test]
fn the_inverse_reaches_every_number_also_where_the_network_is_a_step_or_nothing() {
    for (dtype, limit) in [(DType::F64, 1e-9), (DType::F32, 2e-2)] {
        for (units, size) in [(&[4][..], 0.5), (&[4], 4.0), (&[5, 5], 4.0), (&[3, 3], 1e4)] {
            let layer = wild(units, 3, size, dtype);
            let z: Vec<f64> = (0..90)
                .map(|i: i32| f64::from(i - 45) * 10f64.powi(i.rem_euclid(7) - 2))
                .map(|v| if dtype == DType::F32 { f64::from(v as f32) } else { v })
                .collect();
            let given = Given::default();
            let found = layer.inverse(tensor(z.clone(), 3, dtype), &given).unwrap();
            let back = layer.forward(found.value.clone(), &given).unwrap();
            let (x, again) = (host(found.value), host(back.value));
            for ((z, again), x) in z.iter().zip(again).zip(x) {
                // A step rises by the last digit of x times its slope.
                let slope = 1.0 + (2.0 * size).min(21.0).exp() * f64::from(u8::from(size > 1.0));
                let room = limit * (1.0 + z.abs()) + 1e-15 * slope * (1.0 + x.abs()) * limit / 1e-9;
                assert!((z - again).abs() <= room, "{units:?} {size} {dtype:?}: {z}, {again}");
            }
        }
    }
}

#[test]
fn a_row_of_the_inverse_has_the_same_bits_in_any_company() {
    let layer = wild(&[6, 5], 3, 1.5, DType::F32);
    let z: Vec<f64> = (0..24).map(|i| f64::from((3.0 * f64::from(i).sin()) as f32)).collect();
    let of = |z: &[f64]| {
        let mapped = layer.inverse(tensor(z.to_vec(), 3, DType::F32), &Given::default()).unwrap();
        (host(mapped.value), host(mapped.log_det))
    };
    let (value, log_det) = of(&z);
    for (r, row) in z.chunks(3).enumerate() {
        assert_eq!(of(row), (value[3 * r..][..3].to_vec(), vec![log_det[r]]), "row {r}");
    }
}

#[test]
fn units_out_of_range_are_refused_and_counted_before_they_are_made() {
    let at = Place::new(3, 2);
    let of = |units: &[usize]| BlockAutoregressiveSpec { units: units.to_vec() };
    for (units, text) in [
        (&[][..], "1 to 8 hidden layers, found 0"),
        (&[4; 9], "found 9"),
        (&[4, 0], "1..=4096, found 0"),
        (&[5000], "found 5000"),
    ] {
        let error = of(units).validate(at).unwrap_err();
        assert!(error.message().contains(text), "{error}");
    }
    for (units, dims) in [(&[4, 3][..], 3), (&[5], 1)] {
        let at = Place::new(dims, 2);
        let mut layer = of(units).build(at, &mut Init::new(0, DType::F32, Device::flex())).unwrap();
        let mut count = 0;
        layer.visit(&mut |_, p| count += p.value.dims().iter().product::<usize>() as u64);
        assert_eq!(of(units).count(at), Some(count));
    }
}
