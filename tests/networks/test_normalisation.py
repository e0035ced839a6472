"""Batch normalisation against Flax's: values, gradients, statistics and types."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from fgu_jax.errors import InputError
from fgu_jax.networks.normalisation import batch_norm
from fgu_jax.parallel.mesh import AXIS, make_mesh, map_over_devices


def ours(*, train=True, axis=-1, dtype=jnp.float64, **others):
    """Our layer."""
    given = {"param_dtype": dtype, "axis_name": None, "momentum": 0.9} | others
    return batch_norm(train=train, dtype=dtype, **given)(axis=axis)


def pair(*, train, axis=-1, dtype=jnp.float64, param_dtype=jnp.float64):
    """Our layer and Flax's with the same settings."""
    options = {"dtype": dtype, "param_dtype": param_dtype, "axis": axis}
    mine = ours(train=train, **options)
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


@cache
def compiled(layer):
    """A layer with its gradients, compiled once for each shape."""

    def value(params, x, statistics, weights):
        out, new = layer.apply(
            statistics | {"params": params}, x, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.sin(out.astype(weights.dtype)) * weights), (out, new)

    return jax.jit(jax.grad(value, argnums=(0, 1), has_aux=True))


def result_and_gradients(layer, variables, x, weights):
    """(output, new statistics), then the gradients by parameters and by input."""
    gradients, result = compiled(layer)(variables["params"], x, variables, weights)
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


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize(("shape", "axis"), [((16, 3, 5), -1), ((3, 16, 5), (0, 2))])
def test_groups_of_a_batch_are_batches_of_their_own(shape, axis, devices):
    """Eight groups of two to two of eight, within devices and over several of them."""
    rng = np.random.default_rng(0)
    images = shape.index(16)
    with jax.enable_x64(True):
        x = jnp.asarray(3 + 0.5 * rng.normal(size=shape))
        weights = jnp.asarray(rng.normal(size=shape))
        _, flax = pair(train=True, axis=axis)
        variables = drawn_variables(flax, x)
        for group in (2, 4, 8):
            count = 16 // group
            parts = [jnp.split(a, count, images) for a in (x, weights)]
            each = [
                result_and_gradients(flax, variables, *part)
                for part in zip(*parts, strict=True)
            ]
            wanted = (
                jnp.concatenate([result[0] for (result, _) in each], images),
                jnp.concatenate([by[1] for (_, by) in each], images),
                jax.tree.map(_sum, *(by[0] for (_, by) in each)),
                jax.tree.map(_mean, *(result[1] for (result, _) in each)),
            )
            found = _over_devices(group, axis, images, devices, variables, x, weights)
            close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)
            jax.tree.map(close, found, wanted)


def _sum(*arrays):
    return sum(arrays)


def _mean(*arrays):
    return sum(arrays) / len(arrays)


def _over_devices(group, axis, images, devices, variables, x, weights):
    """Output, gradient by input and by parameters, and statistics of the layer."""
    mine = ours(axis=axis, axis_name=AXIS, group=group)

    def one(variables, x, weights):
        (out, new), (params, by_x) = result_and_gradients(mine, variables, x, weights)
        return out, by_x, jax.lax.psum(params, AXIS), new

    cut = P(*[None] * images, AXIS)
    run = map_over_devices(
        one,
        make_mesh(devices),
        in_specs=(P(), cut, cut),
        out_specs=(cut, cut, P(), P()),
    )
    return jax.device_get(run(variables, x, weights))


def test_groups_that_do_not_fit_a_device_are_refused():
    layer = ours(dtype=jnp.float32, group=4)
    x = jnp.zeros((6, 3))
    variables = layer.init(jax.random.key(0), x)
    with pytest.raises(InputError, match="batch_norm_group is 4, .* 6 images"):
        layer.apply(variables, x, mutable=["batch_stats"])
