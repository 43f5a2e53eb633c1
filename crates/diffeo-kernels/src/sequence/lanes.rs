//! The loops over the rows of a tile that stand between the products of a recurrent network.

use crate::dispatch::dispatched;

dispatched! {
    /// A step of a gated recurrent unit: of what comes from the input and from the state, `[3, units, TILE_ROWS]` each, the gates and the candidate, and the new state.
    pub(super) fn gate<T: Real>(input: &[T], product: &[T], before: &[T], gates: &mut [T], state: &mut [T]) {
        let len = state.len();
        let (update, rest) = gates.split_at_mut(len);
        let (reset, candidate) = rest.split_at_mut(len);
        for i in 0..len {
            update[i] = (input[i] + product[i]).sigmoid();
        }
        for i in 0..len {
            reset[i] = (input[len + i] + product[len + i]).sigmoid();
        }
        for i in 0..len {
            candidate[i] = reset[i].fma(product[2 * len + i], input[2 * len + i]).tanh();
        }
        for i in 0..len {
            state[i] = update[i].fma(before[i] - candidate[i], candidate[i]);
        }
    }
}

dispatched! {
    /// The backward pass of [`gate`], given the gradient by the new state: writes those by what comes from the input and from the state, and turns `grad` into what goes to the
    /// state before directly.
    pub(super) fn gate_back<T: Real>(
        made: (&[T], &[T]),
        before: &[T],
        grad: &mut [T],
        by_input: &mut [T],
        by_product: &mut [T],
    ) {
        let (gates, product) = made;
        let len = before.len();
        for i in 0..len {
            let (update, reset, candidate) = (gates[i], gates[len + i], gates[2 * len + i]);
            let by_update = grad[i] * (before[i] - candidate) * update * (T::ONE - update);
            let by_candidate = grad[i] * (T::ONE - update) * candidate.fma(-candidate, T::ONE);
            let by_reset = by_candidate * product[2 * len + i] * reset * (T::ONE - reset);
            (by_input[i], by_product[i]) = (by_update, by_update);
            (by_input[len + i], by_product[len + i]) = (by_reset, by_reset);
            (by_input[2 * len + i], by_product[2 * len + i]) = (by_candidate, by_candidate * reset);
            grad[i] = grad[i] * update;
        }
    }
}

dispatched! {
    /// `tanh`, in place.
    pub(super) fn bend<T: Real>(values: &mut [T]) {
        for value in values.iter_mut() {
            *value = value.tanh();
        }
    }
}

dispatched! {
    /// Turns the gradient by [`bend`]'s result into that by its argument.
    pub(super) fn bend_back<T: Real>(values: &[T], grad: &mut [T]) {
        for (grad, &value) in grad.iter_mut().zip(values) {
            *grad = *grad * value.fma(-value, T::ONE);
        }
    }
}
