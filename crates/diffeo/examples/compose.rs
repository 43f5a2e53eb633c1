//! A transform of your own before layers of the library, trained together: `cargo run --release --example compose`

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::distributions::{Base, Normal};
use diffeo::{
    Flow, Mapped, Parameter, Preset, PresetOptions, Purpose, Result, Streams, Transform, Visitor,
};

/// `sinh((asinh x - skew) e^tail)` in every column (Jones and Pewsey, Biometrika 2009), then the layers.
struct SinhArcsinh {
    skew: Parameter,
    tail: Parameter,
    layers: diffeo::transforms::Chain,
}

impl Transform for SinhArcsinh {
    fn dims(&self) -> usize {
        self.layers.dims()
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        let (skew, tail) = (self.skew.value.clone(), self.tail.value.clone());
        let u = (x.clone().asinh() - skew) * tail.clone().exp();
        let log_slope = tail + u.clone().cosh().log() - x.square().log1p() * 0.5;
        let rest = self.layers.forward(u.sinh(), context)?;
        let own = log_slope.sum_dim(1).reshape([-1]).cast(DType::F64);
        Ok(Mapped { log_det: rest.log_det + own, ..rest })
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        let u =
            self.layers.inverse(z, context)?.value.asinh() * self.tail.value.clone().neg().exp();
        let x = (u + self.skew.value.clone()).sinh();
        Ok(Mapped { log_det: self.forward(x.clone(), context)?.log_det.neg(), value: x })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("skew", &mut self.skew);
        visitor("tail", &mut self.tail);
        self.layers.visit(visitor);
    }
}

/// 1,000 rows of a skewed, heavy-tailed pair.
fn table() -> Tensor<2> {
    let mut z = vec![0.0; 2000];
    Streams::new(1).fill_normal(Purpose::Check, 0, 0, 2, &mut z);
    let values: Vec<f64> = z.chunks(2).flat_map(|z| [z[0].sinh(), z[0] * z[0] + z[1]]).collect();
    Tensor::from_data(TensorData::new(values, [1000, 2]), (&Device::flex(), DType::F32))
}

fn main() -> Result<()> {
    let options = PresetOptions { transforms: 2, hidden: vec![16, 16], ..Default::default() };
    let layers = Preset::Maf.spec(2, 0, &options)?.build(0)?.transform().clone();
    let zero = || Parameter::new(Tensor::zeros([1, 2], (&Device::flex(), DType::F32)));
    let mine = SinhArcsinh { skew: zero(), tail: zero(), layers };
    let mut flow = Flow::new(mine, Base::Normal(Normal::new(2)))?;
    // First and second moments of each gradient: Adam (Kingma and Ba, ICLR 2015) at a rate of 0.01.
    let mut moments = vec![];
    flow.visit(&mut |_, p| moments.push([p.value.zeros_like(), p.value.zeros_like()]));
    for step in 0..=300 {
        flow.visit(&mut |_, p| p.value = p.value.clone().autodiff().require_grad());
        let loss = flow.log_prob(table().autodiff(), None)?.mean().neg();
        if step % 100 == 0 {
            println!("step {step:3}: {:.3} nats a row", -loss.clone().into_scalar::<f64>());
        }
        let (grads, mut slots) = (loss.backward(), moments.iter_mut());
        flow.visit(&mut |_, p| {
            let gradient = p.value.grad(&grads);
            p.value = p.value.clone().inner();
            if let (Some(g), Some([m, v])) = (gradient, slots.next()) {
                *m = m.clone() * 0.9 + g.clone() * 0.1;
                *v = v.clone() * 0.999 + g.square() * 0.001;
                p.value = p.value.clone() - m.clone() / (v.clone().sqrt() + 1e-8) * 0.01;
            }
        });
    }
    Ok(())
}
