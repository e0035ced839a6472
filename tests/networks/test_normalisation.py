"""Batch normalisation against Flax's: values, gradients, statistics and types."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax.networks.normalisation import batch_norm


def pair(*, train, axis=-1, dtype=jnp.float64, param_dtype=jnp.float64):
    """Our layer and Flax's with the same settings."""
    options = {"dtype": dtype, "param_dtype": param_dtype, "axis": axis}
    mine = batch_norm(
        train=train,
        dtype=dtype,
        param_dtype=param_dtype,
        axis_name=None,
        momentum=0.9,
    )(axis=axis)
    flax = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        force_float32_reductions=param_dtype == jnp.float32,
        **options,
    )
    return mine, flax


def drawn_variables(layer, x):
    """Parameters and statistics away from where they start."""
    rng = np.random.default_rng(1)
    variables = layer.init(jax.random.key(0), x)
    return jax.tree.map(
        lambda v: jnp.asarray(rng.uniform(0.5, 2, v.shape), v.dtype), variables
    )


def result_and_gradients(layer, variables, x, weights):
    """(output, new statistics), then the gradients by parameters and by input."""

    def value(params, x):
        out, new = layer.apply(
            variables | {"params": params}, x, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.sin(out.astype(weights.dtype)) * weights), (out, new)

    run = jax.jit(jax.grad(value, argnums=(0, 1), has_aux=True))
    gradients, result = run(variables["params"], x)
    return result, gradients


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("shape", "axis"), [((4, 6, 5, 7), -1), ((16, 7), -1), ((3, 16, 7), (0, 2))]
)
def test_as_flax(train, shape, axis):
    """Also where the mean is several times the deviation."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = jnp.asarray(3 + 0.5 * rng.normal(size=shape))
        weights = jnp.asarray(rng.normal(size=shape))
        mine, flax = pair(train=train, axis=axis)
        variables = drawn_variables(flax, x)
        close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10)
        jax.tree.map(
            close,
            result_and_gradients(mine, variables, x, weights),
            result_and_gradients(flax, variables, x, weights),
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("train", [True, False])
def test_types_and_values_of_a_narrow_backbone_are_flaxs(train, dtype):
    """Statistics in float32 whatever the input; a step never changes a type."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(1 + rng.normal(size=(8, 4, 4, 6)), dtype)
    weights = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
    mine, flax = pair(train=train, dtype=dtype, param_dtype=jnp.float32)
    variables = drawn_variables(flax, x)
    types = partial(jax.tree.map, lambda v: (v.shape, v.dtype))
    assert types(mine.init(jax.random.key(0), x)) == types(variables)
    (ours, new), gradients = result_and_gradients(mine, variables, x, weights)
    (theirs, flax_new), flax_gradients = result_and_gradients(
        flax, variables, x, weights
    )
    assert types((ours, new, gradients)) == types((theirs, flax_new, flax_gradients))
    assert new["batch_stats"]["mean"].dtype == jnp.float32
    tolerance = 2e-2 if dtype == jnp.bfloat16 else 1e-5
    close = partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    wide = partial(jax.tree.map, lambda v: np.asarray(v, np.float32))
    jax.tree.map(close, wide((ours, new)), wide((theirs, flax_new)))
    jax.tree.map(close, wide(gradients), wide(flax_gradients))


def test_a_feature_that_never_varies_gives_its_bias():
    mine, _ = pair(train=True, dtype=jnp.float32, param_dtype=jnp.float32)
    x = jnp.full((8, 3), 7.0)
    variables = mine.init(jax.random.key(0), x)
    variables = jax.tree.map(jnp.asarray, variables)
    variables["params"]["bias"] = jnp.array([1.0, 2.0, 3.0])
    (out, _), _ = result_and_gradients(mine, variables, x, jnp.ones_like(x))
    np.testing.assert_allclose(out, np.tile([1.0, 2.0, 3.0], (8, 1)), atol=1e-2)
