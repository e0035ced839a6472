"""Losses against hand-worked values, NumPy loops, and their own invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from fgu_jax import losses
from fgu_jax.errors import InputError


def _unit(rng, *shape):
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _global(seed=0, batch=5, clusters=7, width=4):
    rng = np.random.default_rng(seed)
    features = _unit(rng, batch, width)
    table = _unit(rng, clusters, width)
    centres = rng.standard_normal((clusters, width)) * 0.3
    return features, table, centres, rng.integers(0, clusters, batch)


def _local(seed=0, patches=3, batch=4, images=9, width=5):
    rng = np.random.default_rng(seed)
    x = _unit(rng, patches, batch, width)
    table = _unit(rng, patches, images, width)
    return x, table, rng.choice(images, batch, replace=False)


def _repelled_loop(features, table, labels, tau, alive):
    out = []
    for v, y in zip(features, labels, strict=True):
        weights = [np.exp(np.dot(table[j], v) / tau) for j in range(alive)]
        out.append(-np.log(weights[y] / sum(weights)))
    return np.array(out)


def _pedal_loop(patches, table, indices, scale, k):
    out = np.zeros(patches.shape[:2])
    for u in range(patches.shape[0]):
        for b, i in enumerate(indices):
            e = [
                np.exp(-scale / 2 * np.sum((patches[u, b] - table[u, j]) ** 2))
                for j in range(table.shape[1])
                if j != i
            ]
            out[u, b] = -np.log(sum(sorted(e)[-k:]) / sum(e))
    return out


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("alive", [7, 4])
def test_rafl_equals_the_loop(dtype, tolerance, alive):
    features, table, centres, labels = _global()
    labels = labels % alive
    with jax.enable_x64(dtype == "float64"):
        arrays = [jnp.asarray(x, dtype) for x in (features, table, centres)]
        y = jnp.asarray(labels, "int32")
        repelled = losses.repelled_loss(
            arrays[0], arrays[1], y, temperature=0.1, num_clusters=alive
        )
        rafl = losses.rafl_loss(
            *arrays, y, temperature=0.1, attract_weight=0.7, num_clusters=alive
        )
    assert repelled.dtype == dtype
    expected = _repelled_loop(features, table, labels, 0.1, alive)
    np.testing.assert_allclose(repelled, expected, atol=tolerance)
    pull = [0.5 * np.sum((features[b] - centres[labels[b]]) ** 2) for b in range(5)]
    np.testing.assert_allclose(rafl, expected + 0.7 * np.array(pull), atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_pedal_equals_the_loop(dtype, tolerance, k):
    patches, table, indices = _local()
    with jax.enable_x64(dtype == "float64"):
        got = losses.pedal_loss(
            jnp.asarray(patches, dtype),
            jnp.asarray(table, dtype),
            jnp.asarray(indices, "int32"),
            scale=15.0,
            num_neighbors=k,
        )
    expected = _pedal_loop(patches, table, indices, 15.0, k)
    np.testing.assert_allclose(got, expected, atol=tolerance)


def test_pedal_of_all_others_is_zero():
    patches, table, indices = (jnp.asarray(x) for x in _local())
    got = losses.pedal_loss(patches, table, indices, scale=15.0, num_neighbors=8)
    np.testing.assert_allclose(got, 0, atol=1e-6)


def test_attracted_golden_value():
    v = jnp.array([[0.6, 0.8]])
    c = jnp.array([[0.0, 0.0], [0.6, 0.0]])
    assert float(losses.attracted_loss(v, c, jnp.array([1]))[0]) == pytest.approx(0.32)


def test_gradients_in_float64():
    with jax.enable_x64(True):
        v, V, c, y = (jnp.asarray(x) for x in _global())
        x, W, i = (jnp.asarray(a) for a in _local())
        check_grads(jax.jit(lambda v: losses.repelled_loss(v, V, y)), (v,), order=1)
        check_grads(jax.jit(lambda v: losses.rafl_loss(v, V, c, y)), (v,), order=1)
        pedal = lambda x: losses.pedal_loss(x, W, i, scale=5.0, num_neighbors=3)
        check_grads(jax.jit(pedal), (x,), order=1)


def test_tables_are_constants():
    v, V, c, y = (jnp.asarray(x, jnp.float32) for x in _global())
    y = y.astype(int)
    x, W, i = (jnp.asarray(a) for a in _local())
    rafl = jax.grad(lambda V, c: losses.rafl_loss(v, V, c, y).sum(), argnums=(0, 1))
    for gradient in rafl(V, c):
        assert not gradient.any()
    pedal = lambda W: losses.pedal_loss(x, W, i, scale=5.0, num_neighbors=3).sum()
    assert not jax.grad(pedal)(W).any()


def test_jit_and_vmap_agree():
    v, V, c, y = (jnp.asarray(x) for x in _global())
    eager = losses.rafl_loss(v, V, c, y, num_clusters=7)
    jitted = jax.jit(losses.rafl_loss)(v, V, c, y, num_clusters=7)
    one = lambda v, y: losses.rafl_loss(v[None], V, c, y[None], num_clusters=7)[0]
    np.testing.assert_allclose(jitted, eager, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(one)(v, y), eager, rtol=1e-5)

    x, W, i = (jnp.asarray(a) for a in _local())
    pedal = lambda x, W: losses.pedal_loss(x, W, i, scale=5.0, num_neighbors=3)
    each = jax.vmap(lambda x, W: pedal(x[None], W[None])[0])(x, W)
    np.testing.assert_allclose(jax.jit(pedal)(x, W), pedal(x, W), rtol=1e-5)
    np.testing.assert_allclose(each, pedal(x, W), rtol=1e-5)


def test_dead_rows_do_not_count_even_when_garbage():
    v, V, _, y = (jnp.asarray(x) for x in _global())
    y = y % 4
    garbage = V.at[4:].set(1e3)
    got = losses.repelled_loss(v, garbage, y, num_clusters=4)
    np.testing.assert_allclose(got, losses.repelled_loss(v, V[:4], y), rtol=1e-6)


def test_bad_arguments_say_both_values():
    v, V, c, y = (jnp.asarray(x) for x in _global())
    x, W, i = (jnp.asarray(a) for a in _local())
    with pytest.raises(InputError, match=r"\(5, 3\).*\(7, 4\)"):
        losses.repelled_loss(v[:, :3], V, y)
    with pytest.raises(InputError, match=r"0\.\.6"):
        losses.repelled_loss(v, V, y + 100)
    with pytest.raises(InputError, match="temperature is 0"):
        losses.repelled_loss(v, V, y, temperature=0)
    with pytest.raises(InputError, match="batch of 5"):
        losses.attracted_loss(v, c, y[:2])
    with pytest.raises(InputError, match="int"):
        losses.attracted_loss(v, c, y.astype(float))
    with pytest.raises(InputError, match="9 images.*8 others"):
        losses.pedal_loss(x, W, i, scale=5.0, num_neighbors=9)
    with pytest.raises(InputError, match="scale is -1"):
        losses.pedal_loss(x, W, i, scale=-1, num_neighbors=3)
    with pytest.raises(InputError, match=r"\[U, N, d\]"):
        losses.pedal_loss(x[0], W, i, scale=5.0)
