"""Depthwise convolution and both gradients, against XLA's grouped convolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fgu_jax.networks import convolution as module
from fgu_jax.networks.convolution import depthwise

SIZES = [
    (3, 1, 7, 5),
    (3, 2, 8, 9),
    (5, 1, 6, 6),
    (5, 2, 9, 8),
    (1, 2, 4, 5),
    (3, 1, 18, 6),
    (5, 2, 19, 11),
    (3, 2, 17, 33),
]  # maps of 16 x 4, 8 x 4, 8 x 16


def grouped(x, kernel, strides):
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (strides, strides),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def drawn(k, height, width):
    rng = np.random.default_rng(k)
    x = rng.normal(size=(3, height, width, 4))
    return jnp.asarray(x), jnp.asarray(rng.normal(size=(k, k, 4)))


@pytest.mark.parametrize(("k", "strides", "height", "width"), SIZES)
def test_it_is_a_grouped_convolution_with_its_gradients(k, strides, height, width):
    with jax.enable_x64(True):
        x, kernel = drawn(k, height, width)

        def loss(function):
            def total(x, kernel):
                maps = function(x, kernel, strides)
                return jnp.sum(jnp.sin(maps)), maps

            return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))

        ours, theirs = (loss(f)(x, kernel) for f in (depthwise, grouped))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(("k", "strides", "height", "width"), SIZES)
def test_both_ways_to_the_filters_gradient_agree(k, strides, height, width):
    with jax.enable_x64(True):
        x, kernel = drawn(k, height, width)
        above = jnp.cos(jax.jit(depthwise, static_argnums=2)(x, kernel, strides))
        ways = (module._by_image, module._by_filter)
        ours, theirs = (
            jax.jit(functools.partial(way, k=k, strides=strides))(x, above)
            for way in ways
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_types_are_kept():
    x, kernel = (a.astype(jnp.float32) for a in drawn(3, 6, 6))
    narrow = x.astype(jnp.bfloat16)

    def loss(x, kernel):
        return jnp.sum(depthwise(x, kernel, 1) ** 2)

    assert depthwise(narrow, kernel, 1).dtype == jnp.float32
    gradients = jax.jit(jax.grad(loss, (0, 1)))
    to_x, to_kernel = gradients(narrow, kernel)
    assert (to_x.dtype, to_kernel.dtype) == (jnp.bfloat16, jnp.float32)
    wide = gradients(narrow.astype(jnp.float32), kernel)
    np.testing.assert_allclose(to_kernel, wide[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_x.astype("f4"), wide[0], rtol=1e-2, atol=1e-2)
