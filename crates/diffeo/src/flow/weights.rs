//! The trainable parameters of a flow: shown, read and replaced.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::Flow;
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::parameter::{Trainable, Visitor, visit_part};
use crate::transform::Transform;

impl Flow {
    /// Shows every trainable parameter: those of the transform, those of the base, those of the marks, those of the embedding.
    pub fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("transform", visitor, |v| self.chain.visit(v));
        visit_part("base", visitor, |v| self.base.visit(v));
        if let Some(marks) = &mut self.marks {
            visit_part("marks", visitor, |v| marks.visit(v));
        }
        if let Some(embedding) = &mut self.embedding {
            visit_part("embedding", visitor, |v| embedding.visit(v));
        }
    }

    /// The same flow, through which no gradient reaches the parameters.
    pub(crate) fn with_constant_parameters(&self) -> Self {
        let mut flow = self.clone();
        flow.visit(&mut |_, parameter| parameter.value = parameter.value.clone().detach());
        flow
    }

    /// Every trainable parameter by name, in a fixed order; all have rank two.
    pub fn parameters(&self) -> Vec<(String, Tensor<2>)> {
        let mut found = Vec::new();
        self.clone().visit(&mut |name, p| found.push((name.to_owned(), p.value.clone())));
        found
    }

    /// Replaces parameters by name; masked elements stay zero, others keep the values given.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] listing parameters that are missing, unknown, of another shape, or not finite; nothing is
    /// changed then.
    pub fn set_parameters(&mut self, values: &BTreeMap<String, Tensor<2>>) -> Result<()> {
        let mut faults = Vec::new();
        let mut left: Vec<&String> = values.keys().collect();
        for (name, old) in self.parameters() {
            left.retain(|n| **n != name);
            match values.get(&name) {
                None => faults.push(format!("{name} is missing")),
                Some(new) if new.dims() != old.dims() => faults.push(format!(
                    "{name} has shape {:?}, expected {:?}",
                    new.dims(),
                    old.dims()
                )),
                Some(new) => {
                    if host_values(new.clone())?.iter().any(|v| !v.is_finite()) {
                        faults.push(format!("{name} holds a number that is not finite"));
                    }
                }
            }
        }
        faults.extend(left.iter().map(|name| format!("{name} is unknown")));
        if !faults.is_empty() {
            return Err(Error::model_file(format!(
                "weights do not fit the model: {}",
                faults.join("; ")
            )));
        }
        let dtype = self.dtype();
        self.visit(&mut |name, p| {
            if let Some(new) = values.get(name) {
                let new = new.clone().cast(dtype);
                p.value = p.mask.iter().fold(new, |v, m| v * m.clone());
            }
        });
        Ok(())
    }
}

impl Trainable for Flow {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        Flow::visit(self, visitor);
    }
}
