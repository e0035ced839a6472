"""Passes over images: padding, the three features, BatchNorm's first statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax.inference import passes as embedding
from fgu_jax.inference.passes import fused
from fgu_jax.networks.network import Features
from fgu_jax.parallel.mesh import make_mesh, replicate


class Mean(nn.Module):
    """The mean colour, through a BatchNorm of the backbone and one of the heads."""

    @nn.compact
    def __call__(self, images, *, train, train_heads=None):
        heads = train if train_heads is None else train_heads

        def norm(x, train, name):
            return nn.BatchNorm(not train, momentum=0.0, axis_name="data", name=name)(x)

        x = norm(images.mean(axis=(1, 2)), train, "backbone")
        return Features(x, norm(2 * x + 1, heads, "heads")[None])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (150, 4, 2, 3), np.uint8)


def _variables(images):
    return Mean().init(jax.random.key(0), jnp.zeros(images.shape[0:]), train=False)


@pytest.mark.parametrize("devices", [1, 3])
@pytest.mark.parametrize("count", [1, 64, 150])
def test_all_images_in_order_whatever_their_number(images, devices, count):
    mesh = make_mesh(devices)
    run = embedding.Embedding(Mean(), mesh)
    seen = []
    features, patches = run(
        replicate(_variables(images), mesh),
        images[:count],
        progress=lambda done, total, what: seen.append((done, total)),
    )
    mean = images[:count].mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(features, mean, rtol=1e-4)
    np.testing.assert_allclose(patches, (2 * mean + 1)[None], rtol=1e-4)
    assert seen[-1] == (count, count)


def test_fused_features_are_unit_and_keep_their_shares():
    rng = np.random.default_rng(1)
    v = rng.normal(size=(5, 7)).astype(np.float32)
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    parts = fused(v, x)
    for features in parts.values():
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
        assert features.dtype == np.float32
    np.testing.assert_allclose(parts["fused"][:, :7], v / 2, rtol=1e-5)
    np.testing.assert_allclose(parts["local"][:, 4:8], x[1] / np.sqrt(3), rtol=1e-5)


@pytest.mark.parametrize("heads_only", [False, True])
def test_first_statistics_are_those_of_all_images(images, heads_only):
    mesh = make_mesh(2)
    variables = replicate(_variables(images), mesh)
    got = embedding.first_statistics(
        Mean(), variables, images, mesh, batch_size=50, heads_only=heads_only
    )
    colour = images.mean(axis=(1, 2)) / 255
    if heads_only:  # the backbone keeps mean 0 and variance 1
        np.testing.assert_array_equal(got["backbone"]["mean"], 0)
        np.testing.assert_array_equal(got["backbone"]["var"], 1)
        given = 2 * colour / np.sqrt(1 + 1e-5) + 1
        np.testing.assert_allclose(got["heads"]["mean"], given.mean(0), rtol=1e-5)
        np.testing.assert_allclose(got["heads"]["var"], given.var(0), rtol=1e-3)
    else:
        np.testing.assert_allclose(got["backbone"]["mean"], colour.mean(0), rtol=1e-5)
        np.testing.assert_allclose(got["backbone"]["var"], colour.var(0), rtol=1e-3)
