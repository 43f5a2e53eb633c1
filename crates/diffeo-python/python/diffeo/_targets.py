"""What targets give, as the native part takes it."""

import numpy as np

from ._errors import DataError


def checked(found, shape):
    """Values and gradients of a target as contiguous arrays of the right shapes."""
    try:
        values, gradients = found
    except (TypeError, ValueError):
        raise DataError(
            "target: expected (log-densities, gradients); for a function of torch or JAX without gradients see diffeo.inference.torch_target and jax_target"
        ) from None
    values = np.ascontiguousarray(values, dtype=np.float64)
    gradients = np.ascontiguousarray(gradients, dtype=np.float64)
    if values.shape != shape[:1] or gradients.shape != shape:
        raise DataError(
            f"target: expected log-densities of shape {shape[:1]} and gradients of shape {shape}, found {values.shape} and {gradients.shape}"
        )
    return values, gradients
