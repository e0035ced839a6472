"""An evaluation pass laid out for a CPU's cache gives the features of the plain one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax import networks
from fgu_jax.networks import backbones
from fgu_jax.networks.convolution import Conv
from fgu_jax.networks.efficientnet import EfficientNetLite, Stage

# As many early blocks as by few images at a time, and one after them.
_STAGES = (Stage(1, 3, 1, 1, 8), Stage(2, 3, 2, 2, 8), Stage(3, 5, 2, 2, 16))


def _images(count, height=32, width=16):
    shape = (count, height, width, 3)
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("kernel_size", "strides", "same", "size"),
    [(3, 2, True, (32, 16)), (3, 2, True, (33, 17)), (3, 1, False, (8, 6))],
)
def test_a_convolution_by_taps_is_the_convolution(kernel_size, strides, same, size):
    images = _images(5, *size)
    plain, taps = (
        Conv(7, kernel_size, strides, same, by_taps=t) for t in (False, True)
    )
    variables = plain.init(jax.random.key(1), images)
    found = taps.apply(variables, images)
    np.testing.assert_allclose(found, plain.apply(variables, images), atol=1e-5)


def test_taps_are_added_up_in_float32_whatever_the_type():
    images = _images(2).astype(jnp.bfloat16)
    conv = Conv(8, 3, 2, same=True, by_taps=True, dtype=jnp.bfloat16)
    variables = conv.init(jax.random.key(1), images)
    found = conv.apply(variables, images)
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), variables)
    exact = Conv(8, 3, 2, same=True).apply(rounded, images.astype(jnp.float32))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_few_images_at_a_time_give_the_same_map(count):
    images = _images(count)
    plain = EfficientNetLite(_STAGES)
    few = EfficientNetLite(_STAGES, few=2)
    variables = jax.jit(plain.init, static_argnames="train")(
        jax.random.key(1), images, train=False
    )
    expected, found = (
        jax.jit(network.apply, static_argnames="train")(variables, images, train=False)
        for network in (plain, few)
    )
    assert len(jnp.unique(expected)) > 1000
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_only_a_pass_at_rest_is_laid_out_for_a_cpu(monkeypatch):
    made = []
    spec = backbones.find("efficientnet_lite0")

    def make(**fields):
        made.append(fields.get("few"))
        return spec.make(**fields)

    known = {"efficientnet_lite0": dataclasses.replace(spec, make=make)}
    monkeypatch.setattr(backbones, "BACKBONES", known)
    plain = networks.build("efficientnet_lite0", num_patches=2, patch_dim=8)
    for on_cpu, train in ((False, False), (True, False), (True, True)):
        network = plain.clone(on_cpu=on_cpu)
        draw = functools.partial(network.init, train=train)
        jax.eval_shape(draw, jax.random.key(0), _images(1))
    assert made == [None, 2, None]
